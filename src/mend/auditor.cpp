#include "mend/auditor.h"

#include <algorithm>
#include <deque>

#include "chance/draw.h"
#include "crypto/merkle.h"
#include "net/methods.h"

namespace spatter {
namespace {

/// How much of an epoch its audits are spread over.
constexpr int spread_numerator = 3;
constexpr int spread_denominator = 4;
constexpr unsigned late_max = 3;         ///< then a shard is lost
constexpr unsigned confirm_leaves = 4;   ///< asked for when another auditor has reported a failure
constexpr std::size_t confirms_max = 256;
constexpr std::size_t reports_of_holder_max = 512;
constexpr int failed_max = 64;
constexpr int reports_max = 64;

enum class Verdict { right, wrong, missing, late };

}  // namespace

AuditCounts& AuditCounts::operator+=(const AuditCounts& other) {
  asked += other.asked;
  right += other.right;
  wrong += other.wrong;
  missing += other.missing;
  late += other.late;
  return *this;
}

struct Auditor::State {
  State(Parts parts, AuditOptions options)
      : parts(std::move(parts)), options(options), confirm_wanted(this->parts.runtime.executor()),
        tasks(this->parts.runtime.executor()) {}

  Task<void> run();
  Task<void> confirm_loop();
  Task<AuditCounts> round(std::uint64_t epoch, TimePoint until);
  void collect();
  std::vector<AuditedShard> shards_of(const ServerId& holder) const;
  Task<AuditCounts> audit(ServerId holder, std::uint64_t epoch);
  /// In the order of the challenges.
  Task<std::vector<Verdict>> ask(ServerId holder, std::uint64_t epoch, const VrfProof& draw,
                                 std::span<const Challenge> challenges);
  Task<Result<Digest>> root_of(StripeId stripe, unsigned index);
  std::optional<std::uint64_t> size_at(const ServerId& holder, const StripeId& stripe, unsigned index) const;
  void judge(ServerId holder, const Challenge& challenge, Verdict verdict);
  Task<void> report(ServerId holder, std::uint64_t epoch, AuditCounts counts,
                    std::vector<Challenge> failed, VrfProof draw);
  Draw occasion(const ServerId& holder, std::uint64_t epoch) const {
    return {parts.identity.network, epoch, Purpose::audit, Digest{holder.bytes}};
  }

  Task<Result<RpcReply>> handle_audit(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_report(Caller caller, RpcRequest request);
  Result<void> take_report(const ServerId& from, const wire::Signed& record);

  Parts parts;
  AuditOptions options;
  std::set<ServerId> holders;                          ///< who keeps something with this server or for it
  std::map<std::tuple<StripeId, unsigned, ServerId>, unsigned> lateness;
  struct Doubt {
    ServerId auditor, holder;
    StripeId stripe;
    std::uint8_t index;
  };
  std::deque<Doubt> doubts;                            ///< what others reported, to be looked into
  struct Heard {
    ServerId auditor;
    std::uint64_t epoch;
    AuditCounts counts;
  };
  std::map<ServerId, std::deque<Heard>> heard;         ///< by holder
  AuditSummary summary;
  Event confirm_wanted;
  TaskGroup tasks;
};

Task<void> Auditor::State::run() {
  while (true) {
    const auto epoch = parts.epoch();
    const auto end = parts.next_epoch();
    const auto now = parts.runtime.now();
    co_await round(epoch, now + (end - now) * spread_numerator / spread_denominator);
    co_await parts.runtime.sleep_until(std::max(end, parts.runtime.now() + std::chrono::milliseconds(10)));
  }
}

/// From the own stripes and from those kept together.
void Auditor::State::collect() {
  holders = parts.mender.counterparts();
  for (const auto& stripe : parts.table.all())
    for (const auto& shard : stripe->shards) holders.insert(shard.holder);
  holders.erase(parts.identity.server);
}

/// What is known at one holder. Of one at a time: all together may be very many.
std::vector<AuditedShard> Auditor::State::shards_of(const ServerId& holder) const {
  std::vector<AuditedShard> result;
  std::set<std::pair<StripeId, unsigned>> seen;
  for (const auto& stripe : parts.table.all()) {
    if (std::ranges::find(stripe->shards, holder, &PlacedShard::holder) == stripe->shards.end()) continue;
    std::set<ServerId> who{parts.identity.server};
    for (const auto& shard : stripe->shards) who.insert(shard.holder);
    for (const auto& shard : stripe->shards) {
      if (shard.holder != holder || shard.lost || !seen.insert({stripe->id, shard.index}).second) continue;
      result.push_back({stripe->id, static_cast<std::uint8_t>(shard.index), stripe->shard_size, {who.begin(), who.end()}});
    }
  }
  for (auto& shard : parts.mender.shared_with(holder))
    if (seen.insert({shard.stripe, shard.index}).second)
      result.push_back({shard.stripe, shard.index, shard.size, std::move(shard.holders)});
  return result;
}

Task<AuditCounts> Auditor::State::round(std::uint64_t epoch, TimePoint until) {
  collect();
  AuditCounts sum;
  std::vector<ServerId> order(holders.begin(), holders.end());
  // Everybody begins with somebody else.
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[parts.runtime.chance().next_u64() % i]);
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (parts.members.is_up(order[i])) sum += co_await audit(order[i], epoch);
    const auto now = parts.runtime.now();
    if (now < until) co_await parts.runtime.sleep((until - now) / static_cast<Duration::rep>(order.size() - i));
  }
  co_return sum;
}

