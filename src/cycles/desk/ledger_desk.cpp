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

/// Closes each epoch when everybody whose clock is right has passed it.
Task<void> LedgerDesk::State::epochs() {
  auto& runtime = parts.runtime;
  while (true) {
    const auto number = epoch();
    ledger.close_until(number > 0 ? number - 1 : 0);
    forget_settled();
    if (on_epoch) on_epoch(rules.month_of(number));
    co_await runtime.sleep_until(std::max(begin_of(number + 1), runtime.now() + std::chrono::milliseconds(10)));
  }
}

void LedgerDesk::State::forget_settled() {
  const auto now = epoch();
  std::erase_if(stories, [&](const auto& one) {
    const auto& [lease, story] = one;
    if (rules.epoch_of(story.made_ms) + rules.settle_epochs + 1 >= now) return false;
    if (story.delivery) lease_of.erase(*story.delivery);
    if (const auto at = leases_for.find({story.asker, story.work}); at != leases_for.end()) {
      at->second.erase(lease);
      if (at->second.empty()) leases_for.erase(at);
    }
    silent_since.erase(lease);
    verdicts.erase(lease);
    given.erase(lease);
    return true;
  });
  std::erase_if(early_receipts, [&](const auto& one) {
    const Entry* receipt = ledger.find(one.second);
    return !receipt || rules.epoch_of(receipt->made_ms) + rules.settle_epochs + 1 < now;
  });
  std::erase_if(absent_asked, [&](const auto& one) { return one.second + 1 < now; });
}

LedgerDesk::State::Story* LedgerDesk::State::story_of(const EntryId& lease) {
  const auto found = stories.find(lease);
  return found == stories.end() ? nullptr : &found->second;
}

void LedgerDesk::State::note(const Entry& entry) {
  if (const auto* pledge = std::get_if<cycles::Pledge>(&entry.what)) {
    if (entry.server == parts.identity.server && entry.number > said_number) {
      said = *pledge;
      said_number = entry.number;
    }
    return;
  }
  if (const auto* fork = std::get_if<cycles::Fork>(&entry.what)) {
    forks.insert({fork->server, fork->number});
    return;
  }
  if (rules.epoch_of(entry.made_ms) + rules.settle_epochs + 1 < epoch()) return;
  const auto begin = [&](const EntryId& lease) -> Story& {
    auto& story = stories[lease];
    if (story.made_ms == 0) story.made_ms = entry.made_ms;
    return story;
  };
  const auto receipted_by = [&](const EntryId& delivery, const EntryId& receipt) {
    if (const auto lease = lease_of.find(delivery); lease != lease_of.end()) {
      auto& story = begin(lease->second);
      if (!story.receipt) story.receipt = receipt;
    } else {
      early_receipts.try_emplace(delivery, receipt);
    }
  };
  if (const auto* lease = std::get_if<cycles::Lease>(&entry.what)) {
    auto& story = begin(entry.id);
    story.asker = entry.server;
    story.worker = lease->worker;
    story.work = lease->job;
    leases_for[{entry.server, lease->job}].insert(entry.id);
  } else if (const auto* answer = std::get_if<cycles::Answer>(&entry.what)) {
    auto& story = begin(answer->lease);
    if (!story.answer) story.answer = entry.id;
  } else if (const auto* delivery = std::get_if<cycles::Delivery>(&entry.what)) {
    auto& story = begin(delivery->lease);
    if (!story.delivery) story.delivery = entry.id;
    lease_of.try_emplace(entry.id, delivery->lease);
    if (const auto early = early_receipts.find(entry.id); early != early_receipts.end()) {
      const auto receipt = early->second;
      early_receipts.erase(early);
      receipted_by(entry.id, receipt);
    }
  } else if (const auto* receipt = std::get_if<cycles::Receipt>(&entry.what)) {
    receipted_by(receipt->delivery, entry.id);
  }
}

