#include "crypto/keyring.h"

#include <sodium.h>

#include "crypto/hash.h"
#include "sodium_ready.h"

// Layout, all integers little-endian:
//   magic 8 | version u16 | sealing u8 | zero u8 | [sealed: memory_kib u32 | passes u32 | salt 16 |
//   nonce 24] | body or sealed body (+ 16 tag) | SHA-256 over all before
//   body: count u8 | changing u8 | numbered secrets 32 * count | recovery commitment 32 |
//     server seed 32 | created_ms i64 | name length u8 | name | (from version 3 on) disowned u8
// The closing hash tells damage from a wrong passphrase, and holds for every version to come.

namespace spatter {
namespace {

constexpr std::string_view magic = "SPATKEYS";
constexpr std::uint16_t version_known = 3;
constexpr std::uint16_t version_least = 2;
constexpr std::uint8_t sealing_none = 0;
constexpr std::uint8_t sealing_passphrase = 1;
constexpr std::size_t head_bytes = 12;
constexpr std::size_t salt_bytes = crypto_pwhash_argon2id_SALTBYTES;
constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_bytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t seal_head_bytes = 4 + 4 + salt_bytes + nonce_bytes;
constexpr std::size_t name_bytes_max = 255;
constexpr std::size_t secrets_at = 2;
/// Of a body with no secrets and no name.
constexpr std::size_t body_bytes_bare = secrets_at + 32 + 32 + 8 + 1;
constexpr std::size_t file_bytes_max = 4096;  // far above what any version here writes

// What a keyring from elsewhere may make us spend.
constexpr std::uint32_t memory_kib_min = 8;
constexpr std::uint32_t memory_kib_max = 1024 * 1024;
constexpr std::uint32_t passes_max = 32;

static_assert(salt_bytes == 16 && nonce_bytes == 24 && tag_bytes == 16);

void put(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class Integer>
void put_integer(Bytes& out, Integer value) {
  for (std::size_t i = 0; i < sizeof value; ++i)
    out.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
}

template <class Integer>
Integer get_integer(ByteView from) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) value |= std::uint64_t{from[i]} << (8 * i);
  return static_cast<Integer>(value);
}

/// Plain key material on its way in or out.
struct WipedBytes {
  Bytes bytes;
  ~WipedBytes() { wipe(bytes); }
};

Result<Key> passphrase_key(std::string_view passphrase, ByteView salt, PassphraseCost cost) {
  if (cost.memory_kib < memory_kib_min || cost.memory_kib > memory_kib_max || cost.passes == 0 ||
      cost.passes > passes_max)
    return fail(Errc::invalid,
                "keyring: a passphrase cost of {} KiB and {} passes is out of bounds",
                cost.memory_kib, cost.passes);
  sodium_ready();
  Key key;
  if (crypto_pwhash_argon2id(key.bytes.data(), key.bytes.size(), passphrase.data(),
                             passphrase.size(), salt.data(), cost.passes,
                             std::size_t{cost.memory_kib} * 1024,
                             crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0)
    return fail(Errc::no_space, "keyring: no memory for the passphrase ({} KiB are needed)",
                cost.memory_kib);
  return key;
}

void write_body(const Keyring& keyring, Bytes& body) {
  // Growing would leave copies behind.
  body.reserve(body_bytes_bare + 32 * keyring.person.count() + name_bytes_max + 1);
  body.push_back(static_cast<std::uint8_t>(keyring.person.count()));
  body.push_back(keyring.changing ? 1 : 0);
  for (std::uint32_t number = 1; number <= keyring.person.count(); ++number)
    put(body, keyring.person.numbered(number).bytes().view());
  put(body, keyring.person.recovery().view());
  put(body, keyring.server_key.seed().view());
  put_integer(body, keyring.created_ms);
  body.push_back(static_cast<std::uint8_t>(keyring.name.size()));
  put(body, as_bytes(keyring.name));
  body.push_back(static_cast<std::uint8_t>(keyring.disowned));
}

Result<Keyring> read_body(ByteView body, std::uint16_t version) {
  const std::size_t count = body.empty() ? 0 : body[0];
  const std::size_t bare = body_bytes_bare + 32 * count;
  const std::size_t tail = version >= 3 ? 1 : 0;
  if (body.size() < bare || body.size() != bare + body[bare - 1] + tail)
    return fail(Errc::corrupt, "keyring: its content of {} bytes has a wrong length", body.size());
  if (count == 0 || count > PersonKeys::count_max)
    return fail(Errc::corrupt, "keyring: {} secrets of a person", count);
  if (body[1] > 1 || (body[1] == 1 && count == 1))
    return fail(Errc::corrupt, "keyring: a change of key that cannot be");
  const std::uint32_t disowned = tail == 0 ? 0 : body.back();
  if (disowned >= count) return fail(Errc::corrupt, "keyring: {} keys disowned of {}", disowned, count);
  std::vector<PersonSecret> secrets;
  secrets.reserve(count);
  ByteView rest = body.subspan(secrets_at);
  for (; secrets.size() < count; rest = rest.subspan(32)) {
    TRY(const Key secret, Key::from(rest.first(32)));
    secrets.push_back(PersonSecret::from_bytes(secret));
  }
  TRY(const auto recovery, Digest::from(as_text(rest.first(32))));
  TRY(auto person, PersonKeys::from_secrets(std::move(secrets), recovery));
  TRY(const Key seed, Key::from(rest.subspan(32, 32)));
  return Keyring{.person = std::move(person),
                 .server_key = SigningKey::from_seed(seed),
                 .changing = body[1] == 1,
                 .disowned = disowned,
                 .created_ms = get_integer<std::int64_t>(rest.subspan(64)),
                 .name = to_string(body.subspan(bare, body[bare - 1]))};
}

Result<Keyring> open_sealed(ByteView covered, std::uint16_t version, std::optional<std::string_view> passphrase) {
  if (!passphrase || passphrase->empty())
    return fail(Errc::denied, "the keyring is sealed: its passphrase is needed");
  if (covered.size() < head_bytes + seal_head_bytes + tag_bytes)
    return fail(Errc::corrupt, "keyring: cut short");
  ByteView rest = covered.subspan(head_bytes);
  const PassphraseCost cost = {.memory_kib = get_integer<std::uint32_t>(rest),
                               .passes = get_integer<std::uint32_t>(rest.subspan(4))};
  TRY(const Key key, passphrase_key(*passphrase, rest.subspan(8, salt_bytes), cost));
  const ByteView nonce = rest.subspan(8 + salt_bytes, nonce_bytes);
  rest = rest.subspan(seal_head_bytes);
  WipedBytes body{Bytes(rest.size() - tag_bytes)};
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          body.bytes.data(), nullptr, nullptr, rest.data(), rest.size(), covered.data(),
          head_bytes + seal_head_bytes, nonce.data(), key.bytes.data()) != 0)
    return fail(Errc::denied, "wrong passphrase for the keyring");
  return read_body(body.bytes, version);
}

}  // namespace