Task<Result<Digest>> Auditor::State::root_of(StripeId stripe, unsigned index) {
  Bytes bytes;
  if (parts.table.find(stripe)) {
    CO_TRY(bytes, co_await parts.table.descriptor(stripe));
  } else {
    CO_TRY(auto kept, co_await parts.shards.kept_stripe(stripe));
    if (!kept) co_return fail(Errc::not_found, "stripe {} is no longer kept here", stripe);
    bytes = std::move(kept->descriptor);
  }
  // It was checked when it was taken in.
  wire::Signed record;
  wire::StripeDescriptor descriptor;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !descriptor.ParseFromString(record.body()) || descriptor.shard_roots().size() < 32 * (std::size_t{index} + 1))
    co_return fail(Errc::corrupt, "the descriptor of stripe {} cannot be read", stripe);
  co_return Digest::from(std::string_view(descriptor.shard_roots()).substr(32 * std::size_t{index}, 32));
}

Task<std::vector<Verdict>> Auditor::State::ask(ServerId holder, std::uint64_t epoch, const VrfProof& draw,
                                               std::span<const Challenge> challenges) {
  std::vector<Verdict> verdicts(challenges.size(), Verdict::late);
  wire::MendAuditRequest request;
  request.set_epoch(epoch);
  request.set_draw(draw.data(), draw.size());
  for (const auto& challenge : challenges) {
    auto* one = request.add_challenges();
    one->set_stripe(challenge.stripe.raw());
    one->set_index(challenge.index);
    one->set_leaf(challenge.leaf);
  }
  const auto reply = co_await parts.rpc.call(
      holder, {.method = method::mend_audit, .body = request.SerializeAsString(), .payload = {}},
      {.timeout = options.timeout, .priority = Priority::bulk, .reply_payload_bytes = challenges.size() * leaf_bytes});
  // Who is busy, or stopping, has not shown anything; who cannot be reached has not either.
  if (!reply) co_return verdicts;
  wire::MendAuditReply message;
  if (!message.ParseFromString(reply->body) || message.answers_size() != static_cast<int>(challenges.size())) {
    std::ranges::fill(verdicts, Verdict::wrong);
    co_return verdicts;
  }
  const Buffer leaves = reply->payload.flat();
  std::size_t offset = 0;
  for (std::size_t i = 0; i < challenges.size(); ++i) {
    const auto& challenge = challenges[i];
    const auto& answer = message.answers(static_cast<int>(i));
    if (!answer.shown()) {
      // Released by the owner meanwhile, here as there: nothing is missing.
      const bool known = parts.table.find(challenge.stripe) != nullptr;
      const auto kept = known ? Result<std::optional<KeptStripe>>{} : co_await parts.shards.kept_stripe(challenge.stripe);
      verdicts[i] = known || !kept || *kept ? Verdict::missing : Verdict::right;
      continue;
    }
    const std::uint64_t size = challenge.size;
    const std::size_t length = std::min<std::uint64_t>(leaf_bytes, size - challenge.leaf * leaf_bytes);
    const auto root = co_await root_of(challenge.stripe, challenge.index);
    if (!root) {  // released meanwhile: nothing to judge by, and the rest cannot be told apart
      offset += length;
      verdicts[i] = Verdict::right;
      continue;
    }
    verdicts[i] = Verdict::wrong;
    if (offset + length <= leaves.size()) {
      const auto hashes = leaf_hashes(leaves.view().subspan(offset, length));
      if (verify_range(*root, size, challenge.leaf, hashes, as_bytes(answer.proof()))) verdicts[i] = Verdict::right;
    }
    offset += length;
  }
  co_return verdicts;
}