Task<Result<cycles::MadeEntry>> LedgerDesk::State::append(cycles::What what, WallMs cause_ms) {
  if (!own_known.is_set()) co_return fail(Errc::unavailable, "how far this server's chain of the ledger goes is not known yet");
  auto made = co_await store->append(std::move(what), parts.runtime.wall_ms(), cause_ms);
  if (!made) {
    trouble = made.error().message;
    parts.runtime.log().error("the ledger of spare cycles: {}", trouble);
    co_return made;
  }
  trouble.clear();
  CO_TRY_VOID(ledger.add(made->entry));
  note(made->entry);
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

/// What is to be entered next, so that in the end the chain says what is wanted.
std::optional<cycles::Pledge> LedgerDesk::State::pledge_to_say() const {
  if (!wanted) return std::nullopt;
  const auto now = rules.month_of(epoch());
  const auto says = [&](const cycles::Pledge& pledge) {
    if (!said) return pledge.share_ppm == 0;
    return said->share_ppm == pledge.share_ppm && std::max(said->from_month, now) == std::max(pledge.from_month, now);
  };
  if (!later) return says(*wanted) ? std::nullopt : wanted;
  if (said && says(*later)) return std::nullopt;
  return says(*wanted) ? later : wanted;
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
    state.note(*state.ledger.find(id));
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
  if (!state->own_known.is_set())
    co_return fail(Errc::unavailable, "how far this server's chain of the ledger goes is not known yet");
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
  CO_TRY(const auto taken, co_await state->take(std::move(record), true));
  const auto* answer = std::get_if<cycles::Answer>(&taken.entry.what);
  const auto* story = state->story_of(lease);
  if (!answer || answer->lease != lease || !story || taken.entry.server != story->worker)
    co_return fail(Errc::corrupt, "an answer that is none to lease {}", lease);
  if (story->answer != taken.entry.id) co_return fail(Errc::corrupt, "a second answer to lease {}", lease);
  co_return answer->kind;
}

Task<Result<void>> LedgerDesk::delivered(cycles::EntryId lease, wire::CyclesRecord record) {
  const auto state = state_;
  CO_TRY(const auto taken, co_await state->take(std::move(record), true));
  const auto* delivery = std::get_if<cycles::Delivery>(&taken.entry.what);
  const auto* story = state->story_of(lease);
  if (!delivery || delivery->lease != lease || !story || taken.entry.server != story->worker)
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
    const auto* answer = story->answer ? state->ledger.find(*story->answer) : nullptr;
    const auto by_entries = std::chrono::milliseconds(answer ? delivery->made_ms - answer->made_ms : 1);
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(elapsed.value_or(by_entries)).count();
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

/// One after the other, so that each sees what the ones before it have taken.
Task<Result<LedgerDesk::Given>> LedgerDesk::State::decide(Entry lease, bool unwilling) {
  const auto permit = co_await answering.lock();
  if (const auto before = given.find(lease.id); before != given.end()) co_return before->second;
  const auto decision = ledger.decide(lease, parts.runtime.wall_ms());
  Given result{.lease = lease.id, .answer = unwilling ? cycles::Answer::Kind::unwilling : decision.kind, .record = {},
               .promised = decision.promised, .reduces_debt = decision.reduces_debt};
  if (unwilling && std::get<cycles::Lease>(lease.what).best_effort) co_return result;
  CO_TRY(auto made, co_await append(cycles::Answer{lease.id, result.answer}, lease.made_ms));
  result.record = std::move(made.record);
  given[lease.id] = result;
  co_return result;
}

Task<Result<LedgerDesk::Given>> LedgerDesk::answer(ServerId asker, Digest work, wire::CyclesRecord record, bool unwilling) {
  const auto state = state_;
  CO_TRY(const auto taken, co_await state->take(std::move(record), true));
  const auto* lease = std::get_if<cycles::Lease>(&taken.entry.what);
  if (!lease) co_return fail(Errc::invalid, "what came with the offer is no lease but a {}", to_string(taken.entry.what));
  if (taken.entry.server != asker || lease->worker != state->parts.identity.server || lease->job != work)
    co_return fail(Errc::denied, "lease {} is not by server {} for this piece, asked of this server", taken.entry.id, asker);
  const auto* story = state->story_of(taken.entry.id);
  if (story && story->answer && !state->given.contains(taken.entry.id)) {
    // Before this server was started anew.
    auto said = co_await state->record_of(story->answer);
    const auto* answer = state->find<cycles::Answer>(story->answer);
    if (!said || !answer) co_return fail(Errc::io, "the answer to lease {} cannot be read", taken.entry.id);
    co_return Given{taken.entry.id, answer->kind, std::move(*said), !lease->best_effort, false};
  }
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

Task<Result<LedgerDesk::Standing>> LedgerDesk::standing(wire::CyclesRecord record) {
  const auto state = state_;
  CO_TRY(const auto taken, co_await state->take(std::move(record), false));
  const auto* lease = std::get_if<cycles::Lease>(&taken.entry.what);
  if (!lease || lease->worker != state->parts.identity.server)
    co_return fail(Errc::invalid, "entry {} is no lease of this server", taken.entry.id);
  Standing result{.lease = taken.entry.id, .asker = taken.entry.server, .answer = {}, .delivery = {}};
  if (const auto* story = state->story_of(taken.entry.id)) {
    const auto answered = story->answer, delivered = story->delivery;
    if (const auto* answer = state->find<cycles::Answer>(answered)) result.refused = answer->kind != cycles::Answer::Kind::accepted;
    result.answer = co_await state->record_of(answered);
    result.delivery = co_await state->record_of(delivered);
  }
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

std::string LedgerDesk::trouble() const { return state_->trouble; }

}  // namespace spatter
