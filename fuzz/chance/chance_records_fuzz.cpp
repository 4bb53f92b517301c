// A chance file: refused, or the same again when written and read; and a chain that passes every check
// is one that its person made.
#include "trust/chance_records.h"

namespace {

using namespace spatter;

const SigningKey& person() {
  static const SigningKey key = SigningKey::from_seed(Key());
  return key;
}

/// A true chain, so that the fuzzer alters something instead of never getting past the first signature.
const SeedChain& true_chain() {
  static const SeedChain chain = [] {
    SeedChain made{make_seed_root(person(), {}, {}, 1), {}};
    SeedHead head = check_seed_root(made.root, {}).value();
    for (std::uint64_t epoch = 2; epoch < 5; ++epoch) {
      made.links.push_back(make_seed_link(person(), head, epoch, {{Contribution::Kind::audit, head.head}}).value());
      head = check_seed_link(head, made.links.back()).value();
    }
    return made;
  }();
  return chain;
}

void check(const ChanceRecord& record) {
  const Bytes written = write_chance_file(record);
  SPATTER_ASSERT(write_chance_file(read_chance_file(written).value()) == written);
  if (const auto* draw = std::get_if<DrawRecord>(&record)) (void)check_draw(draw->draw, draw->proof);
  if (const auto* conflict = std::get_if<SeedConflict>(&record)) (void)check_seed_conflict(*conflict, {});
  if (const auto* chain = std::get_if<SeedChain>(&record)) {
    if (chain->links.size() > 8) return;
    (void)find_seed_conflict(*chain, true_chain());
    const auto heads = check_seed_chain(*chain, {});
    if (heads && heads->front().person == person_id(person().public_key()))
      SPATTER_ASSERT(!find_seed_conflict(*chain, true_chain()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (const auto record = read_chance_file({data, size})) check(*record);
  // The same with a few bytes of a true file altered: pairs of place and value.
  static const Bytes original = write_chance_file(true_chain());
  Bytes altered = original;
  for (std::size_t i = 0; i + 3 <= size && i < 12; i += 3)
    altered[(data[i] | data[i + 1] << 8) % altered.size()] ^= data[i + 2];
  if (const auto record = read_chance_file(altered)) check(*record);
  return 0;
}
