// Commands over many paths go on where one fails, as cp and rm do.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace spatter::doors {

/// What went wrong with single paths while the rest went on. Any thread.
class Failures {
 public:
  /// `command` is put before each line, as in "spatter put: ...".
  explicit Failures(std::string command) : command_(std::move(command)) {}

  /// The error's message names the path.
  void add(Error error);
  bool any() const;
  /// What the command says in the end: the one failure, or how many there were.
  std::optional<Error> error() const;
  /// The same as the command's result; of several failures each first gets its line on standard error.
  Result<void> result() const;

 private:
  const std::string command_;
  mutable std::mutex mutex_;
  std::vector<Error> errors_;
};

}  // namespace spatter::doors
