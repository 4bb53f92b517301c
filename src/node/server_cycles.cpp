// The part of Server that has to do with spare cycles.
#include "node/mode_words.h"
#include "server_state.h"

namespace spatter {

/// From here on this server computes for others, as far as it has promised to, and others for it.
Task<Result<void>> Server::State::start_cycles() {
  CO_TRY(cycles, co_await runtime.blocking([&] { return load_cycles_settings(runtime.disk()); }));
  wire = std::make_unique<WorkWire>(*rpc, *identity);
  if (options.runner) {
    const auto may_work = [this](const PersonId& person) -> Result<void> {
      if (cycles.share_ppm == 0) return fail(Errc::denied, "server {} has promised no cycles", identity->server);
      if (person != identity->person && !members->is_trusted(person))
        return fail(Errc::denied, "person {} is not trusted yet", person);
      if (mode && mode->repair_only()) return fail(Errc::busy, "the network only mends now");
      return options.runner->may_run();
    };
    work = std::make_unique<WorkDesk>(WorkDesk::Parts{runtime, *wire, *members, *identity, *options.runner, may_work},
                                      options.work);
    CO_TRY_VOID(co_await work->start());
    options.runner->set_policy(cycles);
    work->set_parallel(options.runner->parallel(cycles.share_ppm));
  }
  jobs = std::make_unique<JobDesk>(
      JobDesk::Parts{runtime, *wire, *rpc, *members, *identity, *volume,
                     [this] { return genesis.epoch_of(runtime.wall_ms()); },
                     [this]() -> Result<void> {
                       if (mode && mode->repair_only()) return fail(Errc::unavailable, "{}", spatter::mode_notice(mode->status()));
                       return {};
                     },
                     [this] { return options.runner && cycles.share_ppm > 0 && options.runner->may_run().has_value(); }},
      options.jobs);
  co_return co_await jobs->start();
}

Task<void> Server::State::stop_cycles() {
  if (jobs) co_await jobs->stop();
  if (work) co_await work->stop();
}

JobDesk& Server::jobs() { return *state_->jobs; }
WorkDesk* Server::work() { return state_->work.get(); }
const WorkRunner* Server::runner() const { return state_->options.runner.get(); }
const CyclesSettings& Server::cycles() const { return state_->cycles; }

Task<Result<void>> Server::set_cycles(CyclesSettings settings) {
  auto& state = *state_;
  if (settings.share_ppm > 0 && !state.options.runner)
    co_return fail(Errc::unavailable, "this server cannot compute for others: it has no sandbox");
  const auto saved = co_await state.runtime.blocking(
      [&] { return save_cycles_settings(state.runtime.disk(), settings); });
  CO_TRY_VOID(saved);
  state.cycles = settings;
  if (!state.work) co_return Result<void>{};
  state.options.runner->set_policy(settings);
  state.work->set_parallel(state.options.runner->parallel(settings.share_ppm));
  if (settings.share_ppm == 0) co_await state.work->drop_all();
  state.jobs->poke();
  co_return Result<void>{};
}

}  // namespace spatter
