// Whose results are believed without having every one of them computed twice: those of servers whose last
// results, so many in a row, were all found right. One wrong result and it starts anew, with twice as many
// wanted each time. After Sarmenta, "Sabotage-tolerance mechanisms for volunteer computing systems" (2002).
//
// Each asker counts for himself: what others say of a server counts for nothing.
#pragma once

#include <cstdint>
#include <map>

#include "base/ids.h"

namespace spatter {

struct WorkerRecord {
  std::uint32_t right = 0;        ///< in a row
  std::uint32_t wrong = 0;        ///< ever
  std::uint64_t right_total = 0;
  bool operator==(const WorkerRecord&) const = default;
};

class WorkerTrust {
 public:
  static constexpr std::uint32_t right_wanted_max = 10'000;
  explicit WorkerTrust(std::uint32_t right_wanted = 10) : right_wanted_(right_wanted) {}

  bool is_trusted(const ServerId& server) const;
  /// How many right results in a row it takes for this one.
  std::uint32_t wanted(const ServerId& server) const;
  void right(const ServerId& server);
  void wrong(const ServerId& server);
  WorkerRecord of(const ServerId& server) const;
  void put(const ServerId& server, WorkerRecord record) { records_[server] = record; }
  const std::map<ServerId, WorkerRecord>& all() const { return records_; }

 private:
  std::uint32_t right_wanted_;
  std::map<ServerId, WorkerRecord> records_;
};

}  // namespace spatter
