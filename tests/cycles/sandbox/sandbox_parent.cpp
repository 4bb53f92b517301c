// Starts a program in a sandbox, prints the program's process id, and waits to be killed. The sandbox
// is started by a thread that ends: only the end of the process may end it.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "cycles/sandbox.h"

int main() {
  using namespace spatter::cycles;
  std::optional<Sandboxed> running;
  std::thread([&running] {
    SandboxJob job;
    job.line = {"/usr/bin/sleep", "1000"};
    job.limits.wall = std::chrono::hours(1);
    if (auto started = Sandboxed::start(job)) running.emplace(std::move(*started));
  }).join();
  if (!running) return 1;
  std::optional<pid_t> process;
  while (!(process = running->process())) std::this_thread::yield();
  fmt::print("{}\n", *process);
  std::fflush(stdout);
  (void)running->wait();
  return 2;
}
