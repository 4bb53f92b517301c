// Descriptors, contracts, and the tails of shard files, from a peer or a rotten disk. Signatures are
// made good, so that the fields behind them are reached.
#include "shard_file.h"
#include "trust/contract.h"

using namespace spatter;
using namespace spatter::serverhalf;

namespace {

const SigningKey& key() {
  static const SigningKey made = [] {
    SeededRandom random(1);
    return SigningKey::generate(random);
  }();
  return made;
}

void descriptor(std::string body) {
  wire::StripeDescriptor message;
  if (message.ParseFromString(body)) {
    message.set_server_key(key().public_key().data(), 32);
    body = message.SerializeAsString();
  }
  const auto checked = check_descriptor(sign(key(), kind::stripe, std::move(body)));
  if (!checked) return;
  SPATTER_ASSERT(checked->n == 3 * checked->k && checked->shard_roots.size() == checked->n);
  SPATTER_ASSERT(checked->shard_size >= 1 && checked->shard_size <= shard_bytes_max);
}

void contract(std::string body) {
  wire::ContractBody message;
  if (message.ParseFromString(body)) {
    message.set_owner_key(key().public_key().data(), 32);
    body = message.SerializeAsString();
  }
  wire::Contract offer;
  offer.set_body(body);
  const auto signature = key().sign(signed_bytes(kind::contract, body));
  offer.set_owner_signature(signature.data(), signature.size());
  const auto terms = check_offer(offer);
  if (terms) SPATTER_ASSERT(terms->size <= shard_bytes_max && terms->until_ms >= terms->signed_ms);
}

void tail(ByteView bytes) {
  // The hash at the end is made good: the rest is then reached.
  Bytes good = to_bytes(bytes);
  const Digest whole = sha256(good);
  good.insert(good.end(), whole.bytes.begin(), whole.bytes.end());
  const auto parsed = parse_tail(good);
  if (parsed) SPATTER_ASSERT(parsed->leaves.size() == leaf_count(parsed->size));
  (void)parse_tail(bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0: descriptor(to_string(rest)); break;
    case 1: contract(to_string(rest)); break;
    case 2: tail(rest); break;
    default: {
      const std::string_view name = as_text(rest);
      if (auto parsed = parse_shard_name(name.substr(0, 2), name))
        SPATTER_ASSERT(shard_path("server", *parsed).ends_with(name));
      break;
    }
  }
  return 0;
}
