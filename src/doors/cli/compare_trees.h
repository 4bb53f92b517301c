// Are two folders the same, byte for byte? How `try` knows that it tells the truth.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace spatter::doors {

struct TreeComparison {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> differences;  ///< "path: what differs", at most 100
  bool same() const { return differences.empty(); }
};

/// Types, modes, modification times, link targets and every byte of content below `a` and `b`.
Result<TreeComparison> compare_trees(const std::string& a, const std::string& b);

}  // namespace spatter::doors
