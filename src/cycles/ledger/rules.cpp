#include "cycles/ledger_rules.h"

namespace spatter::cycles {

Result<void> check_rules(const LedgerRules& rules) {
  if (rules.epoch_ms == 0 || rules.epoch_ms > 30ULL * 24 * 3600 * 1000)
    return fail(Errc::invalid, "epochs of {} ms: from 1 ms to 30 days", rules.epoch_ms);
  if (rules.guard_epochs == 0 || rules.guard_epochs > rules.deadline_epochs)
    return fail(Errc::invalid, "a guard of {} epochs: from 1 to the deadline of {}", rules.guard_epochs, rules.deadline_epochs);
  if (rules.settle_epochs < rules.deadline_epochs + 2 * clock_epochs_max)
    return fail(Errc::invalid, "leases that are settled after {} epochs, with a deadline of {}: at least {}", rules.settle_epochs,
                rules.deadline_epochs, rules.deadline_epochs + 2 * clock_epochs_max);
  if (rules.month_epochs <= rules.settle_epochs || rules.month_epochs > 1'000'000)
    return fail(Errc::invalid, "months of {} epochs: from {} to 1000000", rules.month_epochs, rules.settle_epochs + 1);
  return {};
}

Result<void> check_dated(const LedgerRules& rules, WallMs made_ms, WallMs now) {
  const std::uint64_t made = rules.epoch_of(made_ms), here = rules.epoch_of(now);
  const std::uint64_t apart = made > here ? made - here : here - made;
  if (apart > clock_epochs_max)
    return fail(Errc::denied, "an entry dated epoch {} where the clock says {}: one of the two clocks is wrong", made, here);
  return {};
}

}  // namespace spatter::cycles
