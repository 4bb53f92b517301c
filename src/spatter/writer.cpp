#include "spatter/writer.h"

#include <set>

#include "code/layout.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "holder_link.h"
#include "spatter/safety.h"
#include "base/task_groups.h"
#include "trust/contract.h"

namespace spatter {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Stripes whose shards all fit in this are encoded in one go and sent with shard.put, one round
/// trip; larger ones stream by.
constexpr std::uint64_t small_stripe_bytes = 12 << 20;
constexpr std::uint64_t small_shard_bytes = 1 << 20;
/// Copies of this much, and the few signatures of any copies, are made on the executor: going to
/// another thread and back takes longer.
constexpr std::uint64_t tiny_stripe_bytes = 64 << 10;
constexpr std::uint64_t rows_per_segment = 4;  ///< 256 KiB of every column
constexpr std::size_t segments_in_flight = 3;
/// Pieces of one shard under way at a time: the next one travels while the last one is written.
constexpr std::size_t pieces_in_flight = 2;
/// Stripes that stream at a time. Others may be waiting for their receipts meanwhile.
constexpr std::size_t streams_at_once = 2;
/// Likewise of those that stand and get a few shards: less memory each, and as many round trips.
constexpr std::size_t extensions_at_once = 6;
constexpr unsigned rounds_max = 4;
constexpr Duration avoid_after_failure = seconds(10);
constexpr Duration avoid_when_full = seconds(60);
constexpr Duration patience_put = milliseconds(1500);
constexpr Duration patience_stream = seconds(4);
constexpr Duration patience_commit = seconds(6);

/// Leaf hashes of several columns' pieces (each beginning at a leaf), appended to theirs, all
/// leaves side by side.
void hash_columns(const std::vector<ByteView>& pieces,
                  const std::vector<std::vector<Digest>*>& leaves) {
  std::vector<ByteView> messages;
  for (const auto& piece : pieces)
    for (std::size_t at = 0; at < piece.size(); at += leaf_bytes)
      messages.push_back(piece.subspan(at, std::min(leaf_bytes, piece.size() - at)));
  std::vector<Digest> digests(messages.size());
  sha256_many(messages, digests, 0x00);
  auto next = digests.begin();
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto count = static_cast<std::ptrdiff_t>(leaf_count(pieces[i].size()));
    leaves[i]->insert(leaves[i]->end(), next, next + count);
    next += count;
  }
}

/// The receipt is our own offer, signed by the holder it names.
Result<void> check_receipt(const wire::Contract& receipt, const wire::Contract& offer,
                           const ServerId& holder) {
  if (receipt.body() != offer.body() || receipt.owner_signature() != offer.owner_signature())
    return fail(Errc::invalid, "server {}: its receipt is for another contract", holder);
  if (server_id(as_bytes(receipt.holder_key())) != holder ||
      !verify(as_bytes(receipt.holder_key()), signed_bytes(kind::contract, receipt.body()),
              as_bytes(receipt.holder_signature())))
    return fail(Errc::corrupt, "server {}: its receipt is not signed by it", holder);
  return {};
}

}  // namespace

Candidate candidate_of(const Member& member, bool accepts) {
  Candidate candidate;
  candidate.server = member.id;
  candidate.person = member.person;
  candidate.weight = weight_of(member.capacity_bytes);
  candidate.accepts = accepts;
  if (!member.addresses.empty()) candidate.prefix = network_prefix(member.addresses.front().host);
  return candidate;
}

/// One shard on its way to one holder.
struct StripeWriter::Target {
  std::uint16_t index = 0;
  ServerId holder;
  enum class State { going, begun, done, failed } state = State::going;
  std::uint64_t handle = 0;
  std::size_t segments_sent = 0;
  TimePoint settled_at{};
  wire::Contract offer;
  Buffer shard;  ///< small stripes
};

/// The segments between the encoder and the holders.
struct StripeWriter::Stream {
  explicit Stream(asio::any_io_executor executor) : more(executor) {}
  struct Segment {
    std::uint64_t offset = 0;  ///< in every shard
    std::vector<Buffer> columns;  ///< per target; empty once all have it
  };
  std::vector<Segment> segments;
  std::size_t ready = 0;
  WaitQueue more;
};

