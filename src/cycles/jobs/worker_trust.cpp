#include "cycles/worker_trust.h"

#include <algorithm>

namespace spatter {

WorkerRecord WorkerTrust::of(const ServerId& server) const {
  const auto found = records_.find(server);
  return found == records_.end() ? WorkerRecord{} : found->second;
}

std::uint32_t WorkerTrust::wanted(const ServerId& server) const {
  const auto wrong = std::min(of(server).wrong, 16u);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{right_wanted_} << wrong, right_wanted_max));
}

bool WorkerTrust::is_trusted(const ServerId& server) const { return of(server).right >= wanted(server); }

void WorkerTrust::right(const ServerId& server) {
  auto& record = records_[server];
  ++record.right;
  ++record.right_total;
}

void WorkerTrust::wrong(const ServerId& server) {
  auto& record = records_[server];
  record.right = 0;
  ++record.wrong;
}

}  // namespace spatter
