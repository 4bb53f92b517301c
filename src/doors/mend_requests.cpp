#include "mend_requests.h"

#include <cmath>

#include "node/config.h"
#include "request_fields.h"

namespace spatter::doors {
namespace {

/// JSON has no infinity.
Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json counts_json(const AuditCounts& counts) {
  return {{"asked", counts.asked}, {"right", counts.right}, {"wrong", counts.wrong}, {"missing", counts.missing},
          {"late", counts.late}};
}

}  // namespace

Task<Result<Json>> answer_repair(Server& server, const Json& request) {
  if (const auto rate = text_at(request, "rate"); !rate.empty()) {
    CO_TRY(const auto bytes_per_s, parse_rate(rate));
    if (const auto hours = text_at(request, "hours"); !hours.empty()) {
      CO_TRY(const auto one, parse_repair_hours(hours + " " + rate));
      auto all = server.repair_hours();
      std::erase_if(all, [&](const RepairHours& other) { return other.from == one.from && other.until == one.until; });
      if (all.size() >= repair_hours_max)
        co_return fail(Errc::no_space, "there are {} stretches of a day with rates of their own already", all.size());
      all.insert(all.begin(), one);
      server.set_repair_hours(std::move(all));
    } else {
      server.set_repair_rate(bytes_per_s);
    }
  } else if (request.contains("hours")) {
    co_return fail(Errc::invalid, "hours need a rate that goes for them");
  }
  if (flag_at(request, "no_hours")) server.set_repair_hours({});
  const MendReport report = server.mender().report();
  CO_TRY(const auto status, co_await server.status());
  Json gone = Json::array();
  for (const ServerId& holder : report.gone) gone.push_back(holder.hex());
  Json hours = Json::array();
  for (const RepairHours& one : server.repair_hours()) hours.push_back(to_text(one));
  co_return Json{
      {"stripes", report.stripes}, {"none", report.none}, {"tidy", report.tidy}, {"due", report.due},
      {"urgent", report.urgent}, {"lost", report.lost}, {"untold", report.untold}, {"waiting", report.waiting},
      {"running", report.running}, {"gathered_bytes", report.gathered_bytes},
      {"gathered_stripes", report.gathered_stripes}, {"rebuilt_stripes", report.rebuilt_stripes},
      {"rebuilt_shards", report.rebuilt_shards}, {"rebuilt_bytes", report.rebuilt_bytes},
      {"moved_bytes", report.moved_bytes}, {"taken_back", report.taken_back}, {"let_go", report.let_go},
      {"rate", report.rate_bytes_per_s}, {"rate_otherwise", server.repair_rate()}, {"hours", std::move(hours)}, {"bytes_per_s", report.bytes_per_s},
      {"seconds_left", finite(report.seconds_left)}, {"gone", std::move(gone)}, {"trouble", report.trouble},
      {"own", {{"total", status.safety.total}, {"full", status.safety.full}, {"safe", status.safety.safe},
               {"at_risk", status.safety.at_risk}, {"lost", status.safety.lost}, {"idle", status.idle},
               {"lists_waiting", server.owner_lists().waiting()}, {"taken_in", server.owner_lists().taken_in()}}}};
}

Task<Result<Json>> answer_audit(Server& server, const Json& request) {
  Json answer = Json::object();
  if (flag_at(request, "now")) {
    const auto counts = co_await server.auditor().audit_now();
    answer["now"] = counts_json(counts);
  }
  const AuditSummary summary = server.auditor().summary();
  answer["epoch"] = summary.epoch;
  answer["epoch_seconds"] = server.genesis().epoch_seconds;
  answer["audit_epochs"] = server.genesis().mend.audit_epochs;
  answer.update(counts_json(summary.all));
  answer["shown"] = summary.shown;
  answer["shown_bytes"] = summary.shown_bytes;
  answer["not_shown"] = summary.not_shown;
  Json holders = Json::array();
  for (const auto& [holder, one] : summary.holders) {
    Json entry = counts_json(one.counts);
    entry["server"] = holder.hex();
    entry["up"] = server.members().is_up(holder);
    entry["shards"] = one.shards;
    entry["last_epoch"] = one.last_epoch;
    entry["by_others"] = counts_json(one.by_others);
    holders.push_back(std::move(entry));
  }
  answer["holders"] = std::move(holders);
  Json auditors = Json::array();
  for (const auto& [auditor, one] : summary.auditors)
    auditors.push_back({{"server", auditor.hex()}, {"reports", one.reports}, {"contradicted", one.contradicted}});
  answer["auditors"] = std::move(auditors);
  co_return answer;
}

}  // namespace spatter::doors