struct StripeWriter::Job {
  Job(SpatterContext context, const StripeCode& stripe_code, Layout stripe_layout)
      : context(context),
        link(context),
        code(stripe_code),
        layout(stripe_layout),
        progress(context.runtime.executor()) {}

  SpatterContext context;
  HolderLink link;
  StripeCode code;
  Layout layout;
  StripeId id;
  StripeLabel label;
  Shape shape;
  WallMs created_ms = 0;
  std::optional<std::vector<Extra>> extras;  ///< given holders, for extend()
  std::function<void()> on_safe;

  std::optional<Descriptor> facts;  ///< once all roots are known
  wire::Signed descriptor;
  std::vector<Buffer> whole;        ///< small stripes: all shards

  std::vector<std::shared_ptr<Target>> standing;  ///< begun or done
  std::set<ServerId> refused;
  std::vector<Candidate> candidates;
  std::vector<ShardReceipt> fresh;  ///< verified, not yet in the table
  unsigned receipts = 0;
  bool in_table = false;
  Error last_error{Errc::unavailable, "no other server can hold"};
  std::shared_ptr<std::unordered_map<ServerId, Avoided>> avoided;
  WaitQueue progress;

  bool is_small() const {
    return layout.shard_size() <= small_shard_bytes &&
           layout.shard_size() * shape.n <= small_stripe_bytes;
  }

  void settle(Target& target, Target::State state) {
    target.state = state;
    target.settled_at = context.runtime.now();
    progress.wake_all();
  }

  void failed(Target& target, Error error) {
    if (target.state == Target::State::failed) return;
    context.runtime.log().debug("stripe {}: shard {} passed over at server {}: {}", id,
                                target.index, target.holder, error.message);
    refused.insert(target.holder);
    if (target.holder != context.identity.server) {
      const bool full = error.code == Errc::no_space;
      (*avoided)[target.holder] = {
          context.runtime.now() + (full ? avoid_when_full : avoid_after_failure), full};
    }
    if (last_error.code != Errc::fenced) last_error = std::move(error);
    settle(target, Target::State::failed);
  }

  // --- What runs per target. Each owns the job and the target. --------------------------------

  static Task<void> begin_one(std::shared_ptr<Job> job, std::shared_ptr<Target> target,
                              WriterMark mark) {
    auto handle = co_await job->link.begin(target->holder, {job->id, target->index},
                                           job->layout.shard_size(), mark);
    if (target->state != Target::State::going) co_return;
    if (!handle) {
      job->failed(*target, std::move(handle).error());
    } else {
      target->handle = *handle;
      job->settle(*target, Target::State::begun);
    }
  }

  /// Sends every pieces_in_flight-th segment, from `first` on. The holder takes them in order.
  static Task<void> feed(std::shared_ptr<Job> job, std::shared_ptr<Stream> stream,
                         std::shared_ptr<Target> target, std::size_t slot, std::size_t first) {
    for (std::size_t s = first; s < stream->segments.size(); s += pieces_in_flight) {
      while (stream->ready <= s) co_await stream->more.wait();
      if (target->state != Target::State::begun) co_return;
      const auto& segment = stream->segments[s];
      auto written = co_await job->link.write(target->holder, target->handle, segment.offset,
                                              segment.columns[slot]);
      if (target->state != Target::State::begun) co_return;
      if (!written) {
        job->failed(*target, std::move(written).error());
        co_return;
      }
      ++target->segments_sent;
      target->settled_at = job->context.runtime.now();
      job->progress.wake_all();
    }
  }

  static Task<void> finish(std::shared_ptr<Job> job, std::shared_ptr<Target> target) {
    auto receipt = co_await (target->handle != 0
                                 ? job->link.commit(target->holder, target->handle, job->descriptor,
                                                    target->offer)
                                 : job->link.put(target->holder, job->descriptor, target->offer,
                                                 std::move(target->shard)));
    if (!receipt) {
      job->failed(*target, std::move(receipt).error());
      co_return;
    }
    // On the executor: one signature costs less than a trip to another thread and back.
    auto verified = check_receipt(*receipt, target->offer, target->holder);
    if (!verified) {
      job->failed(*target, std::move(verified).error());
      co_return;
    }
    // A holder that was passed over as too slow and yet came is welcome: one more copy to release.
    job->fresh.push_back({.index = target->index,
                          .holder = target->holder,
                          .contract = to_bytes(as_bytes(receipt->SerializeAsString()))});
    if (target->state != Target::State::failed) ++job->receipts;
    if (target->state == Target::State::failed)
      job->progress.wake_all();
    else
      job->settle(*target, Target::State::done);
  }
};

