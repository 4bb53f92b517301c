#include "mode_requests.h"

#include "node/mode_words.h"

namespace spatter::doors {

Json mode_json(const Server& server) {
  const ModeStatus status = server.mode();
  const auto& rules = server.genesis().mend;
  const auto& tally = status.tally;
  Json reports = Json::array();
  for (const auto& one : status.reports) {
    const ModeReport& report = one.report;
    reports.push_back({{"server", report.reporter.hex()}, {"person", report.person.hex()}, {"epoch", report.epoch},
                       {"stripes", report.facts.stripes}, {"tidy", report.facts.tidy}, {"due", report.facts.due},
                       {"urgent", report.facts.urgent}, {"lost", report.facts.lost}, {"stuck", report.facts.stuck},
                       {"departed", report.facts.departed}, {"partners", report.facts.partners},
                       {"threatened", report.threatened}, {"calm", report.calm}, {"repair_only", report.repair_only}});
  }
  return {{"mode", status.state.repair_only ? "repair-only" : "serving"},
          {"since_epoch", status.state.since_epoch},
          {"since_ms", status.since_ms},
          {"epoch", tally.epoch},
          {"epoch_seconds", server.genesis().epoch_seconds},
          {"reason", mode_reason(status, rules)},
          {"cause", mode_cause(status)},
          {"stripes", tally.sum.stripes},
          {"urgent", tally.sum.urgent},
          {"lost", tally.sum.lost},
          {"stuck", tally.sum.stuck},
          {"share_in_danger", tally.share_in_danger},
          {"waiting", status.waiting()},
          {"waiting_most", status.waiting_most},
          {"seconds_left", tally.seconds_left ? Json(*tally.seconds_left) : Json(nullptr)},
          {"enter_ppm", rules.urgent_ppm},
          {"calm_ppm", rules.calm_ppm},
          {"calm_epochs", rules.calm_epochs},
          {"calm_run", status.state.calm_run},
          {"quorum", tally.quorum},
          {"reports_needed", status.state.repair_only ? tally.needed : tally.needed_to_begin},
          {"abstained", tally.abstained},
          {"voices", status.electorate.voices},
          {"present", status.electorate.present},
          {"known", std::max(status.electorate.known, status.electorate.voices)},
          {"threatened", tally.threatened},
          {"calm", tally.calm},
          {"reports", std::move(reports)},
          {"help", mode_help()}};
}

}  // namespace spatter::doors
