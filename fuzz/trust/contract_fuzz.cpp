// A contract from a peer: the bytes as they are, and the same terms really signed by their owner.
#include "trust/contract.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  static const SigningKey key = [] {
    SeededRandom random(1);
    return SigningKey::generate(random);
  }();
  wire::Contract contract;
  if (contract.ParseFromArray(data, static_cast<int>(size))) {
    (void)check_contract(contract);
    wire::Signed record;
    if (record.ParseFromArray(data, static_cast<int>(size))) (void)check_descriptor(record);
  }
  wire::ContractBody body;
  if (!body.ParseFromArray(data, static_cast<int>(size))) return 0;
  body.set_owner_key(key.public_key().data(), key.public_key().size());
  contract.set_body(body.SerializeAsString());
  const auto signature = key.sign(signed_bytes(kind::contract, contract.body()));
  contract.set_owner_signature(signature.data(), signature.size());
  if (auto terms = check_offer(contract)) {
    SPATTER_ASSERT(terms->size >= 1 && terms->size <= shard_bytes_max);
    SPATTER_ASSERT(terms->until_ms >= terms->signed_ms && terms->signed_ms >= 0);
  }
  return 0;
}
