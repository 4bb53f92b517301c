// One copy of one piece: from the offer to the vote.
#include <algorithm>
#include <cmath>

#include "base/task_groups.h"
#include "blob_file.h"
#include "crypto/hash.h"
#include "cycles/video_target.h"
#include "cycles/work_desk.h"
#include "job_desk_state.h"
#include "net/methods.h"

namespace spatter {
namespace {

constexpr auto away_unreachable = std::chrono::seconds(10);
constexpr auto away_busy = std::chrono::seconds(5);
constexpr auto away_refused = std::chrono::seconds(60);
constexpr auto output_timeout = std::chrono::seconds(60);
constexpr auto reveal_again = std::chrono::seconds(2);
constexpr auto reveal_patience = std::chrono::minutes(5);
constexpr double slow_factor = 1.5;       // of the 90th percentile
constexpr double slow_at_least_s = 5;
constexpr double lost_factor = 20;
constexpr double slow_unknown_s = 300;    // while nothing is known of the kind

}  // namespace

double JobDesk::State::latency_seconds(const ServerId& worker) const {
  const auto round_trip = parts.rpc.measure(worker).round_trip;
  return round_trip ? 3 * std::chrono::duration<double>(*round_trip).count() : 0.05;
}

double JobDesk::State::transfer_seconds(const ServerId& worker, std::uint64_t bytes) const {
  if (worker == parts.identity.server) return 0;
  const auto rate = parts.rpc.measure(worker).send_bytes_per_s;
  return rate && *rate > 0 ? static_cast<double>(bytes) / *rate : 0;
}

/// By what the others of the job came to, per byte of input where that says something.
std::optional<std::uint64_t> JobDesk::State::fuel_guess(const RunningJob& job, std::uint32_t piece) const {
  const auto bytes = job.pieces[piece].piece.bytes;
  if (const auto fuel = job.pieces[piece].piece.fuel; fuel > 0) return fuel;
  if (job.done_pieces == 0) return speeds.fuel_of(job.stored.kind, bytes);
  if (job.done_bytes == 0) return static_cast<std::uint64_t>(job.done_fuel / job.done_pieces);
  return static_cast<std::uint64_t>(job.done_fuel * static_cast<double>(bytes) / job.done_bytes);
}

/// What the piece is, if it is one of its own kind.
Result<std::optional<wire::TranscodeWork>> JobDesk::State::transcoding(const RunningJob& job, std::uint32_t number) const {
  const auto& piece = job.pieces[number].piece;
  if (piece.work.empty()) return std::nullopt;
  wire::TranscodeWork work;
  if (!work.ParseFromString(piece.work)) return fail(Errc::io, "jobs.db: the work of piece {} cannot be read", number);
  return work;
}

/// The most that the piece may cost. Of a transcoding it is known beforehand, but for a margin.
Result<std::uint64_t> JobDesk::State::fuel_max(const RunningJob& job, std::uint32_t number) const {
  TRY(const auto work, transcoding(job, number));
  if (!work) return job.order.fuel_max();
  return std::min<std::uint64_t>(job.order.fuel_max(), cycles::transcode_fuel_max(*work, job.pieces[number].piece.fuel));
}

/// Errors: corrupt, no honest worker comes to that.
Result<void> JobDesk::State::check_limits(const RunningJob& job, std::uint32_t number, const WorkResult& result) const {
  TRY(const auto most, fuel_max(job, number));
  if (result.output_bytes > job.order.output_bytes_max() || result.fuel > most)
    return fail(Errc::corrupt, "a result beyond the limits of piece {}", number);
  TRY(const auto work, transcoding(job, number));
  if (work && result.end == WorkEnd::exited && result.fuel % cycles::transcode_fuel(*work, 1) != 0)
    return fail(Errc::corrupt, "a result that counts {} fuel, which is no number of frames of piece {}", result.fuel, number);
  return {};
}

Task<Result<Buffer>> JobDesk::State::read_input(std::string path, std::uint64_t offset, std::size_t length) {
  CO_TRY(auto reader, co_await parts.volume.read_file(path));
  co_return co_await reader->read(offset, length);
}

Task<Result<void>> JobDesk::State::know_input(RunningJob& job, std::uint32_t number) {
  const auto permit = co_await job.inputs.lock();
  auto& piece = job.pieces[number];
  if (piece.digest || piece.piece.path.empty()) co_return Result<void>{};
  if (piece.piece.local) {
    const auto path = job_folder(job.id) + "/" + piece.piece.path;
    const auto hashed = co_await parts.runtime.blocking([&] { return hash_file(parts.runtime.disk(), path); });
    CO_TRY(const auto facts, hashed);
    if (facts.bytes != piece.piece.bytes) co_return fail(Errc::corrupt, "{} has another length than it had", path);
    piece.digest = facts.digest;
    co_return co_await store.set_digest(job.id, number, *piece.digest);
  }
  CO_TRY(auto reader, co_await parts.volume.read_file(piece.piece.path));
  Sha256 hash;
  for (std::uint64_t done = 0; done < piece.piece.bytes;) {
    const auto length = std::min<std::uint64_t>(piece.piece.bytes - done, work_fetch_bytes_max);
    CO_TRY(const auto bytes, co_await reader->read(piece.piece.offset + done, length));
    if (bytes.size() != length) co_return fail(Errc::invalid, "'{}' has become shorter", piece.piece.path);
    co_await parts.runtime.blocking([&] { hash.update(bytes); });
    done += length;
  }
  piece.digest = hash.finish();
  co_return co_await store.set_digest(job.id, number, *piece.digest);
}

/// Servers of one person owe each other nothing.
bool JobDesk::State::needs_lease(const ServerId& worker) const {
  return parts.ledger && parts.members.person_of(worker) != parts.identity.person;
}

/// The first offer, with a lease where one is needed: of what is promised, when something is left of that there and of
/// the entitlement here, else as a favour.
Task<Result<wire::WorkOfferReply>> JobDesk::State::ask(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy,
                                                       std::optional<std::uint64_t> guess) {
  if (!needs_lease(what.worker)) co_return co_await offer(job, what, copy);
  CO_TRY(const auto piece_max, fuel_max(job, what.piece));
  const auto most = std::min<std::uint64_t>(piece_max, cycles::lease_fuel_max);
  const auto fuel = guess ? std::min(most, *guess + *guess / 4) : most;
  const auto name = work_name(parts.identity.server, job.id.view(), what.piece);
  for (bool best_effort = !guess;; best_effort = true) {
    CO_TRY(copy.lease, co_await parts.ledger->ask(what.worker, fuel, name, best_effort));
    auto reply = co_await offer(job, what, copy);
    if (!reply) {
      if (reply.error().code == Errc::unavailable || reply.error().code == Errc::timeout) parts.ledger->not_given(copy.lease->lease);
      co_return fail(std::move(reply).error());
    }
    auto kind = cycles::Answer::Kind::accepted;
    if (reply->has_answer())
      // An answer to an earlier lease for the same piece says nothing of this one.
      if (const auto said = co_await parts.ledger->answered(copy.lease->lease, reply->answer())) kind = *said;
    if (reply->state() != wire::WorkOfferReply::REFUSED) co_return reply;
    parts.ledger->not_given(copy.lease->lease);
    // Its promise is taken, or it has heard otherwise of what is left here: then as a favour.
    if (kind != cycles::Answer::Kind::unwilling && copy.lease->entitled) continue;
    co_return fail(Errc::busy, "server {}: {}", what.worker, reply->trouble().substr(0, 500));
  }
}

Task<Result<wire::WorkOfferReply>> JobDesk::State::offer(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy) {
  wire::WorkOfferRequest request;
  if (copy.lease) *request.mutable_lease() = copy.lease->record;
  auto& order = *request.mutable_order();
  order = job.order;
  order.set_piece(what.piece);
  const auto& piece = job.pieces[what.piece];
  CO_TRY(auto work, transcoding(job, what.piece));
  if (work) *order.mutable_transcode() = std::move(*work);
  CO_TRY(const auto most, fuel_max(job, what.piece));
  order.set_fuel_max(most);
  if (piece.digest) {
    auto* input = order.add_inputs();
    input->set_digest(piece.digest->raw());
    input->set_bytes(piece.piece.bytes);
  }
  // The same for every worker of the piece, and no piece's twice.
  order.set_seed(Sha256().update(as_bytes("seed")).update(job.id.view()).update(as_bytes(std::to_string(what.piece))).finish().raw());
  CO_TRY(const auto reply, co_await parts.wire.call(
      what.worker, {.method = method::work_offer, .body = request.SerializeAsString(), .payload = {}}));
  wire::WorkOfferReply message;
  if (!message.ParseFromString(reply.body)) co_return fail(Errc::invalid, "an answer to work.offer that cannot be read");
  co_return message;
}

/// Until it has committed. Errors: cancelled (no longer wanted), unavailable (gone for good).
Task<Result<void>> JobDesk::State::wait_commit(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy) {
  auto& runtime = parts.runtime;
  auto next_poll = runtime.now() + options.poll;
  std::optional<TimePoint> down_since;
  const double p90 = copy.forecast ? copy.forecast->p90_s : slow_unknown_s / slow_factor;
  const auto slow_at = copy.began + std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::max(slow_factor * p90, slow_at_least_s)));
  // Of a first piece nobody knows how long it may take.
  const auto lost_at = !copy.forecast ? TimePoint::max() : copy.began + std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::max(lost_factor * p90, 60.0)));
  bool slow = false;
  while (!copy.committed) {
    if (!copy.trouble.empty()) co_return fail(Errc::unavailable, "server {}: {}", what.worker, copy.trouble);
    const auto standing = job.dispatcher->standing(what.piece);
    if (standing != PieceStanding::waiting || job.dispatcher->caught().contains(what.worker))
      co_return fail(Errc::cancelled, "piece {} is settled", what.piece);
    const auto now = runtime.now();
    if (!slow && now >= slow_at) {
      slow = true;
      job.dispatcher->is_slow(what.piece, what.worker);
      if (const auto found = running.find(job.id); found != running.end()) pump(found->second);
    }
    if (now >= lost_at) co_return fail(Errc::unavailable, "server {} took too long", what.worker);
    const bool up = what.worker == parts.identity.server || parts.members.is_up(what.worker);
    if (up) down_since.reset();
    else if (!down_since) down_since = now;
    if (down_since && now - *down_since >= options.lost_after)
      co_return fail(Errc::unavailable, "server {} went away", what.worker);
    if (up && now >= next_poll) {
      next_poll = now + options.poll;
      auto reply = co_await offer(job, what, copy);
      if (reply && reply->state() == wire::WorkOfferReply::COMMITTED) {
        CO_TRY(copy.commitment, Digest::from(reply->commitment()));
        copy.committed = true;
        continue;
      }
      // Started anew: it knew nothing of the piece any more.
      if (reply && reply->state() == wire::WorkOfferReply::ACCEPTED) {
        copy.began = runtime.now();
        copy.watched = true;
      }
      if (!reply && reply.error().code != Errc::unavailable && reply.error().code != Errc::timeout)
        co_return fail(Errc::unavailable, "server {}: {}", what.worker, reply.error().message);
      continue;
    }
    auto until = std::min(next_poll, lost_at);
    if (!slow) until = std::min(until, slow_at);
    if (down_since) until = std::min<TimePoint>(until, *down_since + options.lost_after);
    co_await wait_until(runtime, job.changed, std::max<TimePoint>(until, now + std::chrono::milliseconds(1)));
  }
  co_return Result<void>{};
}

