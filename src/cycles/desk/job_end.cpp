// How a job ends, and what is said of it meanwhile.
#include <algorithm>

#include "base/task_groups.h"
#include "blob_file.h"
#include "cycles/work_desk.h"
#include "job_desk_state.h"

namespace spatter {
namespace {

constexpr std::size_t pieces_named_max = 5;
constexpr auto write_again = std::chrono::seconds(15);

}  // namespace

Task<Result<void>> JobDesk::State::write_output(const std::string& path, std::uint64_t bytes_in_all, const std::string& from) {
  CO_TRY(auto writer, co_await parts.volume.write_file(path, {.mtime_ns = parts.runtime.wall_ms() * 1'000'000}));
  for (std::uint64_t offset = 0; offset < bytes_in_all;) {
    auto part = co_await parts.runtime.blocking([&]() -> Result<Buffer> {
      TRY(auto file, parts.runtime.disk().open(from, OpenMode::read));
      auto buffer = Buffer::allocate(static_cast<std::size_t>(std::min<std::uint64_t>(work_fetch_bytes_max, bytes_in_all - offset)));
      TRY(const auto got, file->read_at(offset, buffer.mutable_view()));
      if (got != buffer.size()) return fail(Errc::corrupt, "{} is shorter than it was", from);
      return buffer;
    });
    CO_TRY(auto bytes, std::move(part));
    offset += bytes.size();
    CO_TRY_VOID(co_await writer->write(std::move(bytes)));
  }
  CO_TRY_VOID(co_await writer->commit());
  co_return Result<void>{};
}

/// What every piece came to, good or not: an exit code is the module's to give.
Task<Result<void>> JobDesk::State::write_outputs(RunningJob& job) {
  const auto made = co_await parts.volume.make_directory(job.stored.output, {.mode = 0040755}, true);
  if (!made && made.error().code != Errc::exists) co_return fail(made.error());
  if (job.made) co_return co_await write_whole(job);
  for (auto& i = job.written; i < job.pieces.size(); ++i) {
    const auto believed = job.dispatcher->believed(i);
    if (!believed) continue;
    const auto& result = job.results.at(believed->result);
    if (result.end != WorkEnd::exited) continue;
    const auto path = job.stored.output + "/" + job.pieces[i].piece.name;
    if (const auto slash = path.rfind('/'); slash != job.stored.output.size()) {
      const auto folder = co_await parts.volume.make_directory(path.substr(0, slash), {.mode = 0040755}, true);
      if (!folder && folder.error().code != Errc::exists) co_return fail(folder.error());
    }
    CO_TRY_VOID(co_await write_output(path, result.output_bytes, output_file(job.id, result)));
  }
  co_return Result<void>{};
}

/// What is still under way is not wanted any more.
Task<void> JobDesk::State::stop_copies(RunningJob& job) {
  co_await std::exchange(job.group, std::make_unique<TaskGroup>(parts.runtime.executor()))->stop();
  std::map<ServerId, std::vector<std::uint32_t>> busy;
  for (const auto& [key, copy] : std::exchange(job.copies, {})) {
    busy[key.second].push_back(key.first);
    if (copy->ticket) queues.dropped(key.second, *copy->ticket, parts.runtime.now());
    job.dispatcher->failed(key.first, key.second, CopyFailure::refused);
  }
  for (auto& [worker, pieces] : busy) tasks.spawn(release(job.id, std::move(pieces), worker));
}

Task<void> JobDesk::State::end(JobPointer job) {
  // From here on nothing that somebody says changes what is believed.
  co_await stop_copies(*job);
  job->dispatcher->review();
  if (!job->dispatcher->is_done() && !job->cancelled) {
    job->ending = false;
    pump(job);
    co_return;
  }
  std::vector<std::string> bad;
  std::uint32_t failures = 0;
  for (std::uint32_t i = 0; i < job->pieces.size(); ++i) {
    const auto believed = job->dispatcher->believed(i);
    std::string what;
    if (!believed) {
      const auto why = job->given_up.find(i);
      what = why == job->given_up.end() ? "no result that two agree on" : why->second;
    } else if (const auto& result = job->results.at(believed->result); !result.well()) {
      what = result.end == WorkEnd::exited ? fmt::format("exit code {}", result.exit_code) : std::string(to_string(result.end));
    }
    if (what.empty()) continue;
    if (++failures <= pieces_named_max) bad.push_back(fmt::format("piece {} ({}): {}", i, job->pieces[i].piece.name, what));
  }
  std::string trouble;
  if (failures > 0) {
    trouble = fmt::format("{} of {} pieces failed: {}", failures, job->pieces.size(), fmt::join(bad, "; "));
    if (failures > bad.size()) trouble += "; ...";
  }
  // Half of a video, or one with holes, is of no use; what was computed is in the logs.
  const bool whole = !job->stored.target.empty();
  // What was computed is not thrown away because a disk is full, or something is in the way just now.
  while (!job->cancelled && !(whole && failures > 0)) {
    std::string phase = "the pieces cannot be put together";
    auto written = whole ? co_await make_whole(job) : Result<void>{};
    if (job->cancelled) break;
    if (written) {
      phase = fmt::format("the output cannot be written to {}", job->stored.output);
      written = co_await write_outputs(*job);
    }
    if (written) break;
    const auto code = written.error().code;
    if (code != Errc::no_space && code != Errc::io && code != Errc::unavailable && code != Errc::busy) {
      trouble = fmt::format("{}: {}", phase, written.error().message);
      break;
    }
    job->stored.trouble = fmt::format("{} yet: {}", phase, written.error().message);
    parts.runtime.log().warning("job {}: {}", job->id, job->stored.trouble);
    touch(*job);
    const auto again = parts.runtime.now() + write_again;
    while (!job->cancelled && parts.runtime.now() < again) co_await wait_until(parts.runtime, job->changed, again);
  }
  if (job->cancelled) co_return co_await close(job, JobState::cancelled, "cancelled");
  if (job->stored.quoted) {
    const auto actual = static_cast<double>(parts.runtime.wall_ms() - job->stored.quoted_ms) / 1000;
    speeds.ended({"job", *job->stored.quoted, actual});
    (void)co_await store.add_error({"job", *job->stored.quoted, actual});
  }
  co_await close(job, trouble.empty() ? JobState::done : JobState::failed, trouble);
}

Task<void> JobDesk::State::close(JobPointer job, JobState state, std::string trouble) {
  co_await stop_copies(*job);
  for (const auto& [worker, votes] : job->votes) tasks.spawn(release(job->id, {}, worker));
  job->stored.state = state;
  job->stored.trouble = trouble;
  job->stored.ended_ms = parts.runtime.wall_ms();
  while (true) {
    const auto kept = co_await store.set_ended(job->id, state, trouble, job->stored.ended_ms);
    if (kept || kept.error().code == Errc::cancelled) break;
    parts.runtime.log().error("job {}: {}", job->id, kept.error().message);
    co_await parts.runtime.sleep(write_again);
  }
  const auto removed = co_await parts.runtime.blocking([&] { return remove_folder(parts.runtime.disk(), job_folder(job->id)); });
  if (!removed) parts.runtime.log().warning("{}: {}", job_folder(job->id), removed.error().message);
  parts.runtime.log().info("job {} ({}) is {}{}{}", job->id, job->stored.name, to_string(state), trouble.empty() ? "" : ": ", trouble);
  running.erase(job->id);
  touch(*job);
}

std::optional<Forecast> JobDesk::State::forecast_of(const RunningJob& job) const {
  const auto& dispatcher = *job.dispatcher;
  std::uint32_t left = 0;
  std::uint64_t fuel_left = 0;  // as far as it is known beforehand
  std::optional<std::uint32_t> first;
  for (std::uint32_t i = 0; i < job.pieces.size(); ++i) {
    if (dispatcher.standing(i) != PieceStanding::waiting) continue;
    ++left;
    fuel_left += job.pieces[i].piece.fuel;
    if (!first) first = i;
  }
  if (left == 0) return Forecast{0, 0};
  const auto guess = fuel_left > 0 ? fuel_left / left : fuel_guess(job, *first);
  if (!guess) return std::nullopt;
  std::vector<double> busy, seconds;
  double spread = 1, alone = 0;
  for (const auto& worker : workers()) {
    const auto one = speeds.forecast(worker.server, job.stored.kind, *guess, latency_seconds(worker.server), 0);
    if (!one) continue;
    busy.push_back(0);
    seconds.push_back(one->p50_s);
    spread = std::max(spread, one->p90_s / one->p50_s);
    alone += worker.own || trust.is_trusted(worker.server);
  }
  if (seconds.empty()) return std::nullopt;
  // Copies: one of those who are believed alone, and the checks; two of the others.
  const double share_alone = alone / static_cast<double>(seconds.size());
  const double copies = left * (share_alone * 17 / 16 + (1 - share_alone) * 2);
  const auto end = schedule_end(busy, seconds, static_cast<std::uint64_t>(std::max(1.0, copies)));
  return Forecast{end, end * spread};
}

JobReport JobDesk::State::report_of(const RunningJob& job) const {
  JobReport report{.id = job.id, .name = job.stored.name, .kind = job.stored.kind, .output = job.stored.output,
                   .state = job.stored.state, .trouble = job.stored.trouble};
  report.created_ms = job.stored.created_ms;
  // It is not split yet.
  if (!job.dispatcher) {
    if (const auto may = parts.may_run(); !may) report.trouble = may.error().message;
    return report;
  }
  const auto& dispatcher = *job.dispatcher;
  report.pieces = dispatcher.pieces();
  report.agreed = dispatcher.count(PieceStanding::agreed);
  report.held = dispatcher.count(PieceStanding::held);
  report.hopeless = dispatcher.count(PieceStanding::hopeless);
  report.stuck = dispatcher.stuck();
  report.under_way = static_cast<std::uint32_t>(job.copies.size());
  report.copies = dispatcher.copies_computed();
  report.fuel_computed = dispatcher.fuel_computed();
  for (std::uint32_t i = 0; i < report.pieces; ++i) {
    const auto believed = dispatcher.believed(i);
    if (!believed) continue;
    report.fuel += believed->fuel;
    report.failed_pieces += !job.results.at(believed->result).well();
  }
  report.quoted = job.stored.quoted;
  report.quoted_ms = job.stored.quoted_ms;
  report.left = forecast_of(job);
  std::map<ServerId, JobReport::Worker> who;
  const auto now = parts.runtime.now();
  for (const auto& worker : workers()) who[worker.server].own = worker.own;
  for (const auto& [server, votes] : job.votes) who[server].results = votes;
  for (const auto& [key, copy] : job.copies) ++who[key.second].under_way;
  for (const auto& [server, gone] : away)
    if (gone.until > now) who[server].trouble = gone.why;
  for (auto& [server, worker] : who) {
    worker.server = server;
    worker.trusted = worker.own || trust.is_trusted(server);
    worker.caught = dispatcher.caught().contains(server);
    worker.fuel_per_s = speeds.fuel_per_s(server, job.stored.kind);
    report.workers.push_back(worker);
  }
  if (const auto may = parts.may_run(); !may) report.trouble = may.error().message;
  else if (report.stuck > 0)
    report.trouble = "waiting for servers: a piece needs two that belong to different persons";
  return report;
}

Task<Result<std::vector<JobReport>>> JobDesk::list() {
  const auto state = state_;
  CO_TRY_VOID(state->usable());
  CO_TRY(const auto jobs, co_await state->store.jobs());
  std::vector<JobReport> reports;
  for (const auto& stored : jobs) {
    if (const auto job = state->running.find(stored.id); job != state->running.end()) {
      reports.push_back(state->report_of(*job->second));
      continue;
    }
    reports.push_back({.id = stored.id, .name = stored.name, .kind = stored.kind, .output = stored.output,
                       .state = stored.state, .trouble = stored.trouble, .pieces = stored.pieces,
                       .created_ms = stored.created_ms, .ended_ms = stored.ended_ms, .quoted = stored.quoted,
                       .quoted_ms = stored.quoted_ms});
  }
  co_return reports;
}

namespace {

/// Of each piece of an ended job the first vote for the result that most have given: that is the one that counted.
/// Points into `votes`.
std::map<std::uint32_t, const StoredVote*> most_given(const std::vector<StoredVote>& votes) {
  std::map<std::uint32_t, std::map<Digest, std::pair<unsigned, const StoredVote*>>> given;
  for (const auto& vote : votes) {
    auto& [count, first] = given[vote.piece][result_digest(vote.result)];
    if (count++ == 0) first = &vote;
  }
  std::map<std::uint32_t, const StoredVote*> most;
  for (const auto& [piece, results] : given)
    most[piece] = std::ranges::max_element(results, {}, [](const auto& entry) { return entry.second.first; })->second.second;
  return most;
}

}  // namespace

Task<Result<JobReport>> JobDesk::report(JobId id) {
  CO_TRY(const auto all, co_await list());
  for (auto report : all) {
    if (report.id != id) continue;
    if (report.state == JobState::running) co_return report;
    // The dispatcher is gone: what is left of it are the votes.
    CO_TRY(const auto votes, co_await state_->store.votes(id));
    std::map<ServerId, JobReport::Worker> workers;
    for (const auto& vote : votes) {
      ++report.copies;
      report.fuel_computed += vote.result.fuel;
      auto& worker = workers[vote.worker];
      worker.server = vote.worker;
      worker.own = vote.own;
      worker.trusted = vote.own || state_->trust.is_trusted(vote.worker);
      worker.fuel_per_s = state_->speeds.fuel_per_s(vote.worker, report.kind);
      ++worker.results;
    }
    for (const auto& [piece, vote] : most_given(votes)) {
      report.fuel += vote->result.fuel;
      report.failed_pieces += !vote->result.well();
    }
    if (report.state == JobState::done) report.agreed = report.pieces;
    CO_TRY(const auto caught, co_await state_->store.caught(id));
    for (const auto& worker : caught) workers[worker].caught = true;
    for (const auto& [server, worker] : workers) report.workers.push_back(worker);
    co_return report;
  }
  co_return fail(Errc::not_found, "job {} is not known here", id);
}

Task<Result<std::vector<PieceReport>>> JobDesk::pieces(JobId id) {
  const auto state = state_;
  CO_TRY_VOID(state->usable());
  CO_TRY(const auto pieces, co_await state->store.pieces(id));
  CO_TRY(const auto votes, co_await state->store.votes(id));
  const auto job = state->running.find(id);
  std::vector<PieceReport> reports;
  for (std::uint32_t i = 0; i < pieces.size(); ++i) {
    auto& report = reports.emplace_back();
    report.piece = i;
    report.name = pieces[i].piece.name;
    // Between its pieces being kept and its dispatcher's coming to be, nobody has looked at any.
    if (job != state->running.end() && job->second->dispatcher) {
      static constexpr const char* names[] = {"waiting", "held", "agreed", "hopeless"};
      report.state = names[static_cast<int>(job->second->dispatcher->standing(i))];
    }
  }
  for (const auto& vote : votes)
    if (vote.piece < reports.size()) reports[vote.piece].workers.push_back(vote.worker);
  for (const auto& [piece, vote] : most_given(votes)) {
    if (piece >= reports.size()) continue;
    reports[piece].result = vote->result;
    reports[piece].log = vote->log;
  }
  co_return reports;
}

}  // namespace spatter
