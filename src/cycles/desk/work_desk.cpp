#include "cycles/work_desk.h"

#include <algorithm>

#include "net/methods.h"
#include "work_desk_state.h"

namespace spatter {
namespace {

constexpr auto commit_again_min = std::chrono::seconds(1);
constexpr auto commit_again_max = std::chrono::seconds(30);
constexpr auto fetch_timeout = std::chrono::seconds(60);
constexpr int release_pieces_max = 65'536;

}  // namespace

Result<void> WorkDesk::State::check_order(const wire::WorkOrder& order) const {
  TRY_VOID(JobId::from(order.job()));
  if (order.seed().size() != 32) return fail(Errc::invalid, "a piece whose seed has {} bytes", order.seed().size());
  std::uint64_t bytes = 0;
  for (const auto& input : order.inputs()) {
    TRY_VOID(Digest::from(input.digest()));
    if (input.bytes() > options.input_bytes_max || (bytes += input.bytes()) > options.input_bytes_max)
      return fail(Errc::invalid, "inputs of more than {} bytes", options.input_bytes_max);
  }
  if (order.has_module()) {
    TRY_VOID(Digest::from(order.module().module().digest()));
    if (order.module().module().bytes() > options.module_cache_bytes / 4)
      return fail(Errc::invalid, "a module of {} bytes", order.module().module().bytes());
  }
  if (order.output_bytes_max() > options.output_bytes_max)
    return fail(Errc::invalid, "{} bytes of output are asked for, of at most {}", order.output_bytes_max(),
                options.output_bytes_max);
  return parts.runner.can_run(order);
}

Task<Result<RpcReply>> WorkDesk::State::handle_offer(Caller caller, RpcRequest request) {
  const auto person = parts.members.person_of(caller.server);
  if (!person) co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  wire::WorkOfferRequest message;
  if (!message.ParseFromString(request.body) || !message.has_order())
    co_return fail(Errc::invalid, "a work.offer request that cannot be read");
  CO_TRY(const auto job, JobId::from(message.order().job()));
  const Key key{caller.server, job, message.order().piece()};
  wire::WorkOfferReply reply;
  if (const auto found = entries.find(key); found != entries.end()) {
    // What it is about to say of it; then it may be offered again.
    if (found->second->stage == Stage::failed) co_return fail(Errc::busy, "piece {} came to nothing here", key.piece);
    const bool done = !at_work(*found->second);
    reply.set_state(done ? wire::WorkOfferReply::COMMITTED : wire::WorkOfferReply::RUNNING);
    if (done) reply.set_commitment(found->second->commitment.raw());
    if (const auto& lease = found->second->lease; lease && lease->record) *reply.mutable_answer() = *lease->record;
    co_return RpcReply{reply.SerializeAsString(), {}};
  }
  const auto refuse = [&](Error error) {
    ++sums.refused;
    return fail(std::move(error));
  };
  drop_receipted();
  const bool needs_lease = parts.ledger && *person != parts.identity.person;
  if (needs_lease && !message.has_lease()) co_return refuse({Errc::denied, "an offer without a lease"});
  const auto willing = parts.may_work(*person);
  // That somebody is at the machine, say, is its own doing, and a refusal; all else is not to be blamed on it.
  const bool unwilling = !willing && willing.error().code == Errc::busy;
  if (!willing && !(unwilling && needs_lease)) co_return refuse(willing.error());
  if (const auto may = co_await may_take(key, message.order(), needs_lease && is_owed(message.lease())); !may) co_return refuse(may.error());
  if (stopping()) co_return fail(Errc::unavailable, "this server is stopping");
  // Its place is taken before anything else is waited for.
  auto entry = std::make_shared<Entry>(parts.runtime.executor());
  entry->order = message.order();
  entry->number = ++folders;
  entry->folder = fmt::format("work/pieces/{}", entry->number);
  entry->since = parts.runtime.now();
  if (!unwilling) entries[key] = entry;
  if (needs_lease) {
    auto lease = co_await parts.ledger->answer(caller.server, work_name(caller.server, job.view(), key.piece), message.lease(), unwilling);
    if (const bool accepted = lease && lease->answer == cycles::Answer::Kind::accepted; !accepted || stopping()) {
      if (const auto own = entries.find(key); own != entries.end() && own->second == entry) entries.erase(own);
      if (stopping()) co_return fail(Errc::unavailable, "this server is stopping");
      if (!lease) co_return refuse(lease.error());
      if (unwilling && !lease->record) co_return refuse(willing.error());
      ++sums.refused;
      reply.set_state(wire::WorkOfferReply::REFUSED);
      if (lease->record) *reply.mutable_answer() = *lease->record;
      reply.set_trouble(unwilling ? willing.error().message : std::string(to_string(lease->answer)));
      co_return RpcReply{reply.SerializeAsString(), {}};
    }
    if (lease->record) *reply.mutable_answer() = *lease->record;
    entry->lease = std::move(*lease);
  }
  // Released meanwhile.
  if (const auto own = entries.find(key); own == entries.end() || own->second != entry) co_return fail(Errc::cancelled, "the piece was released");
  ++sums.taken;
  entry->group.spawn(work(key, entry));
  reply.set_state(wire::WorkOfferReply::ACCEPTED);
  co_return RpcReply{reply.SerializeAsString(), {}};
}

FetchPart WorkDesk::State::fetch_from(const Key& key, const Digest& digest) {
  return [this, key, digest](std::uint64_t offset, std::size_t length) -> Task<Result<Buffer>> {
    wire::WorkFetchRequest request;
    request.set_job(key.job.raw());
    request.set_digest(digest.raw());
    request.set_offset(offset);
    request.set_length(static_cast<std::uint32_t>(length));
    CO_TRY(auto reply, co_await parts.wire.call(
        key.asker, {.method = method::work_fetch, .body = request.SerializeAsString(), .payload = {}},
        {.timeout = fetch_timeout, .priority = Priority::bulk, .reply_payload_bytes = length}));
    co_return reply.payload.flat();
  };
}

Task<Result<std::string>> WorkDesk::State::get_module(const Key& key, BlobFacts facts) {
  const auto permit = co_await modules.lock();
  const auto path = "work/modules/" + facts.digest.hex();
  const auto there = co_await parts.runtime.blocking([&] { return parts.runtime.disk().stat(path); });
  if (there && there->size == facts.bytes) co_return path;
  CO_TRY_VOID(co_await fetch_blob(parts.runtime, path, facts, fmt::format("module {}", facts.digest),
                                  fetch_from(key, facts.digest)));
  CO_TRY_VOID(co_await trim_modules(path));
  co_return path;
}

/// The first in the order of names go: which is chance, for the names are hashes.
Task<Result<void>> WorkDesk::State::trim_modules(const std::string& keep) {
  std::set<std::string> used{keep};
  for (const auto& [key, entry] : entries)
    if (entry->order.has_module())
      if (const auto digest = Digest::from(entry->order.module().module().digest()))
        used.insert("work/modules/" + digest->hex());
  co_return co_await parts.runtime.blocking([&]() -> Result<void> {
    auto& disk = parts.runtime.disk();
    TRY(const auto files, disk.list("work/modules"));
    std::uint64_t bytes = 0;
    for (const auto& file : files) bytes += file.size;
    for (const auto& file : files) {
      const auto path = "work/modules/" + file.name;
      if (bytes <= options.module_cache_bytes) break;
      if (used.contains(path)) continue;
      TRY_VOID(disk.remove(path));
      bytes -= file.size;
    }
    return {};
  });
}

Task<Result<void>> WorkDesk::State::compute(const Key& key, Entry& entry) {
  auto& runtime = parts.runtime;
  entry.stage = Stage::fetching;
  const auto made = co_await runtime.blocking([&] { return runtime.disk().make_directories(entry.folder); });
  CO_TRY_VOID(made);
  PieceFiles files;
  files.output = entry.folder + "/output";
  if (entry.order.has_module()) {
    const auto& module = entry.order.module().module();
    CO_TRY(files.module, co_await get_module(key, {*Digest::from(module.digest()), module.bytes()}));
  }
  for (int i = 0; i < entry.order.inputs_size(); ++i) {
    const auto& input = entry.order.inputs(i);
    const auto digest = *Digest::from(input.digest());
    files.inputs.push_back(fmt::format("{}/input{}", entry.folder, i));
    CO_TRY_VOID(co_await fetch_blob(runtime, files.inputs.back(), {digest, input.bytes()},
                                    fmt::format("input {} of piece {}", i, key.piece), fetch_from(key, digest)));
  }
  entry.stage = Stage::waiting;
  {
    struct Place {
      State& state;
      const Entry& entry;
      Place(State& state, const Entry& entry) : state(state), entry(entry) { state.waiting.insert(&entry); }
      ~Place() {
        state.waiting.erase(&entry);
        state.room.wake_all();
      }
    } place(*this, entry);
    while (computing >= options.parallel || !is_next(entry)) co_await room.wait();
  }
  struct Turn {
    State& state;
    explicit Turn(State& state) : state(state) { ++state.computing; }
    ~Turn() {
      --state.computing;
      state.room.wake_all();
    }
  } turn(*this);
  entry.stage = Stage::computing;
  CO_TRY(auto done, co_await parts.runner.run(entry.order, files));
  sums.processor_s += done.processor_s;
  sums.fuel += done.fuel;
  auto facts = co_await runtime.blocking([&]() -> Result<BlobFacts> {
    for (const auto& input : files.inputs) TRY_VOID(runtime.disk().remove(input));
    return hash_file(runtime.disk(), files.output);
  });
  CO_TRY(const auto output, std::move(facts));
  entry.result = {done.end, done.exit_code, done.fuel, output.bytes, output.digest};
  entry.log = std::move(done.log);
  entry.log.resize(std::min(entry.log.size(), piece_log_bytes_max));
  entry.nonce = runtime.entropy().id<Digest>();
  entry.commitment = commitment_to(parts.identity.server, key.job, key.piece, result_digest(entry.result), entry.nonce);
  entry.stage = Stage::committed;
  co_return Result<void>{};
}

/// Until the asker has heard it, or the piece is forgotten.
Task<void> WorkDesk::State::tell(const Key& key, Entry& entry, const std::string& trouble) {
  wire::WorkCommitRequest request;
  request.set_job(key.job.raw());
  request.set_piece(key.piece);
  if (trouble.empty()) request.set_commitment(entry.commitment.raw());
  else request.set_trouble(trouble);
  Duration again = commit_again_min;
  while (true) {
    const auto reply = co_await parts.wire.call(
        key.asker, {.method = method::work_commit, .body = request.SerializeAsString(), .payload = {}});
    if (reply || (reply.error().code != Errc::unavailable && reply.error().code != Errc::timeout)) break;
    co_await parts.runtime.sleep(again);
    again = std::min<Duration>(2 * again, commit_again_max);
  }
  entry.told = true;
}

Task<void> WorkDesk::State::work(Key key, std::shared_ptr<Entry> entry) {
  const auto done = co_await compute(key, *entry);
  if (done) {
    ++sums.computed;
    co_await tell(key, *entry, "");
    co_return;
  }
  ++sums.failed;
  entry->stage = Stage::failed;
  entry->since = parts.runtime.now();
  parts.runtime.log().info("piece {} of job {} of server {}: {}", key.piece, key.job, key.asker, done.error().message);
  co_await tell(key, *entry, done.error().message);
  // Not from here: this task is the entry's own.
  tasks.spawn(forget(key, entry));
}

Task<void> WorkDesk::State::forget(Key key, std::shared_ptr<Entry> entry) {
  if (const auto found = entries.find(key); found != entries.end() && found->second == entry) entries.erase(found);
  co_await entry->group.stop();
  const auto folder = entry->folder;
  const auto removed = co_await parts.runtime.blocking([&] { return remove_folder(parts.runtime.disk(), folder); });
  if (!removed) parts.runtime.log().warning("{}: {}", folder, removed.error().message);
}

Task<void> WorkDesk::State::forget_old() {
  while (true) {
    co_await parts.runtime.sleep(std::chrono::minutes(10));
    std::vector<std::pair<Key, std::shared_ptr<Entry>>> old;
    for (const auto& one : entries)
      if (!at_work(*one.second) && parts.runtime.now() - one.second->since > options.keep_results) old.push_back(one);
    for (auto& [key, entry] : old) co_await forget(key, std::move(entry));
    drop_receipted();
  }
}

Result<std::shared_ptr<WorkDesk::State::Entry>> WorkDesk::State::find(const Caller& caller, const std::string& job,
                                                                      std::uint32_t piece) const {
  TRY(const auto id, JobId::from(job));
  const auto found = entries.find({caller.server, id, piece});
  if (found == entries.end()) return fail(Errc::not_found, "piece {} of job {} is not known here", piece, id);
  if (found->second->stage == Stage::failed) return fail(Errc::not_found, "piece {} of job {} came to nothing here", piece, id);
  if (at_work(*found->second)) return fail(Errc::busy, "piece {} of job {} is not computed yet", piece, id);
  return found->second;
}

Task<Result<RpcReply>> WorkDesk::State::handle_reveal(Caller caller, RpcRequest request) {
  wire::WorkRevealRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "a work.reveal request that cannot be read");
  CO_TRY(const auto entry, find(caller, message.job(), message.piece()));
  entry->stage = Stage::shown;
  entry->since = parts.runtime.now();
  wire::WorkRevealReply reply;
  reply.set_nonce(entry->nonce.raw());
  reply.set_end(static_cast<std::uint32_t>(entry->result.end));
  reply.set_exit_code(entry->result.exit_code);
  reply.set_fuel(entry->result.fuel);
  reply.set_output_bytes(entry->result.output_bytes);
  reply.set_output(entry->result.output.raw());
  reply.set_log(entry->log);
  if (entry->lease) {
    auto delivery = co_await parts.ledger->deliver(entry->lease->lease, entry->result.fuel, entry->result.output);
    if (delivery) {
      entry->delivered = true;
      *reply.mutable_delivery() = std::move(*delivery);
    } else {
      parts.runtime.log().warning("piece {} is delivered without an entry: {}", message.piece(), delivery.error().message);
    }
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<RpcReply>> WorkDesk::State::handle_output(Caller caller, RpcRequest request) {
  wire::WorkOutputRequest message;
  if (!message.ParseFromString(request.body) || message.length() > work_fetch_bytes_max)
    co_return fail(Errc::invalid, "a work.output request that cannot be read, or wants more than {} bytes",
                   work_fetch_bytes_max);
  CO_TRY(const auto entry, find(caller, message.job(), message.piece()));
  if (entry->stage != Stage::shown)
    co_return fail(Errc::busy, "the result of piece {} was not asked for yet", message.piece());
  RpcReply reply{wire::WorkOutputReply().SerializeAsString(), {}};
  CO_TRY(auto payload, co_await read_output(*entry, message.offset(), message.length()));
  reply.payload = Rope(std::move(payload));
  co_return reply;
}

Task<Result<Buffer>> WorkDesk::State::read_output(const Entry& entry, std::uint64_t offset, std::size_t length) {
  co_return co_await parts.runtime.blocking([&]() -> Result<Buffer> {
    TRY(auto file, parts.runtime.disk().open(entry.folder + "/output", OpenMode::read));
    auto buffer = Buffer::allocate(length);
    TRY(const auto got, file->read_at(offset, buffer.mutable_view()));
    return buffer.slice(0, got);
  });
}

Task<Result<RpcReply>> WorkDesk::State::handle_release(Caller caller, RpcRequest request) {
  wire::WorkReleaseRequest message;
  if (!message.ParseFromString(request.body) || message.pieces_size() > release_pieces_max)
    co_return fail(Errc::invalid, "a work.release request that cannot be read, or is too long");
  CO_TRY(const auto job, JobId::from(message.job()));
  std::vector<std::pair<Key, std::shared_ptr<Entry>>> gone;
  const std::set<std::uint32_t> pieces(message.pieces().begin(), message.pieces().end());
  for (const auto& one : entries)
    if (one.first.asker == caller.server && one.first.job == job && (pieces.empty() || pieces.contains(one.first.piece))) {
      one.second->released = true;
      if (!is_kept_for_witnesses(*one.second)) gone.push_back(one);
    }
  for (auto& [key, entry] : gone) tasks.spawn(forget(key, std::move(entry)));
  co_return RpcReply{wire::WorkReleaseReply().SerializeAsString(), {}};
}

WorkDesk::WorkDesk(Parts parts, WorkOptions options) : state_(std::make_shared<State>(std::move(parts), options)) {}
WorkDesk::~WorkDesk() = default;

Task<Result<void>> WorkDesk::start() {
  auto& state = *state_;
  const auto made = co_await state.parts.runtime.blocking([&]() -> Result<void> {
    auto& disk = state.parts.runtime.disk();
    TRY_VOID(remove_folder(disk, "work"));
    TRY_VOID(disk.make_directories("work/modules"));
    return disk.make_directories("work/pieces");
  });
  CO_TRY_VOID(made);
  state.parts.wire.serve(method::work_offer, std::weak_ptr(state_), &State::handle_offer);
  state.parts.wire.serve(method::work_reveal, std::weak_ptr(state_), &State::handle_reveal);
  state.parts.wire.serve(method::work_output, std::weak_ptr(state_), &State::handle_output);
  state.parts.wire.serve(method::work_release, std::weak_ptr(state_), &State::handle_release);
  state.parts.wire.serve(method::cycles_ask, std::weak_ptr(state_), &State::handle_ask);
  state.parts.wire.serve(method::cycles_show, std::weak_ptr(state_), &State::handle_show);
  state.tasks.spawn(state.forget_old());
  co_return Result<void>{};
}

Task<void> WorkDesk::stop() {
  const auto state = state_;
  co_await state->tasks.stop();
  for (const auto& [key, entry] : std::exchange(state->entries, {})) co_await entry->group.stop();
}

Task<void> WorkDesk::drop_all() {
  const auto state = state_;
  std::vector<std::pair<State::Key, std::shared_ptr<State::Entry>>> gone;
  for (const auto& one : state->entries)
    if (state->at_work(*one.second)) gone.push_back(one);
  for (auto& [key, entry] : gone) co_await state->forget(key, std::move(entry));
}

void WorkDesk::set_parallel(unsigned pieces) {
  state_->options.parallel = std::max(1u, pieces);
  state_->room.wake_all();
}

WorkReport WorkDesk::report() const {
  WorkReport report = state_->sums;
  for (const auto& [key, entry] : state_->entries) {
    static constexpr const char* names[] = {"waiting", "fetching", "computing", "committed", "shown", "failed"};
    report.pieces.push_back({key.asker, key.job, key.piece, names[static_cast<int>(entry->stage)]});
  }
  return report;
}

}  // namespace spatter
