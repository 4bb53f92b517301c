#include "cycles/job_desk.h"

#include <algorithm>

#include "base/task_groups.h"
#include "blob_file.h"
#include "chance/choice.h"
#include "chance/draw.h"
#include "crypto/hash.h"
#include "cycles/work_desk.h"
#include "job_desk_state.h"
#include "net/methods.h"

namespace spatter {
namespace {

constexpr std::uint64_t check_one_in = 16;
constexpr auto look_every = std::chrono::seconds(5);

Digest occasion_subject(std::string_view what, const JobId& job, std::uint32_t piece) {
  std::uint8_t number[4];
  for (int i = 0; i < 4; ++i) number[i] = static_cast<std::uint8_t>(piece >> (8 * i));
  return Sha256().update(as_bytes(what)).update(job.view()).update(number).finish();
}

}  // namespace

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::running: return "running";
    case JobState::done: return "done";
    case JobState::failed: return "failed";
    case JobState::cancelled: return "cancelled";
  }
  return "unknown";
}

std::vector<JobWorker> JobDesk::State::workers() const {
  std::vector<JobWorker> result;
  const auto now = parts.runtime.now();
  const auto add = [&](const Member& member, bool own) {
    if (const auto gone = away.find(member.id); gone != away.end() && gone->second.until > now) return;
    result.push_back({member.id, member.person, own, options.slots});
  };
  const auto self = parts.members.own();
  if (parts.own_works()) add(self, true);
  for (const auto& member : parts.members.connected())
    if (member.may_hold) add(member, member.person == self.person);
  std::ranges::sort(result, {}, &JobWorker::server);
  return result;
}

/// Drawn by this server's key, so that nobody else can know it before, and the asker cannot choose.
std::vector<std::size_t> JobDesk::State::order_of(RunningJob& job, std::uint32_t piece,
                                                  const std::vector<JobWorker>& workers) {
  auto draw = job.draws.find(piece);
  if (draw == job.draws.end()) {
    const Draw occasion{parts.identity.network, job.stored.epoch, Purpose::work, occasion_subject("piece", job.id, piece)};
    draw = job.draws.emplace(piece, make_draw(parts.identity.server_key, occasion).output).first;
  }
  std::vector<WeightedId> candidates;
  for (const auto& worker : workers) candidates.push_back({Digest{worker.server.bytes}, 1});
  return choose_weighted(draw->second, candidates, candidates.size());
}

/// From a draw of its own that is never shown: a worker must not know which of his pieces are looked at.
bool JobDesk::State::is_checked(const RunningJob& job, std::uint32_t piece) const {
  const auto seed = Sha256().update(job.checks).update(occasion_subject("check", job.id, piece).view()).finish();
  return Stream(seed.view(), "check").below(check_one_in) == 0;
}

void JobDesk::State::touch(RunningJob& job) {
  ++job.change;
  job.changed.wake_all();
}

