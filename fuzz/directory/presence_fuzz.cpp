// Whatever comes by multicast or lies in a public DHT: refused, or a presence within its bounds. The
// bytes are tried as they came, and as what a member sealed, rightly signed.
#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "directory/presence.h"
#include "wire/proto/presence.pb.h"

using namespace spatter;

namespace {

void check(ByteView sealed, const Key& key, const NetworkId& network) {
  const auto presence = open_presence(sealed, key, network);
  if (!presence) {
    SPATTER_ASSERT(!presence.error().message.empty());
    return;
  }
  SPATTER_ASSERT(presence->addresses.size() <= presence_addresses_max && presence->version > 0);
  for (const Address& address : presence->addresses) SPATTER_ASSERT(Address::parse(address.text()));
}

Bytes sealed_with(const Key& key, ByteView plain) {
  constexpr std::size_t salt_bytes = 24;
  Bytes sealed(salt_bytes + plain.size() + aead_tag_bytes);
  const Key once = derive_key(key, "presence", ByteView(sealed).first(salt_bytes));
  seal(once, Nonce{}, {}, plain, MutableBytes(sealed).subspan(salt_bytes));
  return sealed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static SeededRandom random(1);
  static const SigningKey signer = SigningKey::generate(random);
  NetworkId network;
  network.bytes.fill(3);
  const Key key = lan_key(network);
  const ByteView bytes(data, size);
  check(bytes, key, network);
  check(sealed_with(key, bytes), key, network);
  // As the body of a record whose signature holds.
  const std::string record = sign(signer, "presence", std::string(as_text(bytes))).SerializeAsString();
  if (record.size() > 0xffff) return 0;
  Bytes plain{static_cast<std::uint8_t>(record.size()), static_cast<std::uint8_t>(record.size() >> 8)};
  plain.insert(plain.end(), record.begin(), record.end());
  check(sealed_with(key, plain), key, network);
  return 0;
}
