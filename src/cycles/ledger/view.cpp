#include "cycles/ledger_view.h"

#include "state.h"

namespace spatter::cycles {

Fuel Ledger::debt(const PersonId& person) const {
  const auto found = state_->persons.find(person);
  return found == state_->persons.end() ? 0 : found->second.debt;
}

std::optional<std::uint64_t> Ledger::barred_until(const PersonId& person) const {
  const auto found = state_->persons.find(person);
  if (found == state_->persons.end() || found->second.barred_until <= state_->next_epoch) return {};
  return found->second.barred_until;
}

std::vector<PersonId> Ledger::persons() const {
  std::vector<PersonId> all;
  for (const auto& [person, state] : state_->persons) all.push_back(person);
  return all;
}

std::vector<ServerView> Ledger::servers(const PersonId& person) const {
  std::vector<ServerView> views;
  const auto found = state_->persons.find(person);
  if (found == state_->persons.end()) return views;
  for (const ServerId& id : found->second.servers) {
    const ServerState& server = state_->servers.at(id);
    const Promise& promise = server.promise;
    const Mark reserved = server.taken > promise.after() ? server.taken - promise.after() : 0;
    views.push_back({id, promise.share_ppm(), promise.coming(), promise.speed(), promise.in_epoch(), static_cast<Fuel>(reserved)});
  }
  return views;
}

std::vector<MonthView> Ledger::months(const PersonId& person) const {
  std::vector<MonthView> views;
  const auto found = state_->persons.find(person);
  if (found == state_->persons.end()) return views;
  const PersonState& state = found->second;
  for (const auto& [month, view] : state.months) {
    views.push_back(view);
    if (view.closed) continue;
    MonthView& open = views.back();
    for (const ServerId& id : state.servers) {
      const ServerState& server = state_->servers.at(id);
      const auto at = server.months.find(month);
      if (at == server.months.end()) continue;
      ServerMonth sum = at->second;
      add_open_parts(server, month, sum.end, sum);
      open.delivered = plus(open.delivered, sum.delivered);
      open.owed = plus(open.owed, sum.owed());
    }
    open.asked = plus(open.delivered, open.owed);
    open.debt = state.debt;
  }
  return views;
}

std::string fuel_text(Fuel fuel) {
  std::string digits = fmt::format("{}", fuel), out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ' ';
    out += digits[i];
  }
  return out;
}

namespace {

std::string percent(std::uint32_t ppm) {
  return ppm % 10'000 == 0 ? fmt::format("{} %", ppm / 10'000) : fmt::format("{}.{:04} %", ppm / 10'000, ppm % 10'000);
}

}  // namespace

std::vector<LedgerLine> explain(const MonthView& view) {
  const std::string fuel = " fuel";
  std::vector<LedgerLine> lines;
  lines.push_back({"promised", view.promised,
                   view.promised == 0 ? fmt::format("Your servers promised nothing{}: a promise grows epoch by epoch, by a pledge and results that show a speed.",
                                                    view.closed ? "" : " so far this month")
                                      : fmt::format("Your servers promised {} fuel{}: share times the speed that results showed, epoch by epoch.",
                                                    fuel_text(view.promised), view.closed ? "" : " so far this month")});
  lines.push_back({"asked", view.asked,
                   fmt::format("Others asked for {} fuel of it: {} delivered and {} owed. What nobody asked for is owed to nobody.",
                               fuel_text(view.asked), fuel_text(view.delivered), fuel_text(view.owed))});
  lines.push_back({"delivered", view.delivered,
                   fmt::format("Your servers delivered {} fuel of what was asked{}.", fuel_text(view.delivered),
                               view.beyond > 0 ? fmt::format(", and {} fuel that they did not have to", fuel_text(view.beyond)) : "")});
  std::string owed = view.owed == 0
                         ? "Nothing that was asked for is owed."
                         : fmt::format("{} fuel was asked for within the promise and not given, as two of three drawn witnesses agree.", fuel_text(view.owed));
  if (view.debt > 0 || view.repaid > 0)
    owed += fmt::format(" {} fuel was worked off; {} fuel of debt {}.", fuel_text(view.repaid), fuel_text(view.debt),
                        view.closed ? "was left when the month was closed" : "is left of earlier months");
  lines.push_back({"owed", view.owed, owed});
  lines.push_back({"docked", view.docked,
                   view.docked == 0 && view.docked_ppm == 0
                       ? "No debt cut your entitlement."
                       : fmt::format("Debt cut your entitlement by {} fuel, at the rate of {}{}: debt over what was promised the month before. "
                                     "Work beyond the promise reduces it, and is always accepted.",
                                     fuel_text(view.docked), percent(view.docked_ppm), view.closed ? " at the end" : " now")});
  lines.push_back({"entitlement", view.entitlement,
                   fmt::format("For that you {} entitled to {} fuel of others' promised time{}.", view.closed ? "were" : "are",
                               fuel_text(view.entitlement), view.closed ? "; what was not used ended with the month" : " this month, so far")});
  lines.push_back({"spent", view.spent,
                   fmt::format("You {} {} fuel of it; {} {}.", view.closed ? "spent" : "have spent or reserved", fuel_text(view.spent),
                               fuel_text(view.entitlement - std::min(view.entitlement, view.spent)), view.closed ? "was not used" : "is left")});
  return lines;
}

std::string explain(const ServerView& view) {
  if (view.speed == 0)
    return fmt::format("Server {} pledges {} of its cores; its speed is not known, for nobody has had a result of it yet, so this promises nothing.",
                       view.server, percent(view.share_ppm));
  std::string text = fmt::format("Server {} pledges {} of its cores, which do {} fuel a second by its results: {} fuel each epoch, of which the next {} are taken.",
                                 view.server, percent(view.share_ppm), fuel_text(view.speed), fuel_text(view.in_epoch), fuel_text(view.reserved));
  if (view.coming) text += fmt::format(" From epoch {} on it pledges {}.", view.coming->epoch, percent(view.coming->share_ppm));
  return text;
}

}  // namespace spatter::cycles
