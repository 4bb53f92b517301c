// Jobs alone: a dispatcher with very many pieces, and workers of whom some cheat, die or are slow. Events in
// virtual time; nothing is computed, a piece's right result is a hash of its number.
#pragma once

#include <cstdint>

#include "cycles/dispatcher.h"

namespace spatter::sim::jobs {

struct Scenario {
  std::uint64_t seed = 1;
  unsigned servers = 200;
  unsigned servers_per_person_max = 3;
  std::uint32_t pieces = 100'000;
  unsigned jobs = 1;                ///< one after another, the pieces divided among them
  double cheats = 0.2;              ///< share of the persons
  double cheat_rate = 0.1;          ///< chance that a cheat's result is wrong
  bool patient = true;              ///< a cheat computes rightly until he is trusted
  bool collude = false;             ///< all cheats give the same wrong result, and always when two have met
  double deaths = 0.001;            ///< chance that a worker goes away in mid-piece, for ten pieces' time
  bool trusted = false;             ///< everybody honest has his ten right results already
};

struct Outcome {
  std::uint64_t pieces = 0;
  std::uint64_t wrong_accepted = 0;
  std::uint64_t hopeless = 0;
  std::uint64_t copies = 0;         ///< results computed
  std::uint64_t caught = 0;         ///< times that a cheat was caught
  std::uint64_t honest_caught = 0;  ///< times that somebody honest was taken for a cheat
  std::uint64_t wrong_computed = 0;
  double seconds = 0;               ///< of virtual time
  double overhead() const { return pieces ? static_cast<double>(copies) / static_cast<double>(pieces) - 1 : 0; }
};

Outcome run(const Scenario& scenario);

}  // namespace spatter::sim::jobs
