// The threads that hash. They run at the lowest class the system has (SCHED_IDLE), so anything else
// that wants the processor has it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cycles/stratum.h"

namespace spatter::mining {

class HashEngine {
 public:
  struct Options {
    unsigned threads = 1;
    ScanKernel kernel = scan_kernel_chosen();
    bool idle_class = true;
  };
  /// Called on the hashing threads.
  using OnShare = std::function<void(Share)>;

  /// The Runtime, of which only the clock is used, must outlive it.
  HashEngine(const Runtime& runtime, const Options& options, OnShare on_share);
  ~HashEngine();  ///< stops the threads, within some milliseconds

  /// From now on; null: nothing. Threads turn to it within some milliseconds of their running. Any
  /// thread.
  void set_work(std::shared_ptr<const MiningWork> work);

  std::uint64_t hashes() const { return hashes_.load(std::memory_order_relaxed); }

 private:
  void work_on_units();
  void search(const std::shared_ptr<const MiningWork>& work, const SearchUnit& unit,
              std::uint64_t change, std::uint64_t& chunk);

  const Runtime& runtime_;
  const Options options_;
  OnShare on_share_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const MiningWork> work_;
  bool stopping_ = false;
  std::atomic<std::uint64_t> change_{0};  ///< counts set_work and the end
  std::atomic<std::uint64_t> hashes_{0};
  std::vector<std::thread> threads_;
};

}  // namespace spatter::mining