StripeWriter::StripeWriter(SpatterContext context, OwnedVolume volume, PackBytes& packs)
    : context_(context),
      volume_(std::move(volume)),
      packs_(packs),
      avoided_(std::make_shared<std::unordered_map<ServerId, Avoided>>()),
      writing_(std::make_shared<std::unordered_multiset<StripeId>>()),
      streaming_(context.runtime.executor(), streams_at_once),
      extending_(context.runtime.executor(), extensions_at_once),
      groups_(std::make_unique<TaskGroups>(context.runtime.executor())) {}

StripeWriter::~StripeWriter() = default;

Task<void> StripeWriter::stop() { co_await groups_->stop(); }

bool StripeWriter::is_avoided(const ServerId& server) const {
  const auto at = avoided_->find(server);
  return at != avoided_->end() && at->second.until > context_.runtime.now();
}

std::vector<Candidate> StripeWriter::candidates() const {
  std::vector<Candidate> result;
  for (const auto& member : context_.members.others()) {
    if (!member.up || !member.may_hold || member.capacity_bytes == 0 || is_avoided(member.id)) continue;
    result.push_back(candidate_of(member, true));
  }
  return result;
}

Task<Result<Written>> StripeWriter::write(StripeLabel label, Shape shape,
                                          std::function<void()> on_safe) {
  CO_TRY(const auto code, StripeCode::make(shape.k, shape.n));
  auto job = std::make_shared<Job>(context_, code, Layout(shape.k, label.length));
  job->id = context_.runtime.entropy().id<StripeId>();
  job->label = label;
  job->shape = shape;
  job->created_ms = context_.runtime.wall_ms();
  job->on_safe = std::move(on_safe);
  job->avoided = avoided_;
  job->candidates = candidates();
  auto done = co_await run(job);
  if (!done || !job->in_table) {
    co_await give_up(job);
    if (!done) co_return fail(std::move(done).error());
    co_return fail(why_missing(job->last_error).during(
        fmt::format("only {} of {} shards were taken", job->receipts, shape.full_at())));
  }
  Written written{job->id, job->receipts, job->receipts >= shape.full_at()};
  if (!written.full) written.missing = why_missing(job->last_error);
  co_return written;
}

Error StripeWriter::why_missing(Error otherwise) const {
  if (otherwise.code == Errc::fenced) return otherwise;
  std::size_t up = 0;
  std::size_t full = 0;
  for (const auto& member : context_.members.others()) {
    if (!member.up || !member.may_hold) continue;
    ++up;
    const auto at = avoided_->find(member.id);
    full += at != avoided_->end() && at->second.full && at->second.until > context_.runtime.now();
  }
  if (full == 0) return otherwise;
  return {Errc::no_space, fmt::format("the server halves are full: {} of the {} other servers that "
                                      "are up have no room for more; add servers", full, up)};
}