void Auditor::State::judge(ServerId holder, const Challenge& challenge, Verdict verdict) {
  const std::tuple key(challenge.stripe, unsigned{challenge.index}, holder);
  if (verdict == Verdict::right) {
    lateness.erase(key);
    parts.mender.shard_found(challenge.stripe, challenge.index, holder);
    return;
  }
  if (verdict == Verdict::late && (!parts.members.is_up(holder) || ++lateness[key] < late_max)) return;
  lateness.erase(key);
  parts.runtime.log().warning("server {} {} shard {} of stripe {}", holder,
                              verdict == Verdict::wrong ? "shows something else than" :
                              verdict == Verdict::missing ? "no longer has" : "does not show in time",
                              challenge.index, challenge.stripe);
  parts.mender.shard_failed(challenge.stripe, challenge.index, holder);
  if (parts.own_failed && parts.table.find(challenge.stripe))
    parts.own_failed(challenge.stripe, challenge.index, holder);
}

Task<AuditCounts> Auditor::State::audit(ServerId holder, std::uint64_t epoch) {
  const auto draw = make_draw(parts.identity.server_key, occasion(holder, epoch));
  const auto shards = shards_of(holder);
  const auto challenges = plan_audit(parts.identity.server, holder, epoch, draw.output, shards,
                                     holders.size(), options.period_epochs);
  AuditCounts counts;
  std::vector<Challenge> failed;
  for (std::size_t first = 0; first < challenges.size(); first += challenges_max) {
    const auto some = std::span(challenges).subspan(first, std::min(challenges_max, challenges.size() - first));
    const auto verdicts = co_await ask(holder, epoch, draw.proof.proof, some);
    for (std::size_t i = 0; i < some.size(); ++i) {
      ++counts.asked;
      switch (verdicts[i]) {
        case Verdict::right: ++counts.right; break;
        case Verdict::wrong: ++counts.wrong; break;
        case Verdict::missing: ++counts.missing; break;
        case Verdict::late: ++counts.late; break;
      }
      judge(holder, some[i], verdicts[i]);
      if (verdicts[i] == Verdict::wrong || verdicts[i] == Verdict::missing) failed.push_back(some[i]);
    }
  }
  auto& sum = summary.holders[holder];
  sum.counts += counts;
  sum.shards = shards.size();
  sum.last_epoch = epoch;
  summary.all += counts;
  summary.epoch = epoch;
  if (counts.asked > 0) tasks.spawn(report(holder, epoch, counts, failed, draw.proof.proof));
  co_return counts;
}

/// Those who share stripes with the holder are told, and the holder itself.
Task<void> Auditor::State::report(ServerId holder, std::uint64_t epoch, AuditCounts counts,
                                  std::vector<Challenge> failed, VrfProof draw) {
  wire::AuditReport body;
  body.set_network(parts.identity.network.raw());
  body.set_auditor(parts.identity.server.raw());
  body.set_holder(holder.raw());
  body.set_epoch(epoch);
  body.set_asked(static_cast<std::uint32_t>(counts.asked));
  body.set_right(static_cast<std::uint32_t>(counts.right));
  body.set_wrong(static_cast<std::uint32_t>(counts.wrong));
  body.set_missing(static_cast<std::uint32_t>(counts.missing));
  body.set_late(static_cast<std::uint32_t>(counts.late));
  for (const auto& challenge : failed) {
    if (body.failed_size() == failed_max) break;
    auto* one = body.add_failed();
    one->set_stripe(challenge.stripe.raw());
    one->set_index(challenge.index);
  }
  body.set_draw(draw.data(), draw.size());
  wire::MendReportRequest request;
  *request.add_reports() = sign_message(parts.identity.server_key, kind::audit, body);
  const auto bytes = request.SerializeAsString();
  const auto to = holders;
  for (const auto& server : to) {
    if (!parts.members.is_up(server)) continue;
    auto told = co_await parts.rpc.call(server, {.method = method::mend_report, .body = bytes, .payload = {}});
    if (!told) parts.runtime.log().debug("server {} was not told of an audit: {}", server, told.error().message);
  }
}