Task<Result<WorkResult>> JobDesk::State::reveal(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy, std::string& log) {
  wire::WorkRevealRequest request;
  request.set_job(job.id.raw());
  request.set_piece(what.piece);
  const auto patience = parts.runtime.now() + reveal_patience;
  while (true) {
    auto reply = co_await parts.wire.call(
        what.worker, {.method = method::work_reveal, .body = request.SerializeAsString(), .payload = {}});
    if (!reply) {
      const auto code = reply.error().code;
      if ((code != Errc::unavailable && code != Errc::timeout) || parts.runtime.now() >= patience)
        co_return fail(Errc::unavailable, "server {}: {}", what.worker, reply.error().message);
      // It has the result and is not to be had: somebody else begins meanwhile.
      job.dispatcher->is_slow(what.piece, what.worker);
      if (const auto found = running.find(job.id); found != running.end()) pump(found->second);
      co_await parts.runtime.sleep(reveal_again);
      continue;
    }
    wire::WorkRevealReply message;
    if (!message.ParseFromString(reply->body)) co_return fail(Errc::corrupt, "a result that cannot be read");
    CO_TRY(const auto nonce, Digest::from(message.nonce()));
    CO_TRY(const auto output, Digest::from(message.output()));
    if (message.end() > static_cast<std::uint32_t>(WorkEnd::out_of_memory))
      co_return fail(Errc::corrupt, "a result that ends in no known way ({})", message.end());
    const WorkResult result{static_cast<WorkEnd>(message.end()), message.exit_code(), message.fuel(),
                            message.output_bytes(), output};
    if (commitment_to(what.worker, job.id, what.piece, result_digest(result), nonce) != copy.commitment)
      co_return fail(Errc::corrupt, "another result than it had committed to");
    CO_TRY_VOID(check_limits(job, what.piece, result));
    if (copy.lease && message.has_delivery())
      if (const auto taken = co_await parts.ledger->delivered(copy.lease->lease, message.delivery()); !taken)
        parts.runtime.log().info("job {}, piece {}: {}", job.id, what.piece, taken.error().message);
    log = message.log().substr(0, piece_log_bytes_max);
    co_return result;
  }
}

