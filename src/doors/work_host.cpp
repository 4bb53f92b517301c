#include "work_host.h"

#include <fcntl.h>
#include <signal.h>

#include <asio/post.hpp>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <set>
#include <stop_token>
#include <thread>

#include "base/sync.h"
#include "cycles/module.h"
#include "cycles/piece.h"
#include "cycles/translator.h"
#include "doors/control.h"
#include "miner_process.h"
#include "transcode_piece.h"
#include "video_workshop.h"

namespace spatter::doors {
namespace {

constexpr std::size_t module_bytes_max = 16 << 20;
constexpr unsigned cpu_seconds_max = 4 * 3600;  // fuel is what bounds a piece; this bounds our own mistakes
constexpr auto wall_max = std::chrono::hours(48);
constexpr unsigned threads_max = 64;
constexpr std::uint32_t whole_ppm = 1'000'000;

WorkEnd to_work_end(cycles::PieceEnd end) {
  switch (end) {
    case cycles::PieceEnd::trapped: return WorkEnd::trapped;
    case cycles::PieceEnd::out_of_fuel: return WorkEnd::out_of_fuel;
    case cycles::PieceEnd::out_of_memory: return WorkEnd::out_of_memory;
    case cycles::PieceEnd::output_too_large: return WorkEnd::output_too_large;
    default: return WorkEnd::exited;
  }
}

Result<Descriptor> open_file(const std::string& path, int flags) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!file) return fail(from_errno(errno, fmt::format("open {}", path)));
  return file;
}

std::uint64_t seed_of(const std::string& bytes) {
  std::uint64_t seed = 0;
  for (std::size_t i = 0; i < 8 && i < bytes.size(); ++i) seed |= std::uint64_t{static_cast<std::uint8_t>(bytes[i])} << (8 * i);
  return seed;
}

/// A piece that is computed, as its thread and its coroutine share it.
struct Running {
  explicit Running(asio::any_io_executor executor) : ended(std::move(executor)) {}
  std::stop_source given_up;  ///< callbacks of its token kill what runs for it
  Result<PieceDone> done = given_up_error();
  Event ended;  ///< on the executor

  static std::unexpected<Error> given_up_error() { return fail(Errc::cancelled, "the piece was given up"); }
  void cancel() { given_up.request_stop(); }
};

/// One at a time. Who is given up while he waits for his turn waits no longer.
class Turns {
 public:
  class Turn {
   public:
    explicit Turn(Turns& turns) : turns_(turns) {}
    Turn(const Turn&) = delete;
    ~Turn() {
      const std::lock_guard lock(turns_.mutex_);
      turns_.taken_ = false;
      turns_.over_.notify_all();  // one alone might be who was just given up
    }

   private:
    Turns& turns_;
  };
  /// None: given up.
  std::optional<Turn> take(const std::stop_token& given_up) {
    std::unique_lock lock(mutex_);
    if (!over_.wait(lock, given_up, [&] { return !taken_; }) || given_up.stop_requested()) return std::nullopt;
    taken_ = true;
    return std::optional<Turn>(std::in_place, *this);
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any over_;
  bool taken_ = false;
};

}  // namespace

struct WorkHost::Core {
  Core(Runtime& runtime, std::string drive)
      : runtime(runtime), drive(std::move(drive)),
        translator({.folder = this->drive + "/programs"}, runtime.log()), workshop(runtime, this->drive) {}

  Result<PieceDone> compute(const wire::WorkOrder& order, const PieceFiles& files, Running& running);
  Result<PieceDone> transcode(const wire::WorkOrder& order, const PieceFiles& files, Running& running);
  Result<cycles::Program> translate(const AdmittedModule& module, Running& running, Duration& cpu);
  void hold_to_share(pid_t group, const std::function<void()>& kill);
  void let_go_of(pid_t group, std::optional<Duration> cpu);
  ToolSession::Watch held_to_share();
  void look_at_encoders();

  Runtime& runtime;
  std::string drive;
  cycles::Translator translator;
  Turns translating;  ///< pieces of one module come together: the first has it translated for all
  mutable std::mutex mutex;
  std::condition_variable changed;
  unsigned threads = 0;
  std::set<std::shared_ptr<Running>> all;
  std::unique_ptr<cycles::Governor> governor;
  std::string no_governor;  ///< why there is none, though one is wanted
  std::string held;         ///< why everything is stopped
  Duration own_work{0};     ///< CPU time of the network's own work, since the start
  cycles::GovernorPolicy policy;
  std::unique_ptr<MinerProcess> miner;
  VideoWorkshop workshop;
  ToolSession look;         ///< at the encoders
  bool looking = false, looked = false;
  std::string no_encoder;   ///< why there is none
};

