#include "cli/failures.h"

#include "cli/context.h"

namespace spatter::doors {

void Failures::add(Error error) {
  std::lock_guard lock(mutex_);
  errors_.push_back(std::move(error));
}

bool Failures::any() const {
  std::lock_guard lock(mutex_);
  return !errors_.empty();
}

std::optional<Error> Failures::error() const {
  std::lock_guard lock(mutex_);
  if (errors_.empty()) return std::nullopt;
  if (errors_.size() == 1) return errors_.front();
  return Error{errors_.front().code, fmt::format("{} things could not be done; the rest is", errors_.size())};
}

Result<void> Failures::result() const {
  auto summary = error();
  if (!summary) return {};
  std::lock_guard lock(mutex_);
  std::fflush(stdout);
  if (errors_.size() > 1)
    for (const Error& error : errors_) fmt::print(stderr, "spatter {}: {}\n", command_, printable_text(error.message));
  return fail(std::move(*summary));
}

}  // namespace spatter::doors