/// Once for each output: who comes second with the same is believed to have it.
Task<Result<void>> JobDesk::State::fetch_output(RunningJob& job, CopyAssignment what, const WorkResult& result) {
  const auto path = output_file(job.id, result);
  const auto there = co_await parts.runtime.blocking([&] { return parts.runtime.disk().stat(path); });
  if (there && there->size == result.output_bytes) co_return Result<void>{};
  const auto fetch = [&](std::uint64_t offset, std::size_t length) -> Task<Result<Buffer>> {
    wire::WorkOutputRequest request;
    request.set_job(job.id.raw());
    request.set_piece(what.piece);
    request.set_offset(offset);
    request.set_length(static_cast<std::uint32_t>(length));
    auto reply = co_await parts.wire.call(
        what.worker, {.method = method::work_output, .body = request.SerializeAsString(), .payload = {}},
        {.timeout = output_timeout, .priority = Priority::bulk, .reply_payload_bytes = length});
    if (!reply) co_return fail(Errc::unavailable, "server {}: {}", what.worker, reply.error().message);
    co_return reply->payload.flat();
  };
  // Two workers may be asked for the same at the same time: each has a file of its own until it is whole.
  const auto own = fmt::format("{}.{}.{}", path, what.piece, what.worker.brief());
  CO_TRY_VOID(co_await fetch_blob(parts.runtime, own, {result.output, result.output_bytes},
                                  fmt::format("the output of piece {}", what.piece), fetch));
  co_return co_await parts.runtime.blocking([&]() -> Result<void> {
    auto& disk = parts.runtime.disk();
    TRY(auto file, disk.open(own, OpenMode::read_write));
    TRY_VOID(file->sync());
    TRY_VOID(disk.rename(own, path));
    return disk.sync_directory(job_folder(job.id) + "/out");
  });
}

