// The part of Server that has to do with spare cycles.
#include "node/mode_words.h"
#include "server_state.h"

namespace spatter {

/// From here on this server computes for others, as far as it has promised to, and others for it.
Task<Result<void>> Server::State::start_cycles() {
  CO_TRY(cycles, co_await runtime.blocking([&] { return load_cycles_settings(runtime.disk()); }));
  wire = std::make_unique<WorkWire>(*rpc, *identity);
  ledger = std::make_unique<LedgerDesk>(LedgerDesk::Parts{runtime, *wire, *members, *identity, genesis}, options.ledger);
  ledger->on_epoch = [this](std::uint64_t month) { month_began(month); };
  CO_TRY_VOID(co_await ledger->start());
  say_pledge();
  if (options.runner) {
    const auto may_work = [this](const PersonId& person) -> Result<void> {
      if (cycles.share_ppm == 0) return fail(Errc::denied, "it has promised no cycles");
      if (person != identity->person && !members->is_trusted(person))
        return fail(Errc::denied, "person {} is not trusted yet", person);
      if (mode && mode->repair_only()) return fail(Errc::denied, "the network only mends now");
      return options.runner->may_run();
    };
    work = std::make_unique<WorkDesk>(
        WorkDesk::Parts{runtime, *wire, *members, *identity, *options.runner, ledger.get(), may_work}, options.work);
    CO_TRY_VOID(co_await work->start());
    options.runner->set_policy(cycles);
    work->set_parallel(options.runner->parallel(cycles.share_ppm));
  }
  jobs = std::make_unique<JobDesk>(
      JobDesk::Parts{runtime, *wire, *rpc, *members, *identity, *volume, ledger.get(),
                     [this] { return genesis.epoch_of(runtime.wall_ms()); },
                     [this]() -> Result<void> {
                       if (mode && mode->repair_only()) return fail(Errc::unavailable, "{}", spatter::mode_notice(mode->status()));
                       return {};
                     },
                     [this] { return options.runner && cycles.share_ppm > 0 && options.runner->may_run().has_value(); },
                     options.runner ? options.runner->workshop() : nullptr},
      options.jobs);
  co_await jobs->start();
  co_return Result<void>{};
}

Task<void> Server::State::stop_cycles() {
  if (jobs) co_await jobs->stop();
  if (work) co_await work->stop();
  if (ledger) co_await ledger->stop();
}

/// What the chain says of a machine without a sandbox is that it promises nothing.
void Server::State::say_pledge() {
  if (!options.runner) return ledger->set_pledge(0, {});
  std::optional<cycles::Pledge> later;
  if (cycles.next) later = cycles::Pledge{cycles.next->share_ppm, cycles.next->from_month};
  ledger->set_pledge(cycles.share_ppm, later);
}

/// What was promised for this month is in force from here on.
void Server::State::month_began(std::uint64_t month) {
  if (!cycles.next || month < cycles.next->from_month) return;
  auto settings = cycles;
  settings.share_ppm = cycles.next->share_ppm;
  settings.next.reset();
  key_tasks.spawn([](State* state, CyclesSettings settings) -> Task<void> {
    if (const auto put = co_await state->put_cycles(std::move(settings)); !put)
      state->runtime.log().error("the share promised for this month cannot be taken up: {}", put.error().message);
  }(this, std::move(settings)));
}

JobDesk& Server::jobs() { return *state_->jobs; }
LedgerDesk& Server::ledger() { return *state_->ledger; }
WorkDesk* Server::work() { return state_->work.get(); }
const WorkRunner* Server::runner() const { return state_->options.runner.get(); }
const CyclesSettings& Server::cycles() const { return state_->cycles; }

Task<Result<void>> Server::set_cycles(CyclesSettings settings) {
  if ((settings.share_ppm > 0 || settings.next) && !state_->options.runner)
    co_return fail(Errc::unavailable, "this server cannot compute for others: it has no sandbox");
  co_return co_await state_->put_cycles(std::move(settings));
}

Task<Result<void>> Server::State::put_cycles(CyclesSettings settings) {
  const auto saved = co_await runtime.blocking([&] { return save_cycles_settings(runtime.disk(), settings); });
  CO_TRY_VOID(saved);
  cycles = settings;
  say_pledge();
  if (!work) co_return Result<void>{};
  options.runner->set_policy(settings);
  work->set_parallel(options.runner->parallel(settings.share_ppm));
  if (settings.share_ppm == 0) co_await work->drop_all();
  if (jobs) jobs->poke();
  co_return Result<void>{};
}

}  // namespace spatter