Task<Result<std::vector<StripeWriter::Extra>>> StripeWriter::extend(StripePtr stripe,
                                                                    std::vector<Extra> extras) {
  CO_TRY(const auto code, StripeCode::make(stripe->k, stripe->n));
  auto job = std::make_shared<Job>(context_, code, Layout(stripe->k, stripe->length));
  job->id = stripe->id;
  job->label.pack = stripe->pack;
  job->label.offset = stripe->offset;
  job->label.length = stripe->length;
  job->shape.k = stripe->k;
  job->shape.n = job->shape.placed = stripe->n;
  job->avoided = avoided_;
  job->extras = std::move(extras);
  job->in_table = true;
  CO_TRY(const auto bytes, co_await context_.table.descriptor(stripe->id));
  if (!job->descriptor.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    co_return fail(Errc::corrupt, "stripe {}: its descriptor cannot be read", stripe->id);
  CO_TRY(job->facts, check_descriptor(job->descriptor));
  auto done = co_await run(job);
  if (!done) {
    co_await give_up(job);
    co_return fail(std::move(done).error());
  }
  std::vector<Extra> standing;
  for (const auto& target : job->standing)
    if (target->state == Target::State::done) standing.push_back({target->index, target->holder});
  if (standing.empty()) co_return fail(job->last_error);
  co_return std::move(standing);
}

/// The targets still to be reached, given what stands or is begun.
std::vector<std::shared_ptr<StripeWriter::Target>> StripeWriter::plan(Job& job) const {
  std::vector<std::shared_ptr<Target>> result;
  const auto add = [&](std::size_t index, const ServerId& holder) {
    auto target = std::make_shared<Target>();
    target->index = static_cast<std::uint16_t>(index);
    target->holder = holder;
    result.push_back(std::move(target));
  };
  if (job.extras) {
    for (const auto& extra : *job.extras) add(extra.index, extra.holder);
    job.extras->clear();
    return result;
  }
  Assignment present(job.shape.n);
  bool own_stands = !job.shape.own_copy || job.refused.contains(context_.identity.server);
  for (const auto& target : job.standing) {
    if (target->state == Target::State::failed) continue;
    if (target->holder == context_.identity.server)
      own_stands = true;
    else
      present[target->index] = target->holder;
  }
  auto candidates = job.candidates;
  for (auto& candidate : candidates)
    if (job.refused.contains(candidate.server)) candidate.accepts = false;
  const auto wanted = place(job.id, job.shape.n, job.shape.placed, candidates, present);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i] && !present[i]) add(i, *wanted[i]);
  // The copy in the own server half is the last index: never one that the others get (W < 3).
  if (!own_stands) add(job.shape.n - 1, context_.identity.server);
  return result;
}

bool StripeWriter::has_spare(const Job& job) const {
  if (job.shape.k == 1) {
    std::set<ServerId> used(job.refused);
    for (const auto& target : job.standing) used.insert(target->holder);
    return std::any_of(job.candidates.begin(), job.candidates.end(),
                       [&](const Candidate& c) { return !used.contains(c.server); });
  }
  const auto free = std::count_if(job.candidates.begin(), job.candidates.end(),
                                  [&](const Candidate& c) { return !job.refused.contains(c.server); });
  return free > 2;
}

Task<Result<void>> StripeWriter::run(std::shared_ptr<Job> job) {
  struct Writing {
    std::shared_ptr<std::unordered_multiset<StripeId>> ids;
    StripeId id;
    ~Writing() { ids->erase(ids->find(id)); }
  };
  writing_->insert(job->id);
  const Writing writing{writing_, job->id};
  for (unsigned round = 0; round < rounds_max; ++round) {
    std::vector<std::shared_ptr<Target>> targets;
    if (job->is_small()) {
      targets = plan(*job);
      job->standing.insert(job->standing.end(), targets.begin(), targets.end());
      if (targets.empty()) break;
      if (job->whole.empty()) CO_TRY_VOID(co_await encode_whole(job));
      for (const auto& target : targets) target->shard = job->whole[target->index];
    } else {
      const auto turn = co_await (job->facts ? extending_ : streaming_).acquire();
      // Who is full or gone says so before any byte was sent, so others are asked at once.
      for (unsigned attempt = 0; attempt < rounds_max; ++attempt) {
        auto wanted = plan(*job);
        if (wanted.empty()) break;
        job->standing.insert(job->standing.end(), wanted.begin(), wanted.end());
        CO_TRY_VOID(co_await begin(job, wanted));
        for (auto& target : wanted)
          if (target->state == Target::State::begun) targets.push_back(std::move(target));
      }
      if (targets.empty()) break;
      CO_TRY_VOID(co_await stream(job, targets));
      std::erase_if(targets, [](const auto& t) { return t->state != Target::State::begun; });
    }
    CO_TRY_VOID(co_await sign(job, targets));
    TaskGroups::Scope scope(*groups_);
    for (const auto& target : targets) {
      target->state = Target::State::going;
      scope.spawn(Job::finish(job, target));
    }
    CO_TRY_VOID(co_await settle(job, targets, 0, job->is_small() ? patience_put : patience_commit));
    CO_TRY_VOID(co_await record(job));
    if (job->last_error.code == Errc::fenced) co_return fail(job->last_error);
  }
  co_return co_await record(job);
}