Task<void> JobDesk::State::release(JobId job, std::vector<std::uint32_t> pieces, ServerId worker) {
  wire::WorkReleaseRequest request;
  request.set_job(job.raw());
  for (const auto piece : pieces) request.add_pieces(piece);
  (void)co_await parts.wire.call(worker, {.method = method::work_release, .body = request.SerializeAsString(), .payload = {}});
}

/// Errors say, by their code, what it means for the worker: busy, denied and invalid (it takes nothing now), no_space
/// and io (the trouble is here), corrupt (it cheats), cancelled (not wanted any more), all else (it is lost).
Task<Result<void>> JobDesk::State::copy_story(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy) {
  auto& runtime = parts.runtime;
  if (auto known = co_await know_input(job, what.piece); !known) {
    const auto& error = known.error();
    if (error.code == Errc::no_space || error.code == Errc::io || error.code == Errc::unavailable)
      co_return fail(Errc::io, "the input {}: {}", job.pieces[what.piece].piece.path, error.message);
    // It will not come back by waiting.
    job.given_up[what.piece] = fmt::format("its input {} cannot be read: {}", job.pieces[what.piece].piece.path, error.message);
    job.dispatcher->give_up(what.piece);
    co_return fail(Errc::cancelled, "{}", error.message);
  }
  const auto guess = fuel_guess(job, what.piece);
  const auto bytes = job.pieces[what.piece].piece.bytes;
  const auto transfer_s = transfer_seconds(what.worker, bytes);
  CO_TRY(const auto accepted, co_await ask(job, what, copy, guess));
  const auto accepted_at = runtime.now();
  copy.began = accepted_at;
  if (guess) {
    copy.forecast = speeds.forecast(what.worker, job.stored.kind, *guess, latency_seconds(what.worker), transfer_s);
    if (copy.forecast) {
      // Behind what it has of ours already.
      const auto speed = speeds.fuel_per_s(what.worker, job.stored.kind);
      const double wait_s = queues.wait_s(what.worker, *speed, *guess, accepted_at);
      copy.forecast->p50_s += wait_s;
      copy.forecast->p90_s += wait_s;
    }
  }
  copy.ticket = queues.took(what.worker, guess, accepted_at);
  // Before this server was started anew.
  copy.watched = accepted.state() == wire::WorkOfferReply::ACCEPTED;
  if (accepted.state() == wire::WorkOfferReply::COMMITTED) {
    CO_TRY(copy.commitment, Digest::from(accepted.commitment()));
    copy.committed = true;
  }
  CO_TRY_VOID(co_await wait_commit(job, what, copy));
  const auto now = runtime.now();
  copy.seconds = std::chrono::duration<double>(now - copy.began).count();
  const auto seconds = std::chrono::duration<double>(queues.computed(what.worker, *copy.ticket, now)).count();
  copy.ticket.reset();
  job.dispatcher->committed(what.piece, what.worker);
  if (const auto found = running.find(job.id); found != running.end()) pump(found->second);
  while (!copy.may_reveal) {
    if (!job.dispatcher->is_under_way(what.piece, what.worker)) co_return fail(Errc::cancelled, "no longer wanted");
    co_await job.changed.wait();
  }
  std::string log;
  CO_TRY(const auto result, co_await reveal(job, what, copy, log));
  CO_TRY_VOID(co_await fetch_output(job, what, result));
  const auto digest = result_digest(result);
  StoredVote vote{what.piece, what.worker, {}, what.worker == parts.identity.server, result, std::move(log)};
  if (const auto person = parts.members.person_of(what.worker)) {
    vote.person = *person;
    vote.own = *person == parts.identity.person;
  }
  CO_TRY_VOID(co_await store.add_vote(job.id, std::move(vote)));
  job.results[digest] = result;
  ++job.votes[what.worker];
  if (copy.watched) job.timings[{what.piece, what.worker}] = {seconds, transfer_s, copy.forecast, copy.seconds};
  job.dispatcher->revealed(what.piece, what.worker, digest, result.fuel);
  co_return Result<void>{};
}

