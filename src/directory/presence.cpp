#include "directory/presence.h"

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "wire/proto/presence.pb.h"

namespace spatter {
namespace {

constexpr std::string_view presence_kind = "presence";
constexpr std::size_t salt_bytes = 24;
constexpr std::size_t length_bytes = 2;
constexpr std::size_t rounded_to = 256;
constexpr WallMs skew_ms = 10 * 60 * 1000;

/// A key that seals one message only, so that the nonce may be zero.
Key message_key(const Key& key, ByteView salt) { return derive_key(key, "presence", salt); }

}  // namespace

Key lan_key(const NetworkId& network) { return derive_key(Key(network.bytes), "lan"); }

Key rendezvous_key(const NetworkId& network, const ServerId& server, std::int64_t day) {
  Bytes context = to_bytes(server.view());
  for (int shift = 0; shift < 64; shift += 8)
    context.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(day) >> shift));
  return derive_key(Key(network.bytes), "rendezvous", context);
}

Bytes seal_presence(const Identity& identity, const Presence& presence, const Key& key, Random& random) {
  SPATTER_ASSERT(presence.server == identity.server);
  wire::Presence message;
  message.set_network(identity.network.raw());
  message.set_version(presence.version);
  message.set_port(presence.port);
  for (const Address& address : presence.addresses) {
    if (message.addresses_size() == static_cast<int>(presence_addresses_max)) break;
    message.add_addresses(address.text());
  }
  // Long names may not fit: those that were best go first, and stay.
  auto record = sign_message(identity.server_key, presence_kind, message);
  constexpr std::size_t room = presence_bytes_max - salt_bytes - aead_tag_bytes;
  while (record.ByteSizeLong() + length_bytes > room && message.addresses_size() > 0) {
    message.mutable_addresses()->RemoveLast();
    record = sign_message(identity.server_key, presence_kind, message);
  }
  const std::string text = record.SerializeAsString();
  Bytes plain{static_cast<std::uint8_t>(text.size()), static_cast<std::uint8_t>(text.size() >> 8)};
  plain.insert(plain.end(), text.begin(), text.end());
  plain.resize(std::min((plain.size() + rounded_to - 1) / rounded_to * rounded_to, room));
  Bytes sealed(salt_bytes + plain.size() + aead_tag_bytes);
  const MutableBytes salt = MutableBytes(sealed).first(salt_bytes);
  random.fill(salt);
  seal(message_key(key, salt), Nonce{}, {}, plain, MutableBytes(sealed).subspan(salt_bytes));
  return sealed;
}

Result<Presence> open_presence(ByteView sealed, const Key& key, const NetworkId& network) {
  if (sealed.size() < salt_bytes + aead_tag_bytes + length_bytes || sealed.size() > presence_bytes_max)
    return fail(Errc::corrupt, "a presence of {} bytes", sealed.size());
  Bytes plain(sealed.size() - salt_bytes - aead_tag_bytes);
  TRY_VOID(open(message_key(key, sealed.first(salt_bytes)), Nonce{}, {}, sealed.subspan(salt_bytes),
                plain));
  const std::size_t length = plain[0] | std::size_t{plain[1]} << 8;
  if (length > plain.size() - length_bytes)
    return fail(Errc::invalid, "a presence with {} bytes, of {}", plain.size(), length);
  wire::Signed record;
  if (!record.ParseFromArray(plain.data() + length_bytes, static_cast<int>(length)))
    return fail(Errc::invalid, "a presence that cannot be read");
  TRY(auto message, open_signed<wire::Presence>(record, presence_kind));
  if (message.network() != as_text(network.view()))
    return fail(Errc::denied, "a presence in another network");
  if (message.port() > std::numeric_limits<std::uint16_t>::max() || message.version() == 0 ||
      message.version() > static_cast<std::uint64_t>(std::numeric_limits<WallMs>::max()) ||
      message.addresses_size() > static_cast<int>(presence_addresses_max))
    return fail(Errc::invalid, "a presence with numbers out of their bounds");
  Presence presence;
  presence.server = server_id(as_bytes(record.key()));
  presence.version = message.version();
  presence.port = static_cast<std::uint16_t>(message.port());
  for (const auto& text : message.addresses()) {
    TRY(auto address, Address::parse(text));
    presence.addresses.push_back(std::move(address));
  }
  return presence;
}

Result<void> PresenceJudge::judge(const Presence& presence, WallMs now, Duration age_max) {
  if (presence.server == own_) return fail(Errc::exists, "a presence of this server's own");
  if (!is_member_(presence.server))
    return fail(Errc::denied, "a presence of server {}, which is no member", presence.server);
  const auto made = static_cast<WallMs>(presence.version);
  const WallMs age_max_ms = std::chrono::duration_cast<std::chrono::milliseconds>(age_max).count();
  if (made > now + skew_ms || now - made > age_max_ms + skew_ms)
    return fail(Errc::invalid, "a presence of server {} from another time", presence.server);
  auto& newest = newest_[presence.server];
  if (presence.version <= newest)
    return fail(Errc::exists, "a presence of server {} that was heard before", presence.server);
  newest = presence.version;
  return {};
}

}  // namespace spatter
