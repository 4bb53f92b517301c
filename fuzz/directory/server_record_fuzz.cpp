// Server records and admissions from a peer: refused, or taken into the roster within its bounds.
// The bytes are tried as a signed record as it comes, and as a body that its server really signed.
#include "directory/roster.h"

namespace {

struct World {
  spatter::SeededRandom random{1};
  spatter::SigningKey founder = spatter::SigningKey::generate(random);
  spatter::GenesisFacts genesis =
      spatter::check_genesis(spatter::make_genesis(founder, random, 1)).value();
  spatter::Identity identity = spatter::make_identity(
      genesis.network, founder, spatter::SigningKey::generate(random), 1);
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  static World world;
  Roster roster(world.genesis);
  wire::Signed record;
  if (record.ParseFromArray(data, static_cast<int>(size))) {
    (void)roster.accept(record);
    (void)roster.admit(record);
    (void)check_genesis(record);
    (void)check_certificate(record, world.genesis.network);
  }
  wire::ServerRecord message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  const auto& key = world.identity.server_key.public_key();
  message.set_server_key(key.data(), key.size());
  *message.mutable_certificate() = world.identity.certificate;
  const auto taken = roster.accept(sign_message(world.identity.server_key, kind::server, message));
  if (!taken) return 0;
  const auto* entry = roster.find(world.identity.server);
  SPATTER_ASSERT(entry && entry->member.addresses.size() <= Roster::addresses_max);
  SPATTER_ASSERT(entry->member.free_bytes <= entry->member.capacity_bytes);
  for (const auto& address : entry->member.addresses)
    SPATTER_ASSERT(Address::parse(address.text()).value() == address);
  return 0;
}
