#include "cycles/ledger_desk.h"

#include <algorithm>

#include "base/task_groups.h"
#include "crypto/hash.h"
#include "ledger_desk_state.h"
#include "net/methods.h"

namespace spatter {
namespace {

constexpr auto pledge_again = std::chrono::seconds(10);
constexpr std::uint64_t receipt_patience_epochs = 2;
constexpr auto clock_looked_at_every = std::chrono::seconds(60);
constexpr std::string_view chain_not_known = "how far this server's own chain goes is not known yet: other servers have to be asked first";

}  // namespace

cycles::LedgerRules ledger_rules(const GenesisFacts& genesis) {
  cycles::LedgerRules rules;
  rules.founded_ms = static_cast<WallMs>(genesis.created_ms);
  rules.epoch_ms = std::uint64_t{genesis.epoch_seconds} * 1000;
  rules.month_epochs = genesis.cycles_month_epochs;
  return rules;
}

Digest work_name(const ServerId& asker, ByteView job, std::uint32_t piece) {
  std::uint8_t number[4];
  for (int i = 0; i < 4; ++i) number[i] = static_cast<std::uint8_t>(piece >> (8 * i));
  constexpr std::string_view tag("spatter/1 cycles work\0", 22);
  return Sha256().update(as_bytes(tag)).update(asker.view()).update(job).update(number).finish();
}

TimePoint LedgerDesk::State::begin_of(std::uint64_t number) const {
  return parts.runtime.now() + std::chrono::milliseconds(rules.start_of(number) - parts.runtime.wall_ms());
}

/// Closes each epoch when everybody whose clock is right has passed it. The clock may be set meanwhile, so it is looked at
/// now and then.
Task<void> LedgerDesk::State::epochs() {
  auto& runtime = parts.runtime;
  std::optional<std::uint64_t> begun;
  while (true) {
    if (const auto number = epoch(); number != begun) {
      begun = number;
      ledger.close_until(number > 0 ? number - 1 : 0);
      forget_settled();
      pledging.wake_all();
      if (on_epoch) on_epoch(rules.month_of(number));
    }
    const auto now = runtime.now();
    co_await runtime.sleep_until(std::clamp<TimePoint>(begin_of(*begun + 1), now + std::chrono::milliseconds(10), now + clock_looked_at_every));
  }
}

void LedgerDesk::State::forget_settled() {
  const auto now = epoch();
  const auto is_over = [&](WallMs made_ms) { return rules.epoch_of(made_ms) + rules.settle_epochs + 1 < now; };
  std::erase_if(stories, [&](const auto& one) {
    const auto& [lease, story] = one;
    if (!is_over(story.made_ms)) return false;
    if (story.delivery) lease_of.erase(*story.delivery);
    if (const auto at = leases_for.find({story.asker, story.work}); at != leases_for.end()) {
      at->second.erase(lease);
      if (at->second.empty()) leases_for.erase(at);
    }
    silent_since.erase(lease);
    verdicts.erase({lease, Finding::not_given});
    verdicts.erase({lease, Finding::delivered});
    given.erase(lease);
    return true;
  });
  for (auto at = early.begin(); at != early.end();) {
    std::erase_if(at->second, [&](const EntryId& id) {
      const Entry* entry = ledger.find(id);
      return !entry || is_over(entry->made_ms);
    });
    at = at->second.empty() ? early.erase(at) : std::next(at);
  }
  std::erase_if(absent_asked, [&](const auto& one) { return one.second + 1 < now; });
}

LedgerDesk::State::Story* LedgerDesk::State::story_of(const EntryId& lease) {
  const auto found = stories.find(lease);
  return found == stories.end() ? nullptr : &found->second;
}

void LedgerDesk::State::note(const Entry& entry, std::uint64_t seen_in) {
  if (entry.server == parts.identity.server) own_made_ms = std::max(own_made_ms, entry.made_ms);
  if (const auto* pledge = std::get_if<cycles::Pledge>(&entry.what)) {
    if (entry.server == parts.identity.server && entry.number > said_number) {
      said = *pledge;
      said_number = entry.number;
    }
    return;
  }
  if (const auto* fork = std::get_if<cycles::Fork>(&entry.what)) {
    auto& month = forks[fork->server];
    month = std::max(month, rules.month_of(rules.epoch_of(entry.made_ms)));
    return;
  }
  if (rules.epoch_of(entry.made_ms) + rules.settle_epochs + 1 < epoch()) return;
  if (const auto* lease = std::get_if<cycles::Lease>(&entry.what)) {
    auto& story = stories[entry.id];
    story = {.asker = entry.server, .worker = lease->worker, .work = lease->job, .answer = {}, .delivery = {}, .receipt = {},
             .made_ms = entry.made_ms, .seen_in = seen_in};
    leases_for[{entry.server, lease->job}].insert(entry.id);
    const auto before = early.extract(entry.id);
    if (!before.empty())
      for (const auto& id : before.mapped())
        if (const Entry* other = ledger.find(id)) note_about(story, entry.id, *other);
    return;
  }
  EntryId lease;
  if (const auto* answer = std::get_if<cycles::Answer>(&entry.what)) lease = answer->lease;
  else if (const auto* delivery = std::get_if<cycles::Delivery>(&entry.what)) lease = delivery->lease;
  else if (const auto* receipt = std::get_if<cycles::Receipt>(&entry.what)) {
    const auto at = lease_of.find(receipt->delivery);
    if (at == lease_of.end()) {
      early[receipt->delivery].insert(entry.id);
      return;
    }
    lease = at->second;
  } else {
    return;
  }
  if (auto* story = story_of(lease)) note_about(*story, lease, entry);
  else early[lease].insert(entry.id);
}

/// The first by who may say it; what others say of it is nothing.
void LedgerDesk::State::note_about(Story& story, const EntryId& lease, const Entry& entry) {
  const bool by_worker = entry.server == story.worker;
  if (std::holds_alternative<cycles::Answer>(entry.what) && by_worker && !story.answer) story.answer = entry.id;
  if (std::holds_alternative<cycles::Receipt>(entry.what) && entry.server == story.asker && !story.receipt) story.receipt = entry.id;
  if (!std::holds_alternative<cycles::Delivery>(entry.what) || !by_worker || story.delivery) return;
  story.delivery = entry.id;
  lease_of[entry.id] = lease;
  const auto before = early.extract(entry.id);
  if (!before.empty())
    for (const auto& id : before.mapped())
      if (const Entry* other = ledger.find(id)) note_about(story, lease, *other);
}

Task<Result<cycles::MadeEntry>> LedgerDesk::State::append(cycles::What what, WallMs cause_ms) {
  if (!own_known.is_set()) co_return fail(Errc::unavailable, "{}", chain_not_known);
  const auto now = parts.runtime.wall_ms();
  // Everything that followed would bear that date, and nobody would take it.
  if (rules.epoch_of(own_made_ms) > rules.epoch_of(now) + cycles::clock_epochs_max) {
    trouble = fmt::format("the last entry of this server is of epoch {}, and its clock says {}: the clock was or is wrong",
                          rules.epoch_of(own_made_ms), rules.epoch_of(now));
    co_return fail(Errc::unavailable, "{}", trouble);
  }
  auto made = co_await store->append(std::move(what), parts.runtime.wall_ms(), cause_ms);
  if (!made) {
    trouble = made.error().message;
    parts.runtime.log().error("the ledger of spare cycles: {}", trouble);
    co_return made;
  }
  trouble.clear();
  CO_TRY_VOID(ledger.add(made->entry));
  note(made->entry, epoch());
  std::vector<ServerId> concerned;
  if (const auto* lease = std::get_if<cycles::Lease>(&made->entry.what)) concerned.push_back(lease->worker);
  if (const auto* receipt = std::get_if<cycles::Receipt>(&made->entry.what))
    if (const Entry* delivery = ledger.find(receipt->delivery)) concerned.push_back(delivery->server);
  tell(made->record, std::move(concerned));
  co_return made;
}

Task<std::optional<wire::CyclesRecord>> LedgerDesk::State::record_of(std::optional<EntryId> id) {
  if (!id) co_return std::nullopt;
  auto records = co_await store->find({*id});
  if (!records || records->empty()) co_return std::nullopt;
  co_return std::move(records->front());
}

std::uint32_t LedgerDesk::State::share_in_force() const {
  for (const auto& view : ledger.servers(parts.identity.person))
    if (view.server == parts.identity.server) return view.share_ppm;
  return 0;
}

/// What is to be entered next, so that in the end the chain says what is wanted. A pledge takes the place of one that has
/// not begun: so that for a later month waits until the present one is in force.
std::optional<cycles::Pledge> LedgerDesk::State::pledge_to_say() const {
  if (!wanted) return std::nullopt;
  const auto now = rules.month_of(epoch());
  const auto says = [&](const cycles::Pledge& pledge) {
    if (!said) return pledge.share_ppm == 0;
    return said->share_ppm == pledge.share_ppm && std::max(said->from_month, now) == std::max(pledge.from_month, now);
  };
  if (!later) return says(*wanted) ? std::nullopt : wanted;
  if (said && says(*later)) return std::nullopt;
  if (share_in_force() == wanted->share_ppm) return later;
  return says(*wanted) ? std::nullopt : wanted;
}

Task<void> LedgerDesk::State::say_pledge() {
  co_await own_known.wait();
  while (true) {
    const auto next = pledge_to_say();
    if (!next) {
      co_await pledging.wait();
    } else if (!co_await append(*next)) {
      co_await wait_until(parts.runtime, pledging, parts.runtime.now() + pledge_again);
    }
  }
}

LedgerDesk::LedgerDesk(Parts parts, LedgerDeskOptions options)
    : state_(std::make_shared<State>(std::move(parts), options)) {}
LedgerDesk::~LedgerDesk() = default;

Task<Result<void>> LedgerDesk::start() {
  auto& state = *state_;
  auto& parts = state.parts;
  CO_TRY(state.store, co_await cycles::LedgerStore::open(parts.runtime, "cycles.db", parts.identity.server_key,
                                                         parts.identity.network, parts.identity.person));
  CO_TRY(auto entries, co_await state.store->load());
  for (auto& entry : entries) {
    const auto id = entry.id;
    if (const auto added = state.ledger.add(std::move(entry)); !added) {
      parts.runtime.log().warning("the ledger of spare cycles: {}", added.error().message);
      continue;
    }
    const auto& kept = *state.ledger.find(id);
    state.note(kept, state.rules.epoch_of(kept.made_ms));
  }
  const auto epoch = state.epoch();
  state.ledger.close_until(epoch > 0 ? epoch - 1 : 0);
  state.on_epoch = on_epoch;
  state.subscription = parts.members.subscribe([state = &state] { state->members_changed.wake_all(); });
  parts.wire.serve(method::cycles_push, std::weak_ptr(state_), &State::handle_push);
  parts.wire.serve(method::cycles_sync, std::weak_ptr(state_), &State::handle_sync);
  parts.wire.serve(method::cycles_witness, std::weak_ptr(state_), &State::handle_witness);
  state.tasks.spawn(state.epochs());
  state.tasks.spawn(state.sync_loop());
  state.tasks.spawn(state.say_pledge());
  co_return Result<void>{};
}

Task<void> LedgerDesk::stop() {
  const auto state = state_;
  co_await state->tasks.stop();
  if (state->subscription) state->parts.members.unsubscribe(std::exchange(state->subscription, 0));
  if (state->store) co_await state->store->close();
}

void LedgerDesk::set_pledge(std::uint32_t share_ppm, std::optional<cycles::Pledge> later) {
  state_->wanted = cycles::Pledge{share_ppm, 0};
  state_->later = later;
  state_->pledging.wake_all();
}

Task<Result<LedgerDesk::Asked>> LedgerDesk::ask(ServerId worker, cycles::Fuel fuel, Digest work, bool best_effort) {
  const auto state = state_;
  if (!state->own_known.is_set()) co_return fail(Errc::unavailable, "{}", chain_not_known);
  const auto permit = co_await state->answering.lock();
  cycles::Lease lease{worker, std::clamp<cycles::Fuel>(fuel, 1, cycles::lease_fuel_max), best_effort, work};
  if (!best_effort) {
    // What the worker will say, as far as that can be known here.
    const auto now = state->parts.runtime.wall_ms();
    cycles::Entry probe;
    probe.server = state->parts.identity.server;
    probe.person = state->parts.identity.person;
    probe.number = ~std::uint64_t{0};
    probe.made_ms = now;
    probe.what = lease;
    const auto decision = state->ledger.decide(probe, now);
    lease.best_effort = decision.kind != cycles::Answer::Kind::accepted || !decision.promised;
  }
  CO_TRY(auto made, co_await state->append(lease));
  co_return Asked{made.entry.id, std::move(made.record), !lease.best_effort};
}

Task<Result<cycles::Answer::Kind>> LedgerDesk::answered(cycles::EntryId lease, wire::CyclesRecord record) {
  const auto state = state_;
  const auto* asked = state->story_of(lease);
  if (!asked) co_return fail(Errc::not_found, "no lease {} here", lease);
  const auto worker = asked->worker;
  CO_TRY(const auto taken, co_await state->take(std::move(record), worker));
  const auto* answer = std::get_if<cycles::Answer>(&taken.entry.what);
  const auto* story = state->story_of(lease);
  if (!answer || answer->lease != lease || !story || taken.entry.server != worker)
    co_return fail(Errc::corrupt, "an answer that is none to lease {}", lease);
  if (story->answer != taken.entry.id) co_return fail(Errc::corrupt, "a second answer to lease {}", lease);
  co_return answer->kind;
}

Task<Result<void>> LedgerDesk::delivered(cycles::EntryId lease, wire::CyclesRecord record) {
  const auto state = state_;
  const auto* asked = state->story_of(lease);
  if (!asked) co_return fail(Errc::not_found, "no lease {} here", lease);
  const auto worker = asked->worker;
  CO_TRY(const auto taken, co_await state->take(std::move(record), worker));
  const auto* delivery = std::get_if<cycles::Delivery>(&taken.entry.what);
  if (!delivery || delivery->lease != lease || taken.entry.server != worker)
    co_return fail(Errc::corrupt, "a delivery that is none for lease {}", lease);
  co_return Result<void>{};
}

Task<void> LedgerDesk::receipt(Digest work, ServerId worker, cycles::Fuel fuel, std::optional<Duration> elapsed) {
  const auto state = state_;
  const auto leases = state->leases_for.find({state->parts.identity.server, work});
  if (leases == state->leases_for.end()) co_return;
  for (const auto& id : std::set(leases->second)) {
    const auto* story = state->story_of(id);
    if (!story || story->worker != worker || !story->delivery || story->receipt) continue;
    const auto delivery_id = *story->delivery;
    const auto* delivery = state->ledger.find(delivery_id);
    if (!delivery || !state->receipting.insert(delivery_id).second) continue;
    // Never by what the worker says of the time: its own dates would be its own speed.
    const auto since = std::chrono::milliseconds(state->parts.runtime.wall_ms() - story->made_ms);
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(elapsed.value_or(since)).count();
    const auto said = std::get<cycles::Delivery>(delivery->what).fuel;
    (void)co_await state->append(
        cycles::Receipt{delivery_id, std::clamp<cycles::Fuel>(fuel, 1, said),
                        std::clamp<std::uint64_t>(static_cast<std::uint64_t>(std::max<std::int64_t>(time, 1)), 1, cycles::elapsed_ms_max)},
        delivery->made_ms);
    state->receipting.erase(delivery_id);
  }
}

void LedgerDesk::not_given(cycles::EntryId lease) { state_->tasks.spawn(state_->complain(lease, false)); }

void LedgerDesk::ask_absent(ServerId worker, cycles::Fuel fuel, Digest work) {
  const auto epoch = state_->epoch();
  const auto [asked, first] = state_->absent_asked.try_emplace(worker, epoch);
  if (!first && asked->second == epoch) return;
  asked->second = epoch;
  state_->tasks.spawn([](LedgerDesk* desk, std::shared_ptr<State> state, ServerId worker, cycles::Fuel fuel, Digest work) -> Task<void> {
    const auto lease = co_await desk->ask(worker, fuel, work);
    if (lease && lease->entitled) co_await state->complain(lease->lease, false);
  }(this, state_, worker, fuel, work));
}

/// One after the other, so that each sees what the ones before it have taken. What the rule gives no meaning is not
/// entered: else whoever asks could fill this server's chain.
Task<Result<LedgerDesk::Given>> LedgerDesk::State::decide(Entry lease, bool unwilling) {
  const auto permit = co_await answering.lock();
  if (const auto before = given.find(lease.id); before != given.end()) co_return before->second;
  if (const auto* story = story_of(lease.id); story && story->answer) {
    // Before this server was started anew.
    const auto id = story->answer;
    const auto* answer = find<cycles::Answer>(id);
    auto said = co_await record_of(id);
    if (!said || !answer) co_return fail(Errc::io, "the answer to lease {} cannot be read", lease.id);
    const bool accepted = answer->kind == cycles::Answer::Kind::accepted;
    co_return Given{lease.id, answer->kind, std::move(*said), accepted && !std::get<cycles::Lease>(lease.what).best_effort};
  }
  const auto decision = ledger.decide(lease, parts.runtime.wall_ms());
  Given result{.lease = lease.id, .answer = unwilling ? cycles::Answer::Kind::unwilling : decision.kind, .record = {},
               .promised = !unwilling && decision.promised};
  using Kind = cycles::Answer::Kind;
  const bool is_favour = std::get<cycles::Lease>(lease.what).best_effort;
  if ((is_favour && result.answer != Kind::accepted) || result.answer == Kind::not_entitled || result.answer == Kind::clocks_differ)
    co_return result;
  CO_TRY(auto made, co_await append(cycles::Answer{lease.id, result.answer}, lease.made_ms));
  result.record = std::move(made.record);
  given[lease.id] = result;
  co_return result;
}

Task<Result<LedgerDesk::Given>> LedgerDesk::answer(ServerId asker, Digest work, wire::CyclesRecord record, bool unwilling) {
  const auto state = state_;
  if (!state->askers.take(asker, 1, state->parts.runtime.now())) co_return fail(Errc::busy, "server {} asks too often", asker);
  CO_TRY(const auto taken, co_await state->take(std::move(record), asker));
  const auto* lease = std::get_if<cycles::Lease>(&taken.entry.what);
  if (!lease) co_return fail(Errc::invalid, "what came with the offer is no lease but a {}", to_string(taken.entry.what));
  if (taken.entry.server != asker || lease->worker != state->parts.identity.server || lease->job != work)
    co_return fail(Errc::denied, "lease {} is not by server {} for this piece, asked of this server", taken.entry.id, asker);
  const auto asked_in = state->rules.epoch_of(taken.entry.made_ms);
  if (asked_in + state->rules.deadline_epochs < state->epoch())
    co_return fail(Errc::denied, "lease {} is of epoch {}: what is delivered for it now counts no more", taken.entry.id, asked_in);
  co_return co_await state->decide(taken.entry, unwilling);
}

Task<Result<wire::CyclesRecord>> LedgerDesk::deliver(cycles::EntryId lease, cycles::Fuel fuel, Digest output) {
  const auto state = state_;
  const auto permit = co_await state->answering.lock();
  const auto* asked = state->ledger.find(lease);
  if (!asked) co_return fail(Errc::not_found, "no lease {} here", lease);
  if (const auto* story = state->story_of(lease); story && story->delivery) {
    auto said = co_await state->record_of(story->delivery);
    if (!said) co_return fail(Errc::io, "the delivery for lease {} cannot be read", lease);
    co_return std::move(*said);
  }
  CO_TRY(auto made, co_await state->append(
      cycles::Delivery{lease, std::clamp<cycles::Fuel>(fuel, 1, cycles::lease_fuel_max), output}, asked->made_ms));
  if (!std::get<cycles::Lease>(asked->what).best_effort) state->tasks.spawn(state->watch_delivery(lease));
  co_return std::move(made.record);
}

/// Who gives and gets no receipt has witnesses look at what he gave.
Task<void> LedgerDesk::State::watch_delivery(EntryId lease) {
  const auto until = begin_of(epoch() + receipt_patience_epochs);
  co_await parts.runtime.sleep_until(until);
  const auto* story = story_of(lease);
  if (story && !story->receipt) co_await complain(lease, true);
}

Task<Result<LedgerDesk::Standing>> LedgerDesk::standing(ServerId witness, wire::CyclesRecord record,
                                                        std::function<bool(const ServerId& asker)> unwilling) {
  const auto state = state_;
  CO_TRY(const auto taken, co_await state->take(std::move(record), witness));
  const auto* lease = std::get_if<cycles::Lease>(&taken.entry.what);
  if (!lease || lease->worker != state->parts.identity.server)
    co_return fail(Errc::invalid, "entry {} is no lease of this server", taken.entry.id);
  Standing result{.lease = taken.entry.id, .asker = taken.entry.server, .answer = {}, .delivery = {}};
  const auto* story = state->story_of(taken.entry.id);
  if (story && !story->answer && !lease->best_effort && unwilling(taken.entry.server)) (void)co_await state->decide(taken.entry, true);
  story = state->story_of(taken.entry.id);
  if (!story) co_return result;
  const auto answered = story->answer, delivered = story->delivery;
  if (const auto* answer = state->find<cycles::Answer>(answered)) result.refused = answer->kind != cycles::Answer::Kind::accepted;
  result.answer = co_await state->record_of(answered);
  result.delivery = co_await state->record_of(delivered);
  co_return result;
}

bool LedgerDesk::receipted(const cycles::EntryId& lease) const {
  const auto* story = state_->story_of(lease);
  return story && story->receipt;
}

bool LedgerDesk::may_see(const cycles::EntryId& lease, const PersonId& witness) const {
  const auto& state = *state_;
  const auto* entry = state.ledger.find(lease);
  if (!entry) return false;
  const auto& parts = state.parts;
  const auto made = make_draw(parts.identity.server_key, cycles::witness_draw(parts.identity.network, state.rules.epoch_of(entry->made_ms),
                                                                      entry->server, parts.identity.server));
  const auto drawn = state.ledger.witnesses(lease, made.proof);
  return drawn && std::ranges::count(*drawn, witness) > 0;
}

const cycles::Ledger& LedgerDesk::ledger() const { return state_->ledger; }
std::uint64_t LedgerDesk::month() const { return state_->rules.month_of(state_->epoch()); }

LedgerDesk::Unsettled LedgerDesk::unsettled() const {
  Unsettled sums;
  const auto& state = *state_;
  const auto own = state.parts.identity.person;
  for (const auto& [id, story] : state.stories) {
    const auto* lease = state.find<cycles::Lease>(id);
    if (!lease) continue;
    const auto* receipt = state.find<cycles::Receipt>(story.receipt);
    const auto* answer = state.find<cycles::Answer>(story.answer);
    const auto given = receipt ? std::min(receipt->fuel, lease->fuel) : 0;
    const bool by_own = state.ledger.find(id)->person == own;
    const bool of_own = state.parts.members.once_person_of(lease->worker) == own;
    if (by_own == of_own) continue;
    const auto asked = !lease->best_effort && answer && answer->kind == cycles::Answer::Kind::accepted ? lease->fuel : 0;
    ++sums.leases;
    (by_own ? sums.asked_of_others : sums.asked) = cycles::plus(by_own ? sums.asked_of_others : sums.asked, asked);
    (by_own ? sums.received : sums.delivered) = cycles::plus(by_own ? sums.received : sums.delivered, given);
  }
  return sums;
}

std::string LedgerDesk::trouble() const {
  return state_->own_known.is_set() ? state_->trouble : std::string(chain_not_known);
}

}  // namespace spatter