/// Says to the ledger that it was given.
void JobDesk::State::receipt(const RunningJob& job, std::uint32_t piece, const ServerId& worker, std::uint64_t fuel,
                             std::optional<double> seconds) {
  if (!needs_lease(worker)) return;
  std::optional<Duration> elapsed;
  if (seconds) elapsed = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds));
  tasks.spawn(parts.ledger->receipt(work_name(parts.identity.server, job.id.view(), piece), worker, fuel, elapsed));
}

/// Who has promised and is not there while there is work for him is asked all the same, so that it is known.
void JobDesk::State::ask_absent(const RunningJob& job) {
  if (!parts.ledger || job.done_pieces == 0 || job.ending) return;
  const auto waiting = job.dispatcher->count(PieceStanding::waiting);
  if (waiting <= job.copies.size()) return;
  const auto left = static_cast<std::uint64_t>(job.done_fuel / job.done_pieces * (waiting - static_cast<double>(job.copies.size())));
  // By the ledger and not by who is known here: a server that was retired has promised all the same.
  const auto& ledger = parts.ledger->ledger();
  for (const auto& person : ledger.persons()) {
    if (person == parts.identity.person || !parts.members.is_trusted(person)) continue;
    for (const auto& server : ledger.servers(person))
      if (server.in_epoch > 0 && !parts.members.is_up(server.server))
        parts.ledger->ask_absent(server.server, std::min(left, server.in_epoch), work_name(parts.identity.server, job.id.view(), ~0u));
  }
}

