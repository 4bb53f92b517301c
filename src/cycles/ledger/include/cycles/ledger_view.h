// The ledger in words, for `spatter cycles`: every number with the sentence that explains it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cycles/ledger.h"

namespace spatter::cycles {

/// "1 234 567", so that people can read it.
std::string fuel_text(Fuel fuel);

struct LedgerLine {
  std::string_view name;  ///< "promised", "asked", "delivered", "owed", "docked", "entitlement", "spent"
  Fuel fuel = 0;
  std::string words;      ///< one or two whole sentences
};

/// The seven lines of a person's month, in that order.
std::vector<LedgerLine> explain(const MonthView& view);
/// What a server promises, in a sentence.
std::string explain(const ServerView& view);

}  // namespace spatter::cycles