Task<Result<void>> StripeWriter::begin(std::shared_ptr<Job> job,
                                       std::vector<std::shared_ptr<Target>> targets) {
  TaskGroups::Scope scope(*groups_);
  for (const auto& target : targets)
    scope.spawn(Job::begin_one(job, target, {volume_.volume, volume_.writer_number}));
  co_return co_await settle(job, targets, 0, patience_put);
}

/// Waits until none of `targets` is under way: going (goal 0), or begun with fewer than `goal`
/// segments sent. Those that lag far behind the median of the others are passed over, if others
/// can take their place. Safe stripes are recorded, and their waiters woken, while we wait.
Task<Result<void>> StripeWriter::settle(std::shared_ptr<Job> job,
                                        std::vector<std::shared_ptr<Target>> targets,
                                        unsigned goal, Duration patience_min) {
  const auto started = context_.runtime.now();
  const auto under_way = [&](const Target& target) {
    return goal == 0 ? target.state == Target::State::going
                     : target.state == Target::State::begun && target.segments_sent < goal;
  };
  while (true) {
    if (goal == 0 && !job->in_table && job->receipts >= job->shape.safe_at() && job->facts) {
      CO_TRY_VOID(co_await record(job));
    }
    std::vector<Duration> times;
    std::size_t waiting = 0;
    for (const auto& target : targets) {
      if (under_way(*target)) {
        ++waiting;
      } else if (target->state != Target::State::failed) {
        times.push_back(target->settled_at > started ? target->settled_at - started : Duration{});
      }
    }
    if (waiting == 0) co_return Result<void>{};
    auto deadline = context_.runtime.now() + seconds(60);
    if (times.size() * 2 >= targets.size() && has_spare(*job)) {
      std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                       times.end());
      deadline = started + std::max(patience_min, 4 * times[times.size() / 2]);
      if (context_.runtime.now() >= deadline) {
        for (const auto& target : targets)
          if (under_way(*target))
            job->failed(*target, {Errc::timeout, fmt::format("server {} lags far behind the others",
                                                             target->holder)});
        co_return Result<void>{};
      }
    }
    co_await wait_until(context_.runtime, job->progress, deadline);
  }
}

Task<Result<void>> StripeWriter::encode_whole(std::shared_ptr<Job> job) {
  CO_TRY(const auto bytes,
         co_await packs_.read(job->label.pack, job->label.offset, job->label.length));
  const auto size = job->layout.shard_size();
  std::vector<std::vector<Digest>> leaves(job->shape.n);
  if (job->shape.k == 1 && bytes.size() == size && size <= tiny_stripe_bytes) {
    job->whole.assign(job->shape.n, bytes);
    hash_columns({bytes}, {&leaves[0]});
    std::fill(leaves.begin() + 1, leaves.end(), leaves[0]);
    co_return take_roots(*job, leaves);
  }
  co_await context_.runtime.blocking([&] {
    auto memory = Buffer::allocate(size * job->shape.n);
    std::vector<std::uint8_t*> columns;
    std::vector<ByteView> pieces;
    std::vector<std::vector<Digest>*> into;
    for (unsigned i = 0; i < job->shape.n; ++i) {
      columns.push_back(memory.mutable_data() + i * size);
      job->whole.push_back(memory.slice(i * size, size));
      pieces.push_back(job->whole.back());
      into.push_back(&leaves[i]);
    }
    encode_stripe(job->code, job->layout, bytes, columns);
    hash_columns(pieces, into);
  });
  co_return take_roots(*job, leaves);
}

