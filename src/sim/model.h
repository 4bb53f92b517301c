// What the files of one client may hold, by what was acknowledged: one content per path while every
// answer came, several after an operation whose end nobody saw.
#pragma once

#include <compare>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace spatter::sim {

/// A file's bytes, told by seed and size.
struct Content {
  std::uint64_t seed = 0;
  std::uint64_t size = 0;
  auto operator<=>(const Content&) const = default;

  /// The bytes [offset, offset + length).
  Buffer bytes(std::uint64_t offset, std::uint64_t length) const;
};

class Model {
 public:
  using State = std::optional<Content>;  // nothing: no such file

  const std::vector<State>& possible(const std::string& path) const;
  bool may_be(const std::string& path, const State& state) const;
  bool surely_there(const std::string& path) const;
  std::vector<std::string> paths() const;  ///< that may be there

  void set(const std::string& path, State state);      ///< acknowledged, or seen
  void may_be_now(const std::string& path, State state);  ///< attempted, no answer

 private:
  std::map<std::string, std::vector<State>> files_;
};

}  // namespace spatter::sim
