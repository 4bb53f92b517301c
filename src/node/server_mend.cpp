// The part of Server that has to do with mending.
#include "node/mend_timing.h"
#include "server_state.h"

namespace spatter {

/// From here on others are told who keeps what with them, and asked to show it.
Task<Result<void>> Server::State::start_mending() {
  auto timing = mend_timing(genesis);
  timing.mend.bytes_per_s = dial = repair_bytes_per_s = drive.config.repair_bytes_per_s;
  repair_hours = drive.config.repair_hours;
  Mender::Parts parts{runtime, *rpc, *members, *shards, *identity, {}, {}};
  if (options.runner) {
    parts.thread_time = [this] { return options.runner->thread_time(); };
    parts.computed = [this](Duration used) { options.runner->own_work(used); };
  }
  mender = std::make_unique<Mender>(std::move(parts), timing.mend);
  owner_lists = std::make_unique<OwnerLists>(
      OwnerLists::Parts{runtime, *rpc, *members, *identity, *stripes, *mender}, timing.lists);
  mender->on_told_owner = [this](wire::HolderChain chain) { owner_lists->told(std::move(chain)); };
  const auto epoch = [this] { return genesis.epoch_of(runtime.wall_ms()); };
  const auto next_epoch = [this] {
    const auto now = runtime.wall_ms();
    const auto length = 1000LL * genesis.epoch_seconds;
    const auto passed = now < static_cast<WallMs>(genesis.created_ms) ? 0 : (now - static_cast<WallMs>(genesis.created_ms)) % length;
    return runtime.now() + std::chrono::milliseconds(length - passed);
  };
  const auto own_failed = [this](StripeId stripe, std::uint16_t index, ServerId holder) {
    keeper->shard_failed(stripe, index, holder);
  };
  auditor = std::make_unique<Auditor>(
      Auditor::Parts{runtime, *rpc, *members, *shards, *identity, *stripes, *mender, epoch, next_epoch, own_failed},
      timing.audit);
  CO_TRY_VOID(co_await mender->start());
  owner_lists->start();
  auditor->start();
  co_return Result<void>{};
}

Task<void> Server::State::stop_mending() {
  if (mode) co_await mode->stop();
  if (auditor) co_await auditor->stop();
  if (owner_lists) co_await owner_lists->stop();
  if (mender) co_await mender->stop();
}

}  // namespace spatter
