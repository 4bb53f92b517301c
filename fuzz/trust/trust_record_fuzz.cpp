// Trust records from a peer: the bytes as they are, and as a body that somebody really signed (the
// first byte says as which kind). Refused, or within bounds; and the book takes it or not.
#include "trust/clip.h"
#include "trust/record_book.h"

namespace {

struct World {
  spatter::SeededRandom random{1};
  spatter::SigningKey key = spatter::SigningKey::generate(random);
  spatter::GenesisFacts genesis =
      spatter::check_genesis(spatter::make_genesis(key, random, 1)).value();
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  static const World world;
  static constexpr std::string_view kinds[] = {
      kind::admission, kind::vouch, kind::renewal, kind::announce, kind::review,
      kind::countersign, kind::words, kind::doubt, kind::rotation, kind::genesis};
  RecordBook book(world.genesis, [](const PersonId&) { return true; });
  wire::TrustRecord record;
  if (record.ParseFromArray(data, static_cast<int>(size))) (void)book.add(record);
  if (size == 0) return 0;

  const auto which = data[0] % std::size(kinds);
  const auto body = std::string(as_text({data + 1, size - 1}));
  const auto signed_body = sign(world.key, kinds[which], body);
  if (kinds[which] == kind::genesis) {
    if (auto genesis = check_genesis(signed_body)) {
      SPATTER_ASSERT(genesis->rules.reviewers <= reviewers_max);
      SPATTER_ASSERT(genesis->rules.vouches_needed <= genesis->rules.reviewers);
      (void)members_key(signed_body);
    }
    return 0;
  }
  record.set_kind(static_cast<std::uint32_t>(which + 1));
  *record.mutable_record() = signed_body;
  if (auto facts = check_trust_record(record, world.genesis)) {
    SPATTER_ASSERT(static_cast<std::uint32_t>(facts->kind()) == record.kind());
    SPATTER_ASSERT(facts->epoch <= epoch_max);
    if (const auto* announce = std::get_if<Announce>(&facts->what))
      SPATTER_ASSERT(announce->lots.size() <= lots_max &&
                     announce->clip_bytes <= sealed_clip_bytes_max);
    (void)book.add(record);
    (void)book.standings({}, facts->epoch);
  }
  return 0;
}