Result<Bytes> write_keyring(const Keyring& keyring, std::optional<std::string_view> passphrase,
                            Random& entropy, PassphraseCost cost) {
  if (keyring.name.size() > name_bytes_max)
    return fail(Errc::invalid, "keyring: a name has at most {} bytes, not {}", name_bytes_max,
                keyring.name.size());
  WipedBytes body;
  write_body(keyring, body.bytes);

  Bytes out;
  out.reserve(file_bytes_max);
  put(out, as_bytes(magic));
  put_integer(out, version_known);
  const bool sealed = passphrase && !passphrase->empty();
  out.push_back(sealed ? sealing_passphrase : sealing_none);
  out.push_back(0);
  if (!sealed) {
    put(out, body.bytes);
  } else {
    std::array<std::uint8_t, salt_bytes> salt;
    std::array<std::uint8_t, nonce_bytes> nonce;
    entropy.fill(salt);
    entropy.fill(nonce);
    TRY(const Key key, passphrase_key(*passphrase, salt, cost));
    put_integer(out, cost.memory_kib);
    put_integer(out, cost.passes);
    put(out, salt);
    put(out, nonce);
    const std::size_t head = out.size();
    out.resize(head + body.bytes.size() + tag_bytes);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out.data() + head, nullptr, body.bytes.data(),
                                               body.bytes.size(), out.data(), head, nullptr,
                                               nonce.data(), key.bytes.data());
  }
  put(out, sha256(out).view());
  return out;
}

bool keyring_is_sealed(ByteView bytes) {
  return bytes.size() >= head_bytes && as_text(bytes).starts_with(magic) &&
         bytes[10] == sealing_passphrase;
}

Result<Keyring> read_keyring(ByteView bytes, std::optional<std::string_view> passphrase) {
  if (!as_text(bytes).starts_with(magic) || bytes.size() > file_bytes_max)
    return fail(Errc::invalid, "these {} bytes are not a keyring", bytes.size());
  if (bytes.size() < head_bytes + Digest::size_bytes)
    return fail(Errc::corrupt, "the keyring is damaged: cut short to {} bytes", bytes.size());
  const ByteView covered = bytes.first(bytes.size() - Digest::size_bytes);
  if (as_text(sha256(covered).view()) != as_text(bytes.last(Digest::size_bytes)))
    return fail(Errc::corrupt, "the keyring is damaged: its checksum does not match");
  const auto version = get_integer<std::uint16_t>(bytes.subspan(8));
  if (version == 0) return fail(Errc::corrupt, "the keyring is damaged: there is no format 0");
  if (version < version_least)
    return fail(Errc::invalid, "the keyring is of format {}, which held the words themselves and is read no "
                "more: make a new drive with the recovery words", version);
  if (version > version_known)
    return fail(Errc::newer_format, "the keyring is of format {}, this Spatter knows up to {}",
                version, version_known);
  if (bytes[11] != 0)
    return fail(Errc::newer_format, "the keyring has flags ({}) this Spatter does not know",
                bytes[11]);
  if (bytes[10] == sealing_none) return read_body(covered.subspan(head_bytes), version);
  if (bytes[10] == sealing_passphrase) return open_sealed(covered, version, passphrase);
  return fail(Errc::newer_format, "the keyring is sealed in a way ({}) this Spatter does not know",
              bytes[10]);
}

}  // namespace spatter