/// The first pass makes the descriptor's roots; later ones, and those of stripes that stand, must
/// come out the same.
Result<void> StripeWriter::take_roots(Job& job, const std::vector<std::vector<Digest>>& leaves) {
  if (!job.facts) {
    Descriptor facts;
    facts.stripe = job.id;
    facts.person = context_.identity.person;
    facts.server = context_.identity.server;
    facts.server_key = to_bytes(context_.identity.server_key.public_key());
    facts.volume = volume_.volume;
    facts.writer_number = volume_.writer_number;
    facts.k = job.shape.k;
    facts.n = job.shape.n;
    facts.length = job.label.length;
    facts.shard_size = job.layout.shard_size();
    for (const auto& column : leaves) facts.shard_roots.push_back(merkle_root(column));
    facts.created_ms = static_cast<std::uint64_t>(job.created_ms);
    facts.label = seal_label(volume_.labels, job.id, job.label);
    job.facts = std::move(facts);
    return {};
  }
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (!leaves[i].empty() && merkle_root(leaves[i]) != job.facts->shard_roots[i])
      return fail(Errc::corrupt, "pack {}: shard {} of stripe {} does not come out as it was signed",
                  job.label.pack, i, job.id);
  return {};
}

Task<Result<void>> StripeWriter::stream(std::shared_ptr<Job> job,
                                        std::vector<std::shared_ptr<Target>> targets) {
  const auto& layout = job->layout;
  const bool first_pass = !job->facts;
  const auto n = job->shape.n;
  auto stream = std::make_shared<Stream>(context_.runtime.executor());
  stream->segments.resize((layout.rows() + rows_per_segment - 1) / rows_per_segment);

  std::vector<bool> wanted(n);
  std::vector<unsigned> parity;  // coded columns wanted in a later pass
  for (const auto& target : targets) {
    wanted[target->index] = true;
    if (target->index >= job->shape.k) parity.push_back(target->index);
  }
  std::sort(parity.begin(), parity.end());
  parity.erase(std::unique(parity.begin(), parity.end()), parity.end());
  std::optional<Rebuild> rebuild;
  if (!first_pass && !parity.empty()) {
    std::vector<unsigned> plain(job->shape.k);
    for (unsigned i = 0; i < job->shape.k; ++i) plain[i] = i;
    CO_TRY(rebuild, job->code.rebuild(plain, parity));
  }

  TaskGroups::Scope scope(*groups_);
  for (std::size_t slot = 0; slot < targets.size(); ++slot) {
    targets[slot]->segments_sent = 0;
    for (std::size_t first = 0; first < pieces_in_flight; ++first)
      scope.spawn(Job::feed(job, stream, targets[slot], slot, first));
  }

  std::vector<std::vector<Digest>> leaves(n);
  const auto segment_bytes = rows_per_segment * Layout::unit_bytes * job->shape.k;
  for (std::size_t s = 0; s < stream->segments.size(); ++s) {
    const auto offset = s * segment_bytes;
    const auto length = std::min(segment_bytes, layout.length() - offset);
    CO_TRY(const auto bytes,
           co_await packs_.read(job->label.pack, job->label.offset + offset, length));
    auto& segment = stream->segments[s];
    segment.offset = s * rows_per_segment * Layout::unit_bytes;
    co_await context_.runtime.blocking([&] {
      const Layout part(job->shape.k, length);  // whole rows, and in the last part the rest
      const auto size = part.shard_size();
      // Memory of its own for each column: one that a slow holder keeps waiting holds up no other.
      std::vector<Buffer> column_of(n);
      std::vector<std::uint8_t*> columns(n);
      // The first pass needs all roots. Later what is sent proves itself by its own.
      const auto is_made = [&](unsigned index) { return first_pass || wanted[index]; };
      for (unsigned index = 0; index < n; ++index) {
        if (!is_made(index)) continue;
        column_of[index] = Buffer::allocate(size);
        columns[index] = column_of[index].mutable_data();
      }
      if (first_pass)
        encode_stripe(job->code, part, bytes, columns);
      else
        encode_some(rebuild, part, bytes, columns);
      std::vector<ByteView> pieces;
      std::vector<std::vector<Digest>*> into;
      for (unsigned index = 0; index < n; ++index) {
        if (!is_made(index)) continue;
        pieces.push_back(column_of[index]);
        into.push_back(&leaves[index]);
      }
      hash_columns(pieces, into);
      for (const auto& target : targets) segment.columns.push_back(column_of[target->index]);
    });
    stream->ready = s + 1;
    stream->more.wake_all();
    // Bounded memory: the next segment is made while at most the last few are on their way.
    if (s + 1 >= segments_in_flight) {
      const auto goal = s + 2 - segments_in_flight;
      CO_TRY_VOID(co_await settle(job, targets, static_cast<unsigned>(goal), patience_stream));
      for (std::size_t old = 0; old < goal; ++old) stream->segments[old].columns.clear();
    }
    if (std::none_of(targets.begin(), targets.end(),
                     [](const auto& t) { return t->state == Target::State::begun; }) &&
        !first_pass)
      co_return fail(job->last_error);
  }
  CO_TRY_VOID(co_await settle(job, targets, static_cast<unsigned>(stream->segments.size()),
                              patience_stream));
  co_return take_roots(*job, leaves);
}