WorkHost::WorkHost(Runtime& runtime, std::string drive) : core_(std::make_shared<Core>(runtime, std::move(drive))) {}

WorkHost::~WorkHost() {
  core_->miner.reset();
  core_->look.kill();
  std::unique_lock lock(core_->mutex);
  for (const auto& running : core_->all) running->cancel();
  core_->changed.wait(lock, [&] { return core_->threads == 0; });
}

unsigned WorkHost::cores() const { return std::max(1u, std::thread::hardware_concurrency()); }

/// Pieces are single threads: so many that together they can use the share up.
unsigned WorkHost::parallel(std::uint32_t share_ppm) const {
  const auto cores_given = static_cast<double>(share_ppm) * cores() / whole_ppm;
  return std::max(1u, static_cast<unsigned>(std::ceil(cores_given - 1e-9)));
}

Result<void> WorkHost::can_run(const wire::WorkOrder& order) const {
  if (order.has_transcode()) {
    if (order.inputs_size() != 1) return fail(Errc::invalid, "a transcoding with {} inputs", order.inputs_size());
    TRY_VOID(cycles::check_transcode(order.transcode()));
    const std::lock_guard lock(core_->mutex);
    if (!core_->looked) return fail(Errc::busy, "this server's encoders are not known yet");
    const auto print = core_->workshop.prints().known(order.transcode().codec());
    if (!print)
      return fail(Errc::invalid, "this server does not transcode to that: {}", core_->no_encoder);
    if (print->raw() != order.transcode().encoder())
      return fail(Errc::invalid, "this server's ffmpeg is of another version than the asker's: their results could not be compared");
    return {};
  }
  if (!order.has_module()) return fail(Errc::invalid, "work of a kind that this server does not know");
  if (order.inputs_size() > 1) return fail(Errc::invalid, "a module with {} inputs", order.inputs_size());
  return {};
}

Result<void> WorkHost::may_run() const {
  const std::lock_guard lock(core_->mutex);
  if (!core_->governor)
    return fail(Errc::unavailable, "{}", core_->no_governor.empty() ? "no share was promised" : core_->no_governor);
  const auto state = core_->governor->state();
  if (!state.pledged.may_run) return fail(Errc::busy, "{}", state.pledged.because);
  return {};
}

void WorkHost::set_policy(const CyclesSettings& settings) {
  using When = cycles::GovernorPolicy::When;
  const std::lock_guard lock(core_->mutex);
  auto& policy = core_->policy;
  const auto of_all = [&](std::uint32_t ppm) { return static_cast<cycles::SharePpm>(ppm) * cores(); };
  policy.pledged = {of_all(settings.share_ppm), settings.when == WorkWhen::idle ? When::idle : When::always};
  policy.filler = {settings.pool.empty() ? 0 : of_all(settings.mine_share_ppm),
                   settings.mine_when == WorkWhen::idle ? When::idle : When::always};
  policy.quiet = std::chrono::seconds(settings.quiet_s);
  if (!core_->governor) {
    if (settings.share_ppm == 0 && settings.pool.empty()) return;
    auto made = cycles::make_governor(policy, [] {});
    if (!made) {
      core_->no_governor = "the share cannot be held: " + made.error().message;
      core_->runtime.log().error("{}", core_->no_governor);
      return;
    }
    core_->governor = std::move(*made);
    if (!core_->held.empty()) core_->governor->pause(core_->held);
    core_->runtime.log().info("shares of the processor are held by {}", core_->governor->state().held_by);
  } else if (auto set = core_->governor->set_policy(policy); !set) {
    core_->runtime.log().error("{}", set.error().message);
  }
  if (settings.share_ppm > 0 && !std::exchange(core_->looking, true)) {
    ++core_->threads;
    std::thread([core = core_] { core->look_at_encoders(); }).detach();
  }
  // Its thread tells the governor, which has a lock of its own: not under this one.
  auto ended = std::exchange(core_->miner, nullptr);
  const MinerSetup wanted{settings.pool, settings.pool_user, parallel(settings.mine_share_ppm)};
  if (ended && !settings.pool.empty() && ended->setup() == wanted) {
    core_->miner = std::move(ended);
    return;
  }
  ended.reset();
  if (settings.pool.empty()) return;
  auto* governor = core_->governor.get();
  auto& log = core_->runtime.log();
  core_->miner = std::make_unique<MinerProcess>(
      wanted, MinerProcess::Watch{[governor, &log](pid_t pid) {
                                    if (auto added = governor->add_filler(pid); !added) {
                                      log.error("the miner cannot be held to its share: {}", added.error().message);
                                      ::kill(-pid, SIGKILL);
                                    }
                                  },
                                  [governor](pid_t pid, Duration cpu) { governor->remove(pid, cpu); }},
      log);
}