void JobDesk::State::piece_changed(RunningJob& job, std::uint32_t piece) {
  const auto standing = job.dispatcher->standing(piece);
  if (standing == PieceStanding::agreed || standing == PieceStanding::held) {
    job.draws.erase(piece);
    const auto believed = job.dispatcher->believed(piece);
    if (!job.counted.contains(piece)) {
      job.counted.insert(piece);
      job.done_fuel += static_cast<double>(believed->fuel);
      job.done_bytes += static_cast<double>(job.pieces[piece].piece.bytes);
      ++job.done_pieces;
      speeds.came_to(job.stored.kind, job.pieces[piece].piece.bytes, believed->fuel);
      tasks.spawn([](State* state, WorkKind kind, SpeedBook::Costs costs) -> Task<void> {
        (void)co_await state->store.put_costs(kind, costs);
      }(this, job.stored.kind, speeds.costs().at(job.stored.kind)));
    }
    for (const auto& worker : believed->workers) {
      const auto timing = job.timings.find({piece, worker});
      if (timing == job.timings.end()) {
        receipt(job, piece, worker, believed->fuel, {});
        continue;
      }
      const auto& [seconds, transfer_s, forecast, total] = timing->second;
      const auto computing = std::max(seconds - transfer_s, seconds / 10);
      speeds.record(worker, job.stored.kind, believed->fuel, computing);
      receipt(job, piece, worker, believed->fuel, computing);
      if (const auto entry = speeds.entries().find({worker, job.stored.kind}); entry != speeds.entries().end())
        tasks.spawn([](State* state, ServerId worker, WorkKind kind, SpeedBook::Entry entry) -> Task<void> {
          (void)co_await state->store.put_speed(worker, kind, entry);
        }(this, worker, job.stored.kind, entry->second));
      if (forecast) {
        speeds.ended({job.stored.kind, *forecast, total});
        tasks.spawn([](State* state, ForecastError error) -> Task<void> {
          (void)co_await state->store.add_error(std::move(error));
        }(this, {job.stored.kind, *forecast, total}));
      }
      job.timings.erase(timing);
    }
  }
  touch(job);
}

void JobDesk::State::begin(JobPointer job) {
  auto* one = job.get();
  job->checks = make_draw(parts.identity.server_key,
                          {parts.identity.network, job->stored.epoch, Purpose::work, occasion_subject("checks", job->id, 0)}).output;
  job->dispatcher.emplace(
      static_cast<std::uint32_t>(job->pieces.size()), trust,
      Dispatcher::Chance{[this, one](std::uint32_t piece, const std::vector<JobWorker>& workers) {
                           return order_of(*one, piece, workers);
                         },
                         [this, one](std::uint32_t piece) { return is_checked(*one, piece); }});
}

/// Does what the dispatcher says, as far as it goes now. Called whenever something has happened.
void JobDesk::State::pump(const JobPointer& job) {
  if (job->ending || stopping() || !job->dispatcher) return;
  if (job->pumping) {
    job->pump_again = true;
    return;
  }
  job->pumping = true;
  do {
    job->pump_again = false;
    for (const auto& one : job->dispatcher->reveals())
      if (const auto copy = job->copies.find({one.piece, one.worker}); copy != job->copies.end()) copy->second->may_reveal = true;
    if (parts.may_run() && job->copies.size() < options.at_once_max) {
      job->dispatcher->set_workers(workers());
      for (const auto& one : job->dispatcher->assign()) {
        const auto key = std::pair(one.piece, one.worker);
        job->copies[key] = std::make_shared<RunningJob::Copy>();
        job->group->spawn(run_copy(job, one));
      }
    }
    if (job->dispatcher->is_done() && job->prepared) {
      job->dispatcher->review();
      if (job->dispatcher->is_done()) {
        job->ending = true;
        tasks.spawn(end(job));
      } else {
        job->pump_again = true;
      }
    }
  } while (job->pump_again && !job->ending);
  job->pumping = false;
  touch(*job);
  if (!job->stored.quoted && !job->ending) {
    if (const auto left = forecast_of(*job)) {
      job->stored.quoted = left;
      job->stored.quoted_ms = parts.runtime.wall_ms();
      tasks.spawn([](State* state, JobId id, Forecast quoted, WallMs at) -> Task<void> {
        (void)co_await state->store.set_quote(id, quoted, at);
      }(this, job->id, *left, job->stored.quoted_ms));
    }
  }
}

Task<void> JobDesk::State::look_loop() {
  while (true) {
    co_await parts.runtime.sleep(look_every);
    const auto jobs = running;
    for (const auto& [id, job] : jobs) {
      pump(job);
      ask_absent(*job);
    }
  }
}