std::optional<std::uint64_t> Auditor::State::size_at(const ServerId& holder, const StripeId& stripe,
                                                     unsigned index) const {
  if (const auto own = parts.table.find(stripe)) {
    const bool there = std::ranges::any_of(own->shards, [&](const PlacedShard& shard) {
      return shard.holder == holder && shard.index == index && !shard.lost;
    });
    return there ? std::optional(own->shard_size) : std::nullopt;
  }
  return parts.mender.holds(stripe, index, holder) ? parts.mender.shard_size_of(stripe) : std::nullopt;
}

/// What others report as failed is asked for from here as well.
Task<void> Auditor::State::confirm_loop() {
  while (true) {
    co_await confirm_wanted.wait();
    confirm_wanted.reset();
    while (!doubts.empty()) {
      const auto doubt = doubts.front();
      doubts.pop_front();
      if (!parts.members.is_up(doubt.holder)) continue;
      const auto size = size_at(doubt.holder, doubt.stripe, doubt.index);
      if (!size) continue;  // as far as is known here it keeps no such shard
      std::vector<Challenge> challenges;
      const auto leaves = std::max<std::uint64_t>(1, leaf_count(*size));
      for (unsigned i = 0; i < std::min<std::uint64_t>(confirm_leaves, leaves); ++i)
        challenges.push_back({doubt.stripe, doubt.index, parts.runtime.entropy().next_u64() % leaves, *size});
      const auto epoch = parts.epoch();
      const auto draw = make_draw(parts.identity.server_key, occasion(doubt.holder, epoch));
      const auto verdicts = co_await ask(doubt.holder, epoch, draw.proof.proof, challenges);
      for (std::size_t i = 0; i < verdicts.size(); ++i) judge(doubt.holder, challenges[i], verdicts[i]);
      if (std::ranges::all_of(verdicts, [](Verdict one) { return one == Verdict::right; }))
        ++summary.auditors[doubt.auditor].contradicted;
    }
  }
}

