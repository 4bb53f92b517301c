#include "cycles/hash_engine.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

namespace spatter::mining {
namespace {

constexpr std::uint64_t nonces_all = std::uint64_t{1} << 32;
/// Nonces between two looks at whether there is other work: some milliseconds' worth.
constexpr std::uint64_t chunk_least = 1 << 10, chunk_most = 1 << 20;
constexpr Duration chunk_time = std::chrono::milliseconds(5);

}  // namespace

HashEngine::HashEngine(const Runtime& runtime, const Options& options, OnShare on_share)
    : runtime_(runtime), options_(options), on_share_(std::move(on_share)) {
  for (unsigned i = 0; i < options_.threads; ++i)
    threads_.emplace_back([this] {
      const sched_param lowest{};
      // Refused only where the process is in a class from which there is no way down: then it stays.
      if (options_.idle_class) ::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &lowest);
      ::pthread_setname_np(::pthread_self(), "hashing");
      work_on_units();
    });
}

HashEngine::~HashEngine() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    ++change_;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void HashEngine::set_work(std::shared_ptr<const MiningWork> work) {
  {
    std::lock_guard lock(mutex_);
    work_ = std::move(work);
    ++change_;
  }
  changed_.notify_all();
}

void HashEngine::work_on_units() {
  std::uint64_t chunk = chunk_least;
  while (true) {
    std::shared_ptr<const MiningWork> work;
    std::uint64_t change = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || work_ != nullptr; });
      if (stopping_) return;
      work = work_;
      change = change_;
    }
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(runtime_.now() - work->received);
    const auto unit = unit_of(*work, (*work->units)++,
                              static_cast<std::uint64_t>(std::max<std::int64_t>(age.count(), 0)));
    if (unit) {
      search(work, *unit, change, chunk);
      continue;
    }
    // All there was is searched: until the next second allows a later time, or another job comes.
    --*work->units;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(1), [&] { return change_ != change; });
  }
}

void HashEngine::search(const std::shared_ptr<const MiningWork>& work, const SearchUnit& unit,
                        std::uint64_t change, std::uint64_t& chunk) {
  const HeaderScan header(unit.header, unit.versions, work->target, options_.kernel);
  std::vector<Hit> hits;
  for (std::uint64_t nonce = 0; nonce < nonces_all && change_ == change;) {
    const TimePoint begin = runtime_.now();
    const std::uint64_t count = std::min(chunk, nonces_all - nonce);
    header.scan(static_cast<std::uint32_t>(nonce), count, hits);
    nonce += count;
    hashes_.fetch_add(count * header.versions(), std::memory_order_relaxed);
    for (const Hit& hit : hits) {
      // From the coinbase up, as the pool will do it.
      const BlockHeader again = header_of(*work, unit.extranonce2, unit.time, hit.nonce, hit.version);
      SPATTER_ASSERT(double_sha256(again) == hit.hash);
      on_share_({work, unit.extranonce2, unit.time, hit.nonce, hit.version, hit.hash});
    }
    hits.clear();
    const Duration took = runtime_.now() - begin;
    if (took < chunk_time / 2)
      chunk = std::min(chunk * 2, chunk_most);
    else if (took > chunk_time * 2)
      chunk = std::max(chunk / 2, chunk_least);
  }
}

}  // namespace spatter::mining