Task<Result<RpcReply>> JobDesk::State::handle_commit(Caller caller, RpcRequest request) {
  wire::WorkCommitRequest message;
  if (!message.ParseFromString(request.body)) co_return fail(Errc::invalid, "a work.commit request that cannot be read");
  CO_TRY(const auto id, JobId::from(message.job()));
  const auto job = running.find(id);
  const auto nothing = [&] { return fail(Errc::not_found, "piece {} of job {} is not wanted of server {}", message.piece(), id, caller.server); };
  if (job == running.end()) co_return nothing();
  const auto copy = job->second->copies.find({message.piece(), caller.server});
  if (copy == job->second->copies.end()) co_return nothing();
  // The first commitment is the one that binds.
  if (copy->second->committed) co_return RpcReply{wire::WorkCommitReply().SerializeAsString(), {}};
  if (message.commitment().empty()) {
    copy->second->trouble = message.trouble().empty() ? "it came to nothing" : message.trouble().substr(0, 500);
  } else {
    CO_TRY(copy->second->commitment, Digest::from(message.commitment()));
    copy->second->committed = true;
  }
  job->second->changed.wake_all();
  co_return RpcReply{wire::WorkCommitReply().SerializeAsString(), {}};
}

Task<Result<RpcReply>> JobDesk::State::handle_fetch(Caller caller, RpcRequest request) {
  wire::WorkFetchRequest message;
  if (!message.ParseFromString(request.body) || message.length() > work_fetch_bytes_max)
    co_return fail(Errc::invalid, "a work.fetch request that cannot be read, or wants more than {} bytes", work_fetch_bytes_max);
  CO_TRY(const auto id, JobId::from(message.job()));
  CO_TRY(const auto digest, Digest::from(message.digest()));
  const auto found = running.find(id);
  if (found == running.end()) co_return fail(Errc::not_found, "job {} is not under way", id);
  const auto job = found->second;
  RpcReply reply{wire::WorkFetchReply().SerializeAsString(), {}};
  bool is_worker = false;
  for (auto copy = job->copies.begin(); copy != job->copies.end(); ++copy) {
    if (copy->first.second != caller.server) continue;
    is_worker = true;
    const auto& piece = job->pieces[copy->first.first];
    if (piece.digest != digest) continue;
    if (message.offset() > piece.piece.bytes) co_return fail(Errc::invalid, "offset {} of {} bytes", message.offset(), piece.piece.bytes);
    const auto length = std::min<std::uint64_t>(message.length(), piece.piece.bytes - message.offset());
    if (piece.piece.local) {
      const auto path = job_folder(id) + "/" + piece.piece.path;
      CO_TRY(auto local, co_await read_local(path, message.offset(), length));
      reply.payload = Rope(std::move(local));
      co_return reply;
    }
    CO_TRY(auto bytes, co_await read_input(piece.piece.path, piece.piece.offset + message.offset(), length));
    reply.payload = Rope(std::move(bytes));
    co_return reply;
  }
  if (!is_worker || job->order.module().module().digest() != digest.raw())
    co_return fail(Errc::denied, "server {} has no piece of job {} that needs {}", caller.server, id, digest);
  CO_TRY(auto bytes, co_await read_local(job_folder(id) + "/module", message.offset(), message.length()));
  reply.payload = Rope(std::move(bytes));
  co_return reply;
}

Task<Result<Buffer>> JobDesk::State::read_local(std::string path, std::uint64_t offset, std::size_t length) {
  co_return co_await parts.runtime.blocking([&]() -> Result<Buffer> {
    TRY(auto file, parts.runtime.disk().open(path, OpenMode::read));
    auto buffer = Buffer::allocate(length);
    TRY(const auto got, file->read_at(offset, buffer.mutable_view()));
    return buffer.slice(0, got);
  });
}

JobDesk::JobDesk(Parts parts, JobOptions options) : state_(std::make_shared<State>(std::move(parts), options)) {}
JobDesk::~JobDesk() = default;

