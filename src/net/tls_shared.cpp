#include "tls_shared.h"

namespace spatter {

void Shared::log_refusal(std::string_view why) {
  std::uint64_t more = 0;
  {
    std::lock_guard lock(mutex);
    const auto now = runtime.now();
    if (now - refusal_logged < std::chrono::seconds(1)) {
      ++refusals_unlogged;
      return;
    }
    refusal_logged = now;
    more = std::exchange(refusals_unlogged, 0);
  }
  runtime.log().info("refused a connection: {}{}", why,
                     more == 0 ? "" : fmt::format(" (and {} others since the last such line)", more));
}

std::shared_ptr<Admission> Admission::take(const std::shared_ptr<Shared>& shared,
                                           const std::string& host) {
  std::lock_guard lock(shared->mutex);
  if (shared->stopped) return nullptr;
  std::size_t& here = shared->per_address[host];
  if (here >= shared->options.per_address_max || shared->half_open >= shared->options.half_open_max) {
    shared->runtime.log().warning("{}: connection closed, there are too many ({} of it, {} in handshake)",
                                  host, here, shared->half_open);
    if (here == 0) shared->per_address.erase(host);
    return nullptr;
  }
  ++here;
  ++shared->half_open;
  return std::make_shared<Admission>(shared, host);
}

void Admission::settle() {
  std::lock_guard lock(shared_->mutex);
  if (!std::exchange(settled_, true)) --shared_->half_open;
}

Admission::~Admission() {
  settle();
  std::lock_guard lock(shared_->mutex);
  if (--shared_->per_address[host_] == 0) shared_->per_address.erase(host_);
}

}  // namespace spatter
