// Any set of records that could have been signed by a handful of persons and their keys: evaluated
// without a crash, the same in reverse order, and never with more vouches or weight than there can be.
#include <algorithm>

#include "crypto/hash.h"
#include "trust/standing.h"

namespace {

using namespace spatter;

/// Takes numbers off the input; zeros at its end.
class Input {
 public:
  explicit Input(ByteView bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto first = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return first;
  }

 private:
  ByteView bytes_;
};

PersonId person(unsigned number) {
  PersonId id;
  id.bytes[0] = static_cast<std::uint8_t>(1 + number % 8);
  return id;
}
PersonId recovery_key(unsigned number) {
  PersonId id = person(number);
  id.bytes[1] = 1;
  return id;
}
PersonId new_key(unsigned number) {
  PersonId id = person(number);
  id.bytes[2] = static_cast<std::uint8_t>(1 + number / 8 % 3);
  return id;
}
VrfOutput draw(std::uint8_t value) {
  VrfOutput output{};
  output[0] = value;
  return output;
}

/// Of records so far, one: that is how announces, reviews and countersignatures refer.
Digest one_of(const std::vector<TrustFacts>& records, std::uint8_t at) {
  return records.empty() ? Digest() : records[records.size() - 1 - at % records.size()].id;
}

TrustFacts record(Input& in, const std::vector<TrustFacts>& records, std::uint64_t& epoch) {
  TrustFacts facts;
  facts.id = sha256(as_bytes(fmt::format("record {}", records.size())));
  const auto kind = in.byte();
  epoch += kind >> 6;
  facts.epoch = epoch;
  const unsigned who = in.byte();
  const auto other = in.byte();
  facts.key = who & 0x80 ? new_key(who) : person(who);
  switch (kind % 9) {
    case 0: {
      std::optional<Digest> recovery;
      if (kind & 0x20) recovery = sha256(recovery_key(other).view());
      facts.what = Admitted{person(other), person(who), recovery};
      break;
    }
    case 1: facts.what = Vouch{person(who), person(other), 1 + in.byte() % 5U, draw(other)}; break;
    case 2: facts.what = Renewal{person(who), 1 + other % 4U, draw(in.byte())}; break;
    case 3: {
      Announce announce;
      announce.person = person(who);
      announce.basis = one_of(records, other);
      announce.phrase_epoch = facts.epoch - std::min<std::uint64_t>(facts.epoch, in.byte() % 3U);
      for (unsigned i = 0; i < 8; ++i) announce.lots.push_back({person(i), person(i), draw(other)});
      announce.recovery = sha256(recovery_key(who).view());
      facts.what = announce;
      break;
    }
    case 4:
      facts.what = Review{person(who), one_of(records, other),
                          static_cast<Verdict>(1 + in.byte() % 3U), "", draw(other)};
      break;
    case 5: facts.what = Countersign{person(who), one_of(records, other)}; break;
    case 6:
      facts.key = recovery_key(who);
      facts.what = WordsProof{person(who), one_of(records, other)};
      break;
    case 7: facts.what = Doubt{person(who), person(other), ""}; break;
    default:
      facts.key = recovery_key(who);
      facts.what = Rotation{person(who), 1 + other % 3U, new_key(in.byte())};
  }
  return facts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 2000) return 0;
  Input in({data, size});
  GenesisFacts genesis;
  genesis.founder = person(0);
  genesis.recovery = sha256(recovery_key(0).view());
  const auto setting = in.byte();
  genesis.rules.reviewers = setting % 4;
  genesis.rules.vouches_needed = std::min(genesis.rules.reviewers, 1U + setting / 4 % 3);
  genesis.rules.vouch_epochs = 8;
  genesis.rules.substitute_epochs = 2;
  genesis.rules.aging_epochs = setting / 16 % 4 * 4;
  genesis.rules.grace_epochs = 3;
  genesis.rules.doubts_needed = 2;
  genesis.rules.fraud_memory_epochs = 10;
  std::vector<TrustFacts> records;
  std::uint64_t epoch = 0;
  while (!in.empty()) records.push_back(record(in, records, epoch));

  const auto standings = evaluate(records, genesis, epoch);
  std::ranges::reverse(records);
  const auto again = evaluate(records, genesis, epoch);
  for (const auto& [id, who] : standings.persons) {
    const auto& same = again.of(id);
    SPATTER_ASSERT(who.state == same.state && who.weight == same.weight && who.due == same.due &&
                   who.key == same.key && who.next_vouch == same.next_vouch);
    SPATTER_ASSERT(who.weight <= 100 && who.allowance <= who.weight);
    SPATTER_ASSERT(who.vouches_open <= genesis.rules.vouches_open_max);
    SPATTER_ASSERT(who.state == Standing::State::trusted || who.allowance == 0);
  }
  for (const auto& [basis, clip] : standings.clips) {
    SPATTER_ASSERT(clip.vouches + clip.refusals <= clip.reviewers);
    SPATTER_ASSERT(clip.reviewers <= clip.drawn.size());
    SPATTER_ASSERT(clip.state != ClipCase::State::accepted || clip.vouches >= clip.vouches_needed);
  }
  return 0;
}