Task<void> JobDesk::start() {
  auto& state = *state_;
  if (const auto taken_up = co_await state.take_up(); !taken_up) {
    state.running.clear();
    state.trouble = taken_up.error().during("this server goes on without jobs");
    state.parts.runtime.log().error("{}", state.trouble->message);
    co_return;
  }
  state.parts.wire.serve(method::work_fetch, std::weak_ptr(state_), &State::handle_fetch);
  state.parts.wire.serve(method::work_commit, std::weak_ptr(state_), &State::handle_commit);
  for (const auto& [id, job] : std::map(state.running)) {
    if (job->dispatcher) state.listen(*job);
    if (!job->prepared) job->group->spawn(state.prepare(job));
    state.pump(job);
  }
  state.tasks.spawn(state.look_loop());
}

Result<void> JobDesk::State::usable() const {
  if (trouble) return fail(*trouble);
  return {};
}

Task<Result<void>> JobDesk::State::take_up() {
  CO_TRY_VOID(co_await store.open());
  CO_TRY_VOID(co_await store.load(trust, speeds));
  CO_TRY(auto jobs, co_await store.jobs());
  for (auto& stored : jobs) {
    if (stored.state != JobState::running) continue;
    const auto id = stored.id;
    const auto taken_up = co_await take_up(std::move(stored));
    if (taken_up) continue;
    if (taken_up.error().code != Errc::corrupt) co_return fail(taken_up.error());
    // One that cannot be read keeps no other from being done.
    parts.runtime.log().error("job {}: {}", id, taken_up.error().message);
    CO_TRY_VOID(co_await store.set_ended(id, JobState::failed, taken_up.error().message, parts.runtime.wall_ms()));
  }
  CO_TRY_VOID(co_await remove_leftovers());
  // What was believed before, and perhaps not receipted.
  for (const auto& [id, job] : running) {
    if (!job->dispatcher) continue;
    for (std::uint32_t i = 0; i < job->pieces.size(); ++i)
      if (const auto believed = job->dispatcher->believed(i))
        for (const auto& worker : believed->workers) receipt(*job, i, worker, believed->fuel, {});
  }
  co_return Result<void>{};
}

/// Errors: corrupt, what is kept of it cannot be read.
Task<Result<void>> JobDesk::State::take_up(StoredJob stored) {
  auto job = std::make_shared<RunningJob>(parts.runtime.executor());
  job->id = stored.id;
  if (!job->order.ParseFromString(stored.order)) co_return fail(Errc::corrupt, "jobs.db: its work cannot be read");
  CO_TRY(job->pieces, co_await store.pieces(stored.id));
  job->stored = std::move(stored);
  if (!job->stored.target.empty()) {
    if (!parts.workshop) co_return fail(Errc::corrupt, "jobs.db: it is of a kind that this server does not do");
    job->prepared = false;
    if (!job->stored.plan) {
      running[job->id] = job;
      co_return Result<void>{};
    }
  }
  begin(job);
  CO_TRY(const auto caught, co_await store.caught(job->id));
  for (const auto& worker : caught) job->dispatcher->restore_caught(worker);
  CO_TRY(const auto votes, co_await store.votes(job->id));
  for (const auto& vote : votes) {
    if (vote.piece >= job->pieces.size()) continue;
    const auto digest = result_digest(vote.result);
    job->results[digest] = vote.result;
    ++job->votes[vote.worker];
    job->dispatcher->restore_vote(vote.piece, {vote.worker, vote.person, vote.own}, digest, vote.result.fuel);
  }
  running[job->id] = job;
  co_return Result<void>{};
}

/// Folders of jobs that a crash left when they had not begun, or had ended.
Task<Result<void>> JobDesk::State::remove_leftovers() {
  std::set<std::string> used;
  for (const auto& [id, job] : running) used.insert(id.hex());
  co_return co_await parts.runtime.blocking([&]() -> Result<void> {
    auto& disk = parts.runtime.disk();
    TRY_VOID(disk.make_directories("jobs"));
    TRY(const auto folders, disk.list("jobs"));
    for (const auto& folder : folders)
      if (folder.is_directory && !used.contains(folder.name)) TRY_VOID(remove_folder(disk, "jobs/" + folder.name));
    return {};
  });
}