void WorkHost::hold(const std::string& reason) {
  const std::lock_guard lock(core_->mutex);
  core_->held = reason;
  if (core_->governor) core_->governor->pause(reason);
}

void WorkHost::let_go() {
  const std::lock_guard lock(core_->mutex);
  core_->held.clear();
  if (core_->governor) core_->governor->resume();
}

void WorkHost::own_work(Duration cpu_time) {
  const std::lock_guard lock(core_->mutex);
  core_->own_work += cpu_time;
  if (core_->governor) core_->governor->own_work(cpu_time);
}

Duration WorkHost::thread_time() const {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::optional<MachineReport> WorkHost::machine() const {
  const std::lock_guard lock(core_->mutex);
  if (!core_->governor) return std::nullopt;
  const auto state = core_->governor->state();
  const auto of = [](const cycles::GovernorState::Class& one) {
    const auto seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
    return MachineReport::Class{one.may_run, one.because, static_cast<double>(one.share.share) / whole_ppm,
                                one.share.processes, seconds(one.share.used), seconds(one.share.used_minute),
                                seconds(one.share.granted_minute), seconds(one.share.used_hour),
                                seconds(one.share.granted_hour)};
  };
  MachineReport report{cores(), state.held_by, state.user_present, state.user, of(state.pledged), of(state.filler),
                       core_->miner ? core_->miner->report() : std::string(), {}};
  report.own_work_s = std::chrono::duration<double>(core_->own_work).count();
  for (const auto& source : state.sources) report.sources.push_back({source.name, source.what, source.works});
  return report;
}

JobWorkshop* WorkHost::workshop() { return &core_->workshop; }

/// Once: a server is restarted when its ffmpeg is another, or refuses pieces of those who have the new one.
void WorkHost::Core::look_at_encoders() {
  std::string why;
  for (const auto codec : {wire::TranscodeWork::H264, wire::TranscodeWork::VP9}) {
    if (const auto print = workshop.prints().of(look, codec, drive + "/work"); !print) why = print.error().message;
  }
  const std::lock_guard lock(mutex);
  no_encoder = std::move(why);
  looked = true;
  if (!no_encoder.empty() && !look.is_killed()) runtime.log().info("not every video is transcoded here: {}", no_encoder);
  --threads;
  changed.notify_all();
}

/// What cannot be held to the share does not run.
void WorkHost::Core::hold_to_share(pid_t group, const std::function<void()>& kill) {
  const std::lock_guard lock(mutex);
  if (auto added = governor->add_pledged(group); !added) {
    kill();
    runtime.log().warning("piece: {}", added.error().message);
  }
}

void WorkHost::Core::let_go_of(pid_t group, std::optional<Duration> cpu) {
  const std::lock_guard lock(mutex);
  governor->remove(group, cpu);
}

ToolSession::Watch WorkHost::Core::held_to_share() {
  return {[this](pid_t group) { hold_to_share(group, [group] { ::kill(-group, SIGKILL); }); },
          [this](pid_t group, std::optional<Duration> cpu) { let_go_of(group, cpu); }};
}

Result<PieceDone> WorkHost::Core::transcode(const wire::WorkOrder& order, const PieceFiles& files, Running& running) {
  ToolSession tools(held_to_share());
  const std::stop_callback kill(running.given_up.get_token(), [&] { tools.kill(); });
  return transcode_piece(tools, order, drive + "/" + files.inputs.front(), drive + "/" + files.output);
}

/// `cpu`: what it took, if it was not kept from before.
Result<cycles::Program> WorkHost::Core::translate(const AdmittedModule& module, Running& running, Duration& cpu) {
  const auto turn = translating.take(running.given_up.get_token());
  if (!turn) return Running::given_up_error();
  ToolSession tools(held_to_share());
  const std::stop_callback kill(running.given_up.get_token(), [&] { tools.kill(); });
  return translator.translate(module, [&](const cycles::SandboxJob& job) {
    auto end = tools.run(job);
    if (end) cpu = end->cpu;
    return end;
  });
}

Result<PieceDone> WorkHost::Core::compute(const wire::WorkOrder& order, const PieceFiles& files, Running& running) {
  if (order.has_transcode()) return transcode(order, files, running);
  TRY(const auto bytes, read_file(runtime.disk(), files.module, module_bytes_max));
  TRY(const auto module, admit(bytes));
  Duration translation{0};
  TRY(auto program, translate(module, running, translation));
  cycles::PieceWork work;
  work.program = std::move(program);
  Descriptor input;
  if (!files.inputs.empty()) {
    TRY(input, open_file(drive + "/" + files.inputs.front(), O_RDONLY));
    work.input = input.get();
  }
  TRY(const auto output, open_file(drive + "/" + files.output, O_RDWR | O_CREAT | O_TRUNC));
  work.output = output.get();
  work.arguments.assign(order.module().args().begin(), order.module().args().end());
  work.seed = seed_of(order.seed());
  work.limits.fuel = order.fuel_max();
  work.limits.memory_bytes = order.memory_bytes_max();
  work.limits.output_bytes_max = order.output_bytes_max();
  work.limits.log_bytes_max = piece_log_bytes_max;
  work.limits.cpu_seconds = cpu_seconds_max;
  work.limits.wall = wall_max;

  if (running.given_up.stop_requested()) return Running::given_up_error();
  TRY(auto piece, cycles::Piece::start(work));
  const auto group = piece.group();
  hold_to_share(group, [&] { piece.kill(); });
  std::optional<std::stop_callback<std::function<void()>>> kill(std::in_place, running.given_up.get_token(),
                                                                [&] { piece.kill(); });
  auto outcome = piece.wait();
  kill.reset();
  let_go_of(group, outcome ? std::optional(outcome->cpu) : std::nullopt);
  if (!outcome) return fail(std::move(outcome).error());
  if (!cycles::is_result(outcome->end))
    return fail(Errc::unavailable, "the piece was stopped here: {}", to_string(outcome->end));
  PieceDone done{.end = to_work_end(outcome->end), .exit_code = outcome->exit_code, .fuel = outcome->fuel,
                 .log = std::move(outcome->log), .processor_s = std::chrono::duration<double>(translation + outcome->cpu).count()};
  if (done.end != WorkEnd::exited) {
    // What it had written by then may differ from machine to machine.
    if (::ftruncate(output.get(), 0) != 0) return fail(from_errno(errno, "empty an output"));
    if (!outcome->trap.empty()) done.log += (done.log.empty() || done.log.ends_with('\n') ? "" : "\n") + outcome->trap + "\n";
  }
  return done;
}

Task<Result<PieceDone>> WorkHost::run(wire::WorkOrder order, PieceFiles files) {
  const auto core = core_;
  auto running = std::make_shared<Running>(core->runtime.executor());
  {
    const std::lock_guard lock(core->mutex);
    if (!core->governor) co_return fail(Errc::unavailable, "no share was promised");
    // Those whose pieces were given up end a little later.
    if (core->threads >= threads_max) co_return fail(Errc::unavailable, "too many pieces were begun here");
    core->all.insert(running);
    ++core->threads;
  }
  std::thread([core, running, order = std::move(order), files = std::move(files)] {
    auto done = core->compute(order, files, *running);
    asio::post(core->runtime.executor(), [running, done = std::move(done)]() mutable {
      running->done = std::move(done);
      running->ended.set();
    });
    const std::lock_guard lock(core->mutex);
    core->all.erase(running);
    --core->threads;
    core->changed.notify_all();
  }).detach();
  struct Guard {
    Running& running;
    ~Guard() { running.cancel(); }
  } guard(*running);
  co_await running->ended.wait();
  co_return std::move(running->done);
}

}  // namespace spatter::doors