Task<Result<RpcReply>> Auditor::State::handle_audit(Caller caller, RpcRequest request) {
  if (!parts.members.person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  wire::MendAuditRequest message;
  if (!message.ParseFromString(request.body) || message.challenges_size() > static_cast<int>(challenges_max))
    co_return fail(Errc::invalid, "a mend.audit request that cannot be read, or is too long");
  const auto now = parts.epoch();
  if (message.epoch() > now + 1 || message.epoch() + 1 < now)
    co_return fail(Errc::invalid, "an audit of epoch {} in epoch {}", message.epoch(), now);
  DrawProof shown;
  if (message.draw().size() != shown.proof.size() || caller.key.size() != shown.key.size())
    co_return fail(Errc::invalid, "an audit whose draw has {} bytes", message.draw().size());
  std::ranges::copy(as_bytes(message.draw()), shown.proof.begin());
  std::ranges::copy(caller.key, shown.key.begin());
  CO_TRY_VOID(check_draw(occasion(parts.identity.server, message.epoch()), shown));
  wire::MendAuditReply reply;
  RpcReply result;
  for (const auto& challenge : message.challenges()) {
    CO_TRY(const auto stripe, StripeId::from(challenge.stripe()));
    auto* answer = reply.add_answers();
    if (challenge.leaf() > shard_bytes_max / leaf_bytes || challenge.index() > shard_index_max) continue;
    auto part = co_await parts.shards.read({stripe, challenge.index()}, challenge.leaf() * leaf_bytes, 1);
    if (!part) {
      // What only cannot be read just now is no loss: no answer at all.
      if (part.error().code != Errc::not_found && part.error().code != Errc::corrupt)
        co_return fail(std::move(part).error());
      ++summary.not_shown;
      continue;
    }
    answer->set_shown(true);
    answer->set_proof(part->proof.data(), part->proof.size());
    ++summary.shown;
    summary.shown_bytes += part->leaves.size() + part->proof.size();
    result.payload.append(std::move(part->leaves));
  }
  result.body = reply.SerializeAsString();
  co_return result;
}

Result<void> Auditor::State::take_report(const ServerId& from, const wire::Signed& record) {
  TRY(const auto report, open_signed<wire::AuditReport>(record, kind::audit));
  TRY(const auto auditor, ServerId::from(report.auditor()));
  TRY(const auto holder, ServerId::from(report.holder()));
  if (report.network() != parts.identity.network.raw() || server_id(as_bytes(record.key())) != auditor || auditor != from)
    return fail(Errc::denied, "an audit report that server {} has not signed, or of another network", from);
  if (report.failed_size() > failed_max || std::uint64_t{report.right()} + report.wrong() + report.missing() + report.late() != report.asked())
    return fail(Errc::invalid, "an audit report of server {} whose sums are wrong", auditor);
  const auto now = parts.epoch();
  if (report.epoch() > now + 1 || report.epoch() + options.period_epochs < now)
    return fail(Errc::invalid, "an audit report of epoch {} in epoch {}", report.epoch(), now);
  if (holder == parts.identity.server) return {};
  if (!holders.contains(holder)) return {};  // no concern of ours
  // Those who keep things with us, or for whom we keep something, have reason to ask.
  const auto balances = parts.shards.balances();
  if (!holders.contains(auditor) && std::ranges::find(balances, auditor, &ShardBalance::server) == balances.end())
    return fail(Errc::denied, "server {} shares nothing with this one whose holders it could audit", auditor);
  auto& list = heard[holder];
  if (std::ranges::any_of(list, [&](const Heard& one) { return one.auditor == auditor && one.epoch == report.epoch(); }))
    return {};
  list.push_back({auditor, report.epoch(), {report.asked(), report.right(), report.wrong(), report.missing(), report.late()}});
  while (list.size() > reports_of_holder_max || list.front().epoch + options.period_epochs < now) list.pop_front();
  ++summary.auditors[auditor].reports;
  for (const auto& failed : report.failed()) {
    TRY(const auto stripe, StripeId::from(failed.stripe()));
    if (failed.index() > shard_index_max || doubts.size() >= confirms_max ||
        std::ranges::count(doubts, auditor, &Doubt::auditor) >= failed_max)
      continue;
    doubts.push_back({auditor, holder, stripe, static_cast<std::uint8_t>(failed.index())});
    confirm_wanted.set();
  }
  return {};
}

Task<Result<RpcReply>> Auditor::State::handle_report(Caller caller, RpcRequest request) {
  if (!parts.members.person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  wire::MendReportRequest message;
  if (!message.ParseFromString(request.body) || message.reports_size() > reports_max)
    co_return fail(Errc::invalid, "a mend.report request that cannot be read, or is too long");
  for (const auto& report : message.reports()) CO_TRY_VOID(take_report(caller.server, report));
  co_return RpcReply{wire::MendReportReply().SerializeAsString(), {}};
}

Auditor::Auditor(Parts parts, AuditOptions options) : state_(std::make_shared<State>(std::move(parts), options)) {}
Auditor::~Auditor() = default;

void Auditor::start() {
  using Handle = Task<Result<RpcReply>> (State::*)(Caller, RpcRequest);
  const auto serve = [&](std::uint16_t number, Handle handle) {
    const auto call = [](std::shared_ptr<State> state, Handle handle, Caller caller,
                         RpcRequest request) -> Task<Result<RpcReply>> {
      if (!state || state->tasks.stopping()) co_return fail(Errc::unavailable, "this server is stopping");
      co_return co_await (state.get()->*handle)(std::move(caller), std::move(request));
    };
    state_->parts.rpc.serve(number, [weak = std::weak_ptr(state_), handle, call](Caller caller, RpcRequest request) {
      return call(weak.lock(), handle, std::move(caller), std::move(request));
    });
  };
  serve(method::mend_audit, &State::handle_audit);
  serve(method::mend_report, &State::handle_report);
  state_->tasks.spawn(state_->run());
  state_->tasks.spawn(state_->confirm_loop());
}

Task<void> Auditor::stop() { co_await state_->tasks.stop(); }

Task<AuditCounts> Auditor::audit_now() {
  const auto state = state_;
  co_return co_await state->round(state->parts.epoch(), state->parts.runtime.now());
}

AuditSummary Auditor::summary() const {
  auto summary = state_->summary;
  summary.epoch = state_->parts.epoch();
  for (const auto& [holder, list] : state_->heard) {
    auto& one = summary.holders[holder];
    for (const auto& heard : list) one.by_others += heard.counts;
  }
  return summary;
}

}  // namespace spatter
