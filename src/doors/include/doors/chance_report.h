// Draws and seed chains for people: read from JSON or files, recomputed, and told step by step, so
// that who doubts a decision can follow it himself. What `spatter chance verify` is made of.
//
// All functions are pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "chance/choice.h"
#include "trust/chance_records.h"

namespace spatter::doors {

using Json = nlohmann::json;

/// {"kind": "draw" | "seed chain" | "seed conflict", ...}; docs/PROTOCOL.md has the keys.
Json chance_json(const ChanceRecord& record);

struct ParsedChance {
  ChanceRecord record;
  std::optional<VrfOutput> claimed;  ///< a draw's output, where the JSON states one
};

/// From JSON or a chance file, whichever it is. Errc::invalid names what is missing or wrong.
Result<ParsedChance> parse_chance(ByteView bytes);

/// What shall be made of a draw's output.
struct ChanceUse {
  std::optional<std::uint64_t> choose, of;  ///< so many of so many
  std::vector<WeightedId> candidates;        ///< or of these, by weight
  struct Lot {
    std::uint32_t expected = 0, weight = 0;
    std::uint64_t total = 0;
  };
  std::optional<Lot> lot;
  struct Aging {
    std::uint64_t done_epoch = 0, period_epochs = 0;
  };
  std::optional<Aging> aging;  ///< of a seed chain: the next procedure
  std::optional<NetworkId> network;  ///< that it must be of
};

struct ChanceReport {
  std::vector<std::string> steps;  ///< sentences, in the order of the computation
  Json facts = Json::object();     ///< what came out, for programs
  std::optional<Error> wrong;      ///< nothing: it holds
};

/// Recomputes everything that is checkable. Stops at the first thing that is wrong.
ChanceReport explain_chance(const ParsedChance& parsed, const ChanceUse& use);

}  // namespace spatter::doors
