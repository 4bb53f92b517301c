#include "compare.h"

#include <algorithm>

namespace spatter::sim::cycles {
namespace {

void problem(CyclesFigures& figures, std::string text) {
  if (figures.problems.size() < 50) figures.problems.push_back(std::move(text));
}

}  // namespace

void compare_with_model(const spatter::cycles::Ledger& ledger, const LedgerModel& model, const std::vector<PersonId>& persons,
                        std::uint64_t months, CyclesFigures& figures) {
  for (std::size_t i = 0; i < persons.size(); ++i) {
    const auto views = ledger.months(persons[i]);
    for (std::uint64_t month = 0; month < months; ++month) {
      const auto found = std::ranges::find(views, month, &spatter::cycles::MonthView::month);
      const spatter::cycles::MonthView view = found == views.end() ? spatter::cycles::MonthView{.month = month, .closed = true} : *found;
      const LedgerModel::Month expected = model.month(i, month);
      const auto equal = [&](std::string_view name, Fuel is, Fuel should) {
        if (is != should) problem(figures, fmt::format("person {}, month {}: {} is {} and should be {}", persons[i], month, name, is, should));
      };
      equal("promised", view.promised, expected.promised);
      equal("asked", view.asked, expected.asked);
      equal("delivered", view.delivered, expected.delivered);
      equal("owed", view.owed, expected.owed);
      equal("beyond", view.beyond, expected.beyond);
      equal("repaid", view.repaid, expected.repaid);
      equal("debt", view.debt, expected.debt);
      equal("docked", view.docked, expected.docked);
      equal("entitlement", view.entitlement, expected.entitlement);
      equal("spent", view.spent, expected.spent);
      if (!view.closed) problem(figures, fmt::format("person {}: month {} was not closed", persons[i], month));
      if (view.spent > view.entitlement && expected.spent <= expected.entitlement)
        problem(figures, fmt::format("person {}, month {}: spent more than he had", persons[i], month));
      ++figures.months_compared;
      figures.promised += view.promised;
      figures.delivered += view.delivered;
      figures.owed += view.owed;
      figures.repaid += view.repaid;
      figures.docked += view.docked;
    }
  }
}

void check_windows(const LedgerModel& model, const spatter::cycles::LedgerRules& rules, CyclesFigures& figures) {
  const auto& promised = model.promised();
  const auto taken = model.taken(), arrived = model.arrived();
  using Wide = __int128;
  for (std::size_t server = 0; server < promised.size(); ++server) {
    Wide gap = 0, least = 0;  // what arrived less what was promised, up to an epoch
    for (std::size_t epoch = 0; epoch < promised[server].size(); ++epoch) {
      // An epoch is the least window, so sums over longer ones follow.
      if (taken[server][epoch] > promised[server][epoch])
        problem(figures, fmt::format("server {} gave {} in epoch {} and had promised {}", server, taken[server][epoch], epoch, promised[server][epoch]));
      least = std::min(least, gap);
      const Wide guard = Wide{promised[server][epoch]} * static_cast<Wide>(rules.guard_epochs);
      gap += arrived[server][epoch];
      if (arrived[server][epoch] > 0 && gap - least > guard + promised[server][epoch])
        problem(figures, fmt::format("server {} accepted more than it promised and the guard, in a window that ends with epoch {}", server, epoch));
      gap -= promised[server][epoch];
    }
  }
}

}  // namespace spatter::sim::cycles
