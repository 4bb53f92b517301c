#include "cycles_requests.h"

#include "cycles/ledger_view.h"
#include "cycles/pool_address.h"
#include "request_fields.h"

namespace spatter::doors {
namespace {

constexpr std::uint64_t quiet_s_max = 86'400;

Json settings_json(Server& server) {
  const auto& settings = server.cycles();
  const auto& rules = server.ledger().ledger().rules();
  const auto month = server.ledger().month();
  Json next;
  if (settings.next)
    next = {{"share_ppm", settings.next->share_ppm}, {"share", share_text(settings.next->share_ppm)},
            {"from_month", settings.next->from_month}, {"from_ms", rules.start_of(rules.first_of(settings.next->from_month))}};
  return {{"share_ppm", settings.share_ppm}, {"share", share_text(settings.share_ppm)},
          {"when", to_string(settings.when)}, {"quiet_s", settings.quiet_s}, {"month", month},
          {"month_ends_ms", rules.start_of(rules.first_of(month + 1))}, {"next", std::move(next)}};
}

Json month_json(const cycles::MonthView& view) {
  Json lines = Json::array();
  for (const auto& line : cycles::explain(view)) lines.push_back({{"name", line.name}, {"fuel", line.fuel}, {"words", line.words}});
  return {{"month", view.month}, {"closed", view.closed}, {"promised", view.promised}, {"asked", view.asked},
          {"delivered", view.delivered}, {"owed", view.owed}, {"docked", view.docked}, {"docked_ppm", view.docked_ppm},
          {"entitlement", view.entitlement}, {"spent", view.spent}, {"beyond", view.beyond}, {"repaid", view.repaid},
          {"debt", view.debt}, {"lines", std::move(lines)}};
}

/// The months of a person up to now, this one included.
std::vector<cycles::MonthView> months_of(Server& server, const PersonId& person) {
  auto months = server.ledger().ledger().months(person);
  const auto now = server.ledger().month();
  // At its beginning nothing of it is closed yet.
  if (months.empty() || months.back().month < now) months.push_back({.month = now, .debt = server.ledger().ledger().debt(person)});
  return months;
}

Json servers_json(Server& server, const PersonId& person) {
  Json servers = Json::array();
  for (const auto& view : server.ledger().ledger().servers(person)) {
    Json coming;
    if (view.coming) coming = {{"share_ppm", view.coming->share_ppm}, {"epoch", view.coming->epoch}};
    servers.push_back({{"server", view.server.hex()}, {"share_ppm", view.share_ppm}, {"share", share_text(view.share_ppm)},
                       {"fuel_per_s", view.speed}, {"fuel_per_epoch", view.in_epoch}, {"reserved", view.reserved},
                       {"coming", std::move(coming)}, {"words", cycles::explain(view)}});
  }
  return servers;
}

Json unsettled_json(Server& server) {
  const auto open = server.ledger().unsettled();
  return {{"leases", open.leases}, {"asked", open.asked}, {"delivered", open.delivered},
          {"asked_of_others", open.asked_of_others}, {"received", open.received}};
}

/// The share that this server has promised for the rest of the month, as the others hold it to.
std::uint32_t share_in_force(Server& server) {
  for (const auto& view : server.ledger().ledger().servers(server.identity().person))
    if (view.server == server.identity().server) return view.share_ppm;
  return 0;
}

Json class_json(const MachineReport::Class& one) {
  return {{"may_run", one.may_run}, {"because", one.because}, {"share_cores", one.share_cores},
          {"processes", one.processes}, {"used_s", one.used_s}, {"used_minute_s", one.used_minute_s},
          {"granted_minute_s", one.granted_minute_s}, {"used_hour_s", one.used_hour_s}, {"granted_hour_s", one.granted_hour_s}};
}

Json machine_json(const MachineReport& machine) {
  Json sources = Json::array();
  for (const auto& source : machine.sources)
    sources.push_back({{"name", source.name}, {"works", source.works}, {"what", source.what}});
  return {{"cores", machine.cores}, {"held_by", machine.held_by}, {"user_present", machine.user_present},
          {"user", machine.user}, {"pledged", class_json(machine.pledged)}, {"filler", class_json(machine.filler)},
          {"own_work_s", machine.own_work_s}, {"sources", std::move(sources)}};
}

Json mining_json(Server& server) {
  const auto& settings = server.cycles();
  const auto* runner = server.runner();
  const auto machine = runner ? runner->machine() : std::nullopt;
  Json report;
  if (machine && !machine->mining.empty()) report = Json::parse(machine->mining, nullptr, false);
  if (report.is_discarded()) report = nullptr;
  return {{"pool", settings.pool}, {"user", settings.pool_user}, {"share_ppm", settings.mine_share_ppm},
          {"share", share_text(settings.mine_share_ppm)}, {"when", to_string(settings.mine_when)},
          {"cores", runner ? runner->cores() : 1}, {"report", std::move(report)}};
}

Json accuracy_json(const Accuracy& accuracy) {
  return {{"forecasts", accuracy.forecasts}, {"median_error", accuracy.median_error}, {"within", accuracy.within},
          {"below_p90", accuracy.below_p90}};
}

}  // namespace

Task<Result<Json>> answer_pledge(Server& server, const Json& request) {
  auto settings = server.cycles();
  const auto from = text_at(request, "from");
  if (!from.empty() && from != "now" && from != "next-month")
    co_return fail(Errc::invalid, "\"{}\": a share is promised from now or from next-month on", from);
  if (const auto words = text_at(request, "share"); !words.empty()) {
    CO_TRY(const auto share, parse_share(words));
    const bool later = from == "next-month" || (from.empty() && share < std::min(share_in_force(server), settings.share_ppm));
    settings.next.reset();
    if (!later) settings.share_ppm = share;
    else if (share != settings.share_ppm) settings.next = {share, server.ledger().month() + 1};
  } else if (!from.empty()) {
    co_return fail(Errc::invalid, "from {} on: without a share there is nothing to promise", from);
  }
  if (const auto when = text_at(request, "when"); !when.empty()) {
    CO_TRY(settings.when, parse_when(when));
  }
  CO_TRY(const auto quiet, number_at(request, "quiet_s", settings.quiet_s));
  if (quiet > quiet_s_max) co_return fail(Errc::invalid, "a quiet time of {} s: {} at most", quiet, quiet_s_max);
  settings.quiet_s = static_cast<std::uint32_t>(quiet);
  if (settings != server.cycles()) CO_TRY_VOID(co_await server.set_cycles(settings));
  co_return settings_json(server);
}

Task<Result<Json>> answer_mine(Server& server, const Json& request) {
  auto settings = server.cycles();
  if (request.contains("pool")) {
    settings.pool = text_at(request, "pool");
    settings.pool_user = text_at(request, "user");
    if (!settings.pool.empty()) {
      CO_TRY_VOID(mining::parse_pool_address(settings.pool));
      CO_TRY_VOID(mining::check_pool_user(settings.pool_user));
    }
  }
  if (const auto share = text_at(request, "share"); !share.empty()) {
    CO_TRY(settings.mine_share_ppm, parse_share(share));
    if (settings.mine_share_ppm == 0) co_return fail(Errc::invalid, "a share of nothing: say --off to mine no more");
  }
  if (const auto when = text_at(request, "when"); !when.empty()) {
    CO_TRY(settings.mine_when, parse_when(when));
  }
  if (settings != server.cycles()) CO_TRY_VOID(co_await server.set_cycles(settings));
  co_return mining_json(server);
}

Json cycles_json(Server& server) {
  Json answer = settings_json(server);
  const auto now = month_json(months_of(server, server.identity().person).back());
  for (const auto* key : {"promised", "asked", "delivered", "owed", "docked", "entitlement", "spent", "debt"}) answer[key] = now[key];
  answer["unsettled"] = unsettled_json(server);
  answer["trouble"] = server.ledger().trouble();
  if (const auto barred = server.ledger().ledger().barred_until(server.identity().person)) answer["barred_until_epoch"] = *barred;
  const auto* runner = server.runner();
  const auto machine = runner ? runner->machine() : std::nullopt;
  answer["machine"] = machine ? machine_json(*machine) : Json();
  answer["mining"] = mining_json(server);
  if (const auto* work = server.work()) {
    const auto report = work->report();
    Json pieces = Json::array();
    for (const auto& piece : report.pieces)
      pieces.push_back({{"asker", piece.asker.hex()}, {"job", piece.job.hex()}, {"piece", piece.piece}, {"state", piece.state}});
    answer["work"] = {{"pieces", std::move(pieces)}, {"taken", report.taken}, {"computed", report.computed},
                      {"failed", report.failed}, {"refused", report.refused}, {"fuel", report.fuel},
                      {"processor_s", report.processor_s}};
  }
  const auto& speeds = server.jobs().speeds();
  Json servers = Json::array();
  for (const auto& [key, entry] : speeds.entries())
    servers.push_back({{"server", key.first.hex()}, {"kind", key.second}, {"fuel_per_s", entry.fuel / entry.seconds},
                       {"results", entry.results}});
  answer["speeds"] = std::move(servers);
  Json trust = Json::array();
  for (const auto& [id, record] : server.jobs().trust().all())
    trust.push_back({{"server", id.hex()}, {"right", record.right}, {"right_total", record.right_total},
                     {"wrong", record.wrong}, {"trusted", server.jobs().trust().is_trusted(id)}});
  answer["workers"] = std::move(trust);
  Json accuracy = accuracy_json(speeds.accuracy());
  Json errors = Json::array();
  for (const auto& error : speeds.errors())
    errors.push_back({{"kind", error.kind}, {"p50_s", error.forecast.p50_s}, {"p90_s", error.forecast.p90_s},
                      {"actual_s", error.actual_s}});
  accuracy["errors"] = std::move(errors);
  answer["accuracy"] = std::move(accuracy);
  return answer;
}

Result<Json> answer_ledger(Server& server, const Json& request) {
  const auto& desk = server.ledger();
  auto person = server.identity().person;
  if (const auto digits = text_at(request, "person"); !digits.empty()) {
    std::vector<PersonId> found;
    for (const auto& one : desk.ledger().persons())
      if (one.hex().starts_with(digits)) found.push_back(one);
    if (found.empty()) return fail(Errc::not_found, "nobody whose id begins with '{}' has an entry in the ledger", digits);
    if (found.size() > 1) return fail(Errc::invalid, "the ids of {} persons begin with '{}'", found.size(), digits);
    person = found.front();
  }
  Json months = Json::array();
  for (const auto& view : months_of(server, person)) months.push_back(month_json(view));
  const auto& rules = desk.ledger().rules();
  Json answer = {{"person", person.hex()}, {"own", person == server.identity().person}, {"month", desk.month()},
                 {"month_ends_ms", rules.start_of(rules.first_of(desk.month() + 1))},
                 {"closed_until_epoch", desk.ledger().closed_until()},
                 {"months", std::move(months)}, {"servers", servers_json(server, person)}, {"trouble", desk.trouble()}};
  if (person == server.identity().person) answer["unsettled"] = unsettled_json(server);
  if (const auto barred = desk.ledger().barred_until(person)) {
    answer["barred_until_epoch"] = *barred;
    answer["barred_until_ms"] = rules.start_of(*barred);
  }
  return answer;
}

}  // namespace spatter::doors
