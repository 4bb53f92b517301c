// Programs on disk, by key. An entry is a file: its magic, the key, the SHA-256 of the program, the
// program. It is written whole or not at all, and read only whole and right.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"

namespace spatter::cycles {

class ProgramCache {
 public:
  ProgramCache(std::string folder, std::uint64_t bytes_max, Log& log)
      : folder_(std::move(folder)), bytes_max_(bytes_max), log_(log) {}

  /// None when it is not there, or not right: then it is removed. Counts as a use.
  std::optional<Bytes> get(const Digest& key) const;
  /// Then removes what has not been used for longest, until what is left has at most bytes_max.
  Result<void> put(const Digest& key, ByteView program) const;

 private:
  std::string path_of(const Digest& key) const;
  void make_room(const std::string& keep) const;

  std::string folder_;
  std::uint64_t bytes_max_;
  Log& log_;
};

}  // namespace spatter::cycles