/// From here on what the dispatcher finds out is kept.
void JobDesk::State::listen(RunningJob& job) {
  job.dispatcher->on_change = [this, one = &job](std::uint32_t piece) { piece_changed(*one, piece); };
  job.dispatcher->on_verdict = [this, id = job.id](std::uint32_t piece, ServerId worker, bool right) {
    if (!right) parts.runtime.log().warning("server {} computed piece {} of job {} wrongly", worker, piece, id);
    tasks.spawn([](State* state, JobId id, ServerId worker, bool right) -> Task<void> {
      (void)co_await state->store.put_worker(worker, state->trust.of(worker));
      if (!right) (void)co_await state->store.add_caught(id, worker);
    }(this, id, worker, right));
  };
}

Task<void> JobDesk::stop() {
  const auto state = state_;
  co_await state->tasks.stop();
  for (const auto& [id, job] : std::exchange(state->running, {})) co_await job->group->stop();
  co_await state->store.close();
}

Task<Result<JobId>> JobDesk::submit(JobSpec spec) {
  const auto state = state_;
  auto& runtime = state->parts.runtime;
  CO_TRY_VOID(state->usable());
  CO_TRY_VOID(state->parts.may_run());
  if (spec.whole) {
    if (!state->parts.workshop) co_return fail(Errc::unavailable, "this server has no tools to split a file with");
    CO_TRY_VOID(state->parts.workshop->can_make(spec.whole->target));
  } else if (spec.pieces.empty()) {
    co_return fail(Errc::invalid, "a job without pieces");
  }
  if (spec.pieces.size() > job_pieces_max)
    co_return fail(Errc::invalid, "{} pieces, and a job has {} at most", spec.pieces.size(), job_pieces_max);
  for (const auto& [id, other] : state->running)
    if (other->stored.output == spec.output)
      co_return fail(Errc::exists, "the output of job {} goes to {} already", id, spec.output);
  std::set<std::string> names;
  for (const auto& piece : spec.pieces)
    if (!names.insert(piece.name).second) co_return fail(Errc::invalid, "two outputs would both be called {}", piece.name);
  for (const auto& name : names)
    for (auto slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1))
      if (names.contains(name.substr(0, slash)))
        co_return fail(Errc::invalid, "the outputs {} and {} cannot both be: one is a folder of the other's name", name.substr(0, slash), name);
  if (!spec.whole && (spec.module.empty() || spec.module.size() > job_module_bytes_max))
    co_return fail(Errc::invalid, "a module of {} bytes; {} at most", spec.module.size(), job_module_bytes_max);
  auto job = std::make_shared<RunningJob>(runtime.executor());
  job->id = runtime.entropy().id<JobId>();
  if (!spec.whole) {
    auto& work = *job->order.mutable_module();
    work.mutable_module()->set_digest(sha256(spec.module).raw());
    work.mutable_module()->set_bytes(spec.module.size());
    for (const auto& argument : spec.args) work.add_args(argument);
  }
  job->order.set_job(job->id.raw());
  job->order.set_fuel_max(spec.fuel_max);
  job->order.set_memory_bytes_max(spec.memory_bytes_max);
  job->order.set_output_bytes_max(spec.output_bytes_max);
  const auto made = co_await runtime.blocking([&]() -> Result<void> {
    auto& disk = runtime.disk();
    TRY_VOID(disk.make_directories(job_folder(job->id) + "/out"));
    if (!spec.whole) TRY_VOID(write_file_durably(disk, job_folder(job->id) + "/module", spec.module));
    TRY_VOID(disk.sync_directory(job_folder(job->id)));  // results find their folder there, whatever comes
    TRY_VOID(disk.sync_directory("jobs"));
    return disk.sync_directory("");
  });
  CO_TRY_VOID(made);
  job->stored = {.id = job->id, .name = spec.name, .kind = spec.kind, .output = spec.output,
                 .order = job->order.SerializeAsString(), .epoch = state->parts.epoch(),
                 .created_ms = runtime.wall_ms(), .pieces = static_cast<std::uint32_t>(spec.pieces.size())};
  for (const auto& piece : spec.pieces) job->pieces.push_back({piece, {}});
  if (spec.whole) {
    job->stored.source = spec.whole->source;
    job->stored.source_bytes = spec.whole->bytes;
    job->stored.target = spec.whole->target;
    job->prepared = false;
    CO_TRY_VOID(co_await state->store.add(job->stored, {}));
    state->running[job->id] = job;
    job->group->spawn(state->prepare(job));
    co_return job->id;
  }
  CO_TRY_VOID(co_await state->store.add(job->stored, std::move(spec.pieces)));
  state->begin(job);
  state->listen(*job);
  state->running[job->id] = job;
  state->pump(job);
  co_return job->id;
}