Task<void> JobDesk::State::run_copy(JobPointer job, CopyAssignment what) {
  const auto key = std::pair(what.piece, what.worker);
  const auto copy = job->copies.at(key);
  const auto done = co_await copy_story(*job, what, *copy);
  if (copy->ticket) queues.dropped(what.worker, *copy->ticket, parts.runtime.now());
  job->copies.erase(key);
  if (!done) {
    const auto& error = done.error();
    const auto stay_away = [&](Duration time) { away[what.worker] = {parts.runtime.now() + time, error.message}; };
    CopyFailure why = CopyFailure::lost;
    switch (error.code) {
      case Errc::busy: why = CopyFailure::refused; stay_away(away_busy); break;
      case Errc::denied:
      case Errc::invalid:
      case Errc::not_found: why = CopyFailure::refused; stay_away(away_refused); break;
      // Of this machine's own disk: no fault of the worker's.
      case Errc::no_space:
      case Errc::io: why = CopyFailure::refused; break;
      case Errc::corrupt: why = CopyFailure::broken; break;
      case Errc::cancelled: why = CopyFailure::refused; break;
      default: stay_away(away_unreachable); break;
    }
    if (error.code != Errc::cancelled) parts.runtime.log().info("job {}, piece {}: {}", job->id, what.piece, error.message);
    if (error.code != Errc::busy && error.code != Errc::cancelled) job->stored.trouble = error.message;
    job->dispatcher->failed(what.piece, what.worker, why);
    if (copy->lease && why == CopyFailure::lost) parts.ledger->not_given(copy->lease->lease);
  } else {
    away.erase(what.worker);
  }
  tasks.spawn(release(job->id, {what.piece}, what.worker));
  // What is wrong here is not put right by trying at once.
  if (!done && (done.error().code == Errc::no_space || done.error().code == Errc::io)) co_return touch(*job);
  pump(job);
}

}  // namespace spatter
