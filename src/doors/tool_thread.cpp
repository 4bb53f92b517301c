#include "tool_thread.h"

namespace spatter::doors {

Result<cycles::SandboxEnd> ToolSession::run(const cycles::ToolWork& work) {
  return run_begun([&] { return cycles::start_tool(work); });
}

Result<cycles::SandboxEnd> ToolSession::run(const cycles::SandboxJob& job) {
  return run_begun([&] { return cycles::Sandboxed::start(job); });
}

Result<cycles::SandboxEnd> ToolSession::run_begun(const std::function<Result<cycles::Sandboxed>()>& begin) {
  std::unique_lock lock(mutex_);
  if (killed_) return fail(Errc::cancelled, "given up");
  TRY(auto sandboxed, begin());
  running_ = &sandboxed;
  lock.unlock();
  const auto group = sandboxed.group();
  if (watch_.begun) watch_.begun(group);
  auto end = sandboxed.wait();
  lock.lock();
  running_ = nullptr;
  const bool killed = killed_;
  lock.unlock();
  if (watch_.ended) watch_.ended(group, end ? std::optional(end->cpu) : std::nullopt);
  if (killed) return fail(Errc::cancelled, "given up");
  return end;
}

void ToolSession::kill() {
  const std::lock_guard lock(mutex_);
  killed_ = true;
  if (running_) running_->kill();
}

bool ToolSession::is_killed() {
  const std::lock_guard lock(mutex_);
  return killed_;
}

ToolThreads::~ToolThreads() {
  std::unique_lock lock(core_->mutex);
  for (const auto& session : core_->sessions) session->kill();
  core_->changed.wait(lock, [&] { return core_->sessions.empty(); });
}

}  // namespace spatter::doors
