#include "cycles/witnesses.h"

#include "chance/choice.h"
#include "crypto/hash.h"

namespace spatter::cycles {

Draw witness_draw(const NetworkId& network, std::uint64_t epoch, const ServerId& asker, const ServerId& worker) {
  constexpr std::string_view tag("spatter/1 cycles witnesses\0", 27);
  const Digest subject = Sha256().update(as_bytes(tag)).update(asker.view()).update(worker.view()).finish();
  return {network, epoch, Purpose::work, subject};
}

std::vector<PersonId> drawn_witnesses(const VrfOutput& output, std::span<const PersonId> persons, const PersonId& asker,
                                      const PersonId& worker) {
  std::vector<WeightedId> candidates;
  candidates.reserve(persons.size());
  for (const PersonId& person : persons)
    if (person != asker && person != worker) candidates.push_back({Digest{person.bytes}, 1});
  std::vector<PersonId> drawn;
  for (const std::size_t index : choose_weighted(output, candidates, witnesses_drawn))
    drawn.push_back(PersonId{candidates[index].id.bytes});
  return drawn;
}

}  // namespace spatter::cycles
