#include "trust/standing.h"

#include "sweep.h"

namespace spatter {

std::string_view to_string(Standing::State state) {
  switch (state) {
    case Standing::State::stranger: return "stranger";
    case Standing::State::guest: return "guest";
    case Standing::State::trusted: return "trusted";
    case Standing::State::fraud: return "fraud";
  }
  panic(__FILE__, __LINE__, "a standing without a name");
}

bool Standing::has_had(const PersonId& which) const {
  return std::ranges::find(keys, which, &Key::key) != keys.end();
}

bool had_key(std::span<const Standing::Key> keys, const PersonId& which, std::uint64_t epoch) {
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].key != which) continue;
    // In the epoch of a change both are his, and clocks differ by one more.
    return epoch + 1 >= keys[i].since && (i + 1 == keys.size() || epoch <= keys[i + 1].since + 1);
  }
  return false;
}

std::vector<PersonId> ClipCase::asked(std::uint64_t now, const TrustRules& rules) const {
  const bool substitutes = announce && now >= announced + rules.substitute_epochs;
  auto result = drawn;
  if (!substitutes) result.resize(reviewers);
  return result;
}

const Standing& Standings::of(const PersonId& person) const {
  static const Standing stranger;
  const auto found = persons.find(person);
  return found == persons.end() ? stranger : found->second;
}

Standings evaluate(std::span<const TrustFacts> records, const GenesisFacts& genesis,
                   std::uint64_t now) {
  std::vector<const TrustFacts*> pointers;
  pointers.reserve(records.size());
  for (const auto& facts : records) pointers.push_back(&facts);
  return Sweep(genesis, now).run(std::move(pointers));
}

}  // namespace spatter