Task<Result<void>> JobDesk::cancel(JobId id) {
  const auto state = state_;
  const auto found = state->running.find(id);
  if (found == state->running.end()) {
    CO_TRY(const auto report, co_await this->report(id));
    co_return fail(Errc::invalid, "job {} is {} already", id, to_string(report.state));
  }
  const auto job = found->second;
  if (std::exchange(job->ending, true)) {
    // Its output is being written, or cannot be: then that is given up.
    job->cancelled = true;
    job->changed.wake_all();
  } else {
    state->tasks.spawn(state->close(job, JobState::cancelled, "cancelled"));
  }
  while (state->running.contains(id)) co_await job->changed.wait();
  co_return Result<void>{};
}

Task<Result<void>> JobDesk::remove(JobId id) {
  const auto state = state_;
  CO_TRY(const auto report, co_await this->report(id));
  if (report.state == JobState::running || state->running.contains(id))
    co_return fail(Errc::busy, "job {} is running: it can be cancelled, and removed then", id);
  co_return co_await state->store.remove({id});
}

Task<Result<std::size_t>> JobDesk::remove_ended() {
  const auto state = state_;
  CO_TRY(const auto all, co_await list());
  std::vector<JobId> ended;
  for (const auto& report : all)
    if (report.state != JobState::running && !state->running.contains(report.id)) ended.push_back(report.id);
  CO_TRY_VOID(co_await state->store.remove(ended));
  co_return ended.size();
}

Task<Result<JobId>> JobDesk::find(std::string digits) {
  const auto state = state_;
  CO_TRY_VOID(state->usable());
  CO_TRY(const auto jobs, co_await state->store.jobs());
  std::vector<JobId> found;
  for (const auto& job : jobs)
    if (job.id.hex().starts_with(digits)) found.push_back(job.id);
  if (found.empty()) co_return fail(Errc::not_found, "no job's id begins with '{}'", digits);
  if (found.size() > 1) co_return fail(Errc::invalid, "the ids of {} jobs begin with '{}'", found.size(), digits);
  co_return found.front();
}

Task<void> JobDesk::wait_change(JobId id, std::uint64_t seen) {
  const auto found = state_->running.find(id);
  if (found == state_->running.end()) co_return;
  const auto job = found->second;
  while (job->change == seen) co_await job->changed.wait();
}

std::uint64_t JobDesk::changes(JobId id) const {
  const auto found = state_->running.find(id);
  return found == state_->running.end() ? 0 : found->second->change;
}

void JobDesk::poke() {
  const auto jobs = state_->running;
  for (const auto& [id, job] : jobs) state_->pump(job);
}

const SpeedBook& JobDesk::speeds() const { return state_->speeds; }
const WorkerTrust& JobDesk::trust() const { return state_->trust; }

}  // namespace spatter
