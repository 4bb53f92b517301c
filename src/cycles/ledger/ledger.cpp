#include "cycles/ledger.h"

#include "closing.h"
#include "crypto/hash.h"

namespace spatter::cycles {
namespace {

/// Entries that are later than all of them begin anew.
constexpr std::size_t checkpoints_kept = 3;
constexpr std::size_t draws_kept = 100'000;

}  // namespace

Ledger::Ledger(const NetworkId& network, const LedgerRules& rules)
    : network_(network), rules_(rules), state_(std::make_unique<State>()) {
  SPATTER_ASSERT(check_rules(rules).has_value());
}
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger::~Ledger() = default;

Result<Ledger::Added> Ledger::add(Entry entry) {
  if (entries_.contains(entry.id)) return Added{};
  const auto [person, unknown] = person_of_.try_emplace(entry.server, entry.person);
  if (!unknown && person->second != entry.person)
    return fail(Errc::denied, "server {}: cycles entry {} is as of person {}, whose server it is not", entry.server, entry.number,
                entry.person);
  Added added{.fresh = true};
  const auto [same, alone] = numbers_.try_emplace({entry.server, entry.number}, entry.id);
  if (!alone) added.conflict = same->second;
  auto& whole = whole_until_[entry.server];
  while (numbers_.contains({entry.server, whole + 1})) ++whole;
  const std::uint64_t epoch = rules_.epoch_of(entry.made_ms);
  const EntryId id = entry.id;
  by_epoch_[epoch].push_back(&entries_.emplace(id, std::move(entry)).first->second);
  if (epoch < state_->next_epoch) late_ = std::min(late_.value_or(epoch), epoch);
  return added;
}

const Entry* Ledger::find(const EntryId& id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

const Entry* Ledger::find(const ServerId& server, std::uint64_t number) const {
  const auto found = numbers_.find({server, number});
  return found == numbers_.end() ? nullptr : find(found->second);
}

std::uint64_t Ledger::closed_until() const { return state_->next_epoch; }

/// Back to the last state before the earliest late entry.
void Ledger::reopen() {
  auto after = checkpoints_.upper_bound(*late_);
  late_.reset();
  if (after == checkpoints_.begin()) {
    *state_ = State();
  } else {
    *state_ = *std::prev(after)->second;
  }
  checkpoints_.erase(after, checkpoints_.end());
}

void Ledger::close_until(std::uint64_t epoch) {
  const std::uint64_t goal = std::max(epoch, state_->next_epoch);
  if (late_) reopen();
  while (state_->next_epoch < goal) {
    const std::uint64_t next = state_->next_epoch;
    if (rules_.begins_month(next)) {
      checkpoints_.insert_or_assign(next, std::make_unique<const State>(*state_));
      if (checkpoints_.size() > checkpoints_kept) checkpoints_.erase(checkpoints_.begin());
    }
    const auto entries = by_epoch_.find(next);
    Closing{*this, rules_, *state_, next, entries == by_epoch_.end() ? nullptr : &entries->second, rules_.month_of(next)}.close();
  }
}

std::optional<VrfOutput> Ledger::checked_draw(const Entry& lease, std::uint64_t epoch, const DrawProof& draw) const {
  const Digest name = Sha256().update(lease.id.view()).update(draw.key).update(draw.proof).finish();
  if (draws_.size() >= draws_kept) draws_.clear();
  const auto [known, fresh] = draws_.try_emplace(name);
  if (fresh) {
    const auto output = check_draw(witness_draw(network_, epoch, lease.server, std::get<Lease>(lease.what).worker), draw);
    if (output) known->second = *output;
  }
  return known->second;
}

}  // namespace spatter::cycles