Task<Result<void>> StripeWriter::sign(std::shared_ptr<Job> job,
                                      std::vector<std::shared_ptr<Target>> targets) {
  const auto now = context_.runtime.wall_ms();
  const auto make = [&] {
    if (job->descriptor.body().empty()) {
      const auto& facts = *job->facts;
      wire::StripeDescriptor message;
      message.set_stripe(facts.stripe.raw());
      message.set_person(facts.person.raw());
      message.set_server_key(to_string(facts.server_key));
      message.set_volume(facts.volume.raw());
      message.set_writer_number(facts.writer_number);
      message.set_k(facts.k);
      message.set_n(facts.n);
      message.set_length(facts.length);
      message.set_shard_size(facts.shard_size);
      std::string roots;
      for (const auto& root : facts.shard_roots) roots += root.raw();
      message.set_shard_roots(std::move(roots));
      message.set_created_ms(facts.created_ms);
      message.set_label(facts.label);
      job->descriptor = sign_descriptor(context_.identity.server_key, message);
    }
    for (const auto& target : targets)
      target->offer = offer_contract(context_.identity.server_key, *job->facts, target->index,
                                     target->holder, now, now + contract_term_ms);
  };
  if (job->shape.k == 1)
    make();
  else
    co_await context_.runtime.blocking(make);
  co_return Result<void>{};
}

/// Puts verified receipts into the table: the stripe itself once it is safe, later ones as they come.
Task<Result<void>> StripeWriter::record(std::shared_ptr<Job> job) {
  if (job->fresh.empty()) co_return Result<void>{};
  if (!job->in_table) {
    if (job->receipts < job->shape.safe_at()) co_return Result<void>{};
    Stripe stripe;
    stripe.id = job->id;
    stripe.pack = job->label.pack;
    stripe.offset = job->label.offset;
    stripe.length = job->label.length;
    stripe.k = static_cast<std::uint16_t>(job->shape.k);
    stripe.n = static_cast<std::uint16_t>(job->shape.n);
    stripe.shard_size = job->layout.shard_size();
    stripe.created_ms = job->created_ms;
    auto fresh = std::exchange(job->fresh, {});
    bytes_sent_ += fresh.size() * job->layout.shard_size();
    auto added = co_await context_.table.add(
        std::move(stripe), to_bytes(as_bytes(job->descriptor.SerializeAsString())), fresh);
    if (!added) {
      job->fresh.insert(job->fresh.end(), fresh.begin(), fresh.end());
      co_return std::move(added);
    }
    job->in_table = true;
    if (job->on_safe) job->on_safe();
    if (job->fresh.empty()) co_return Result<void>{};
  }
  auto fresh = std::exchange(job->fresh, {});
  bytes_sent_ += fresh.size() * job->layout.shard_size();
  co_return co_await context_.table.add_shards(job->id, std::move(fresh));
}

/// A write that failed leaves nothing behind: begun shards are aborted, kept ones released.
Task<void> StripeWriter::give_up(std::shared_ptr<Job> job) {
  std::vector<ReleasedShard> releases;
  for (const auto& receipt : job->fresh)
    releases.push_back({job->id, receipt.index, receipt.holder});
  for (const auto& target : job->standing) {
    if (target->state != Target::State::begun) continue;
    static_cast<void>(co_await job->link.abort(target->holder, target->handle));
  }
  job->fresh.clear();
  if (releases.empty() || job->in_table) co_return;
  auto queued = co_await context_.table.queue_releases(std::move(releases));
  if (!queued)
    context_.runtime.log().warning("stripe {}: shards to release could not be noted: {}", job->id,
                                   queued.error().message);
}

}  // namespace spatter
