// Server records and admissions from a peer: refused, or taken into the roster within its bounds.
// The bytes are tried as a signed record as it comes, and as a body that its server really signed.
#include "server_of_founder.h"

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
  const auto taken = roster.accept(world.signed_record(message));
  if (!taken) return 0;
  const auto* entry = roster.find(world.identity.server);
  SPATTER_ASSERT(entry && entry->member.addresses.size() <= Roster::addresses_max);
  SPATTER_ASSERT(entry->member.free_bytes <= entry->member.capacity_bytes);
  for (const auto& address : entry->member.addresses)
    SPATTER_ASSERT(Address::parse(address.text()).value() == address);
  return 0;
}
