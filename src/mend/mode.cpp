#include "mend/mode.h"

#include <algorithm>
#include <map>

#include "chance/choice.h"
#include "crypto/hash.h"

namespace spatter {
namespace {

constexpr std::uint64_t million = 1'000'000;
__extension__ using Wide = unsigned __int128;

bool is_more_than(std::uint64_t part, std::uint64_t ppm, std::uint64_t whole) {
  return Wide{part} * million > Wide{ppm} * whole;
}

std::uint64_t endangered(const ModeFacts& facts) {
  return facts.urgent - std::min(facts.stuck, facts.urgent) + facts.fresh;
}

}  // namespace

std::optional<double> ModeFacts::seconds_left() const {
  if (left_bytes == 0) return 0.0;
  if (repair_bytes_per_s == 0) return std::nullopt;
  return static_cast<double>(left_bytes) /
         (static_cast<double>(repair_bytes_per_s) * static_cast<double>(std::max<std::uint64_t>(1, helpers)));
}

ModeVerdict judge_facts(const ModeFacts& facts, const MendRules& rules, Duration epoch) {
  ModeVerdict verdict;
  if (facts.stripes == 0) return {.calm = true};
  if (const auto left = facts.seconds_left(); left && facts.departed > 0) {
    const double window = std::chrono::duration<double>(epoch).count() * departure_epochs;
    const double third = static_cast<double>(facts.servers) / 3 / static_cast<double>(facts.departed) * window;
    verdict.race = *left > third;
  }
  const auto danger = endangered(facts);
  verdict.threatened = verdict.race || is_more_than(danger, rules.urgent_ppm, facts.stripes);
  verdict.calm = !verdict.race && !is_more_than(danger, rules.calm_ppm, facts.stripes);
  return verdict;
}

wire::Signed make_mode_report(const SigningKey& server_key, const NetworkId& network, const ModeReport& report) {
  wire::ModeReport body;
  body.set_network(network.raw());
  body.set_reporter(report.reporter.raw());
  body.set_person(report.person.raw());
  body.set_epoch(report.epoch);
  body.set_draw_key(report.draw_key.data(), report.draw_key.size());
  body.set_draw(report.draw.data(), report.draw.size());
  *body.mutable_certificate() = report.certificate;
  body.set_stripes(report.facts.stripes);
  body.set_tidy(report.facts.tidy);
  body.set_due(report.facts.due);
  body.set_urgent(report.facts.urgent);
  body.set_lost(report.facts.lost);
  body.set_stuck(report.facts.stuck);
  body.set_fresh(report.facts.fresh);
  body.set_left_bytes(report.facts.left_bytes);
  body.set_repair_bytes_per_s(report.facts.repair_bytes_per_s);
  body.set_helpers(report.facts.helpers);
  body.set_servers(report.facts.servers);
  body.set_departed(report.facts.departed);
  body.set_threatened(report.threatened);
  body.set_calm(report.calm);
  body.set_repair_only(report.repair_only);
  body.set_made_ms(static_cast<std::uint64_t>(report.made_ms));
  return sign_message(server_key, kind::mode_report, body);
}

Result<ModeReport> read_mode_report(std::string_view body, const NetworkId& network) {
  wire::ModeReport message;
  if (body.size() > record_bytes_max || !message.ParseFromArray(body.data(), static_cast<int>(body.size())))
    return fail(Errc::invalid, "a mode report that cannot be read");
  ModeReport report;
  TRY(report.reporter, ServerId::from(message.reporter()));
  const auto wrong = [&](std::string_view what) {
    return fail(Errc::invalid, "a mode report of server {}: {}", report.reporter, what);
  };
  if (message.network() != network.raw()) return wrong("it is of another network");
  TRY(report.person, PersonId::from(message.person()));
  report.epoch = message.epoch();
  if (message.draw_key().size() != report.draw_key.size()) return wrong("its draw has no key");
  std::ranges::copy(as_bytes(message.draw_key()), report.draw_key.begin());
  if (message.draw().size() != report.draw.size()) return wrong("its draw is not of 80 bytes");
  std::ranges::copy(as_bytes(message.draw()), report.draw.begin());
  report.certificate = std::move(*message.mutable_certificate());
  report.facts = {.stripes = message.stripes(), .tidy = message.tidy(), .due = message.due(), .urgent = message.urgent(),
                  .lost = message.lost(), .stuck = message.stuck(), .fresh = message.fresh(),
                  .left_bytes = message.left_bytes(), .repair_bytes_per_s = message.repair_bytes_per_s(),
                  .helpers = message.helpers(), .servers = message.servers(), .departed = message.departed()};
  const auto& facts = report.facts;
  for (const auto figure : {facts.stripes, facts.tidy, facts.due, facts.urgent, facts.lost, facts.left_bytes,
                            facts.repair_bytes_per_s, facts.helpers, facts.servers, report.epoch, message.made_ms()})
    if (figure > mode_figure_max) return wrong("a figure is beyond all bounds");
  if (facts.tidy + facts.due + facts.urgent + facts.lost > facts.stripes) return wrong("more stripes in danger than there are");
  if (facts.stuck > facts.urgent || facts.fresh > facts.stuck + facts.lost || facts.departed > facts.servers)
    return wrong("its figures contradict each other");
  report.threatened = message.threatened();
  report.calm = message.calm();
  if (report.threatened && report.calm) return wrong("it is calm and threatened at once");
  report.repair_only = message.repair_only();
  report.made_ms = static_cast<WallMs>(message.made_ms());
  return report;
}

Result<ModeReportFacts> check_mode_report(const wire::Signed& record, const NetworkId& network) {
  ModeReportFacts facts;
  TRY(facts.report, read_mode_report(record.body(), network));
  const auto& report = facts.report;
  TRY_VOID(check(record, kind::mode_report));
  if (server_id(as_bytes(record.key())) != report.reporter)
    return fail(Errc::corrupt, "a mode report of server {} that another key has signed", report.reporter);
  TRY(const auto certificate, check_certificate(report.certificate, network));
  if (certificate.server != report.reporter || certificate.person != report.person)
    return fail(Errc::corrupt, "a mode report of server {} with another's certificate", report.reporter);
  facts.signed_by = certificate.signed_by;
  if (person_id(report.draw_key) != report.person)
    return fail(Errc::corrupt, "a mode report of server {} with a draw that is not its person's", report.reporter);
  TRY(facts.output, check_draw(reporter_draw(network, report.epoch, report.person), {report.draw_key, report.draw}));
  facts.hash = Sha256().update(as_bytes(record.body())).finish();
  return facts;
}

Draw reporter_draw(const NetworkId& network, std::uint64_t epoch, const PersonId& person) {
  constexpr std::string_view label{"spatter/1 reporter\0", 19};
  return {network, epoch, Purpose::report, Sha256().update(as_bytes(label)).update(person.view()).finish()};
}

bool is_reporter(const VrfOutput& output, const MendRules& rules, std::uint64_t persons) {
  return drawn_by_lot(output, rules.reporters, 1, std::max<std::uint64_t>(1, persons));
}

bool may_report(const VrfOutput& output, const MendRules& rules, std::uint64_t persons) {
  return is_reporter(output, rules, persons - persons / 4);
}

double ModeTally::share_in_danger() const {
  return sum.stripes == 0 ? 0 : static_cast<double>(sum.urgent + sum.lost) / static_cast<double>(sum.stripes);
}

std::vector<const ModeReportFacts*> counted(std::span<const ModeReportFacts> reports, std::uint64_t epoch,
                                            bool by_server) {
  std::map<Digest, const ModeReportFacts*> voices;
  for (const auto& one : reports) {
    if (one.report.epoch != epoch) continue;
    const Digest voice{by_server ? one.report.reporter.bytes : one.report.person.bytes};
    const auto at = voices.try_emplace(voice, &one).first;
    if (one.hash < at->second->hash) at->second = &one;
  }
  std::vector<const ModeReportFacts*> result;
  for (const auto& [voice, one] : voices) result.push_back(one);
  return result;
}

ModeTally tally(std::span<const ModeReportFacts> reports, std::uint64_t epoch, const Electorate& electorate,
                const MendRules& rules) {
  ModeTally sum{.epoch = epoch};
  for (const auto* one : counted(reports, epoch, electorate.by_server)) {
    const auto& report = one->report;
    ++sum.reports;
    sum.threatened += report.threatened;
    sum.calm += report.calm;
    sum.repair_only += report.repair_only;
    sum.sum.stripes += report.facts.stripes;
    sum.sum.tidy += report.facts.tidy;
    sum.sum.due += report.facts.due;
    sum.sum.urgent += report.facts.urgent;
    sum.sum.lost += report.facts.lost;
    sum.sum.stuck += report.facts.stuck;
    sum.sum.fresh += report.facts.fresh;
    sum.sum.left_bytes += report.facts.left_bytes;
    sum.sum.departed = std::max(sum.sum.departed, report.facts.departed);
    sum.sum.servers = std::max(sum.sum.servers, report.facts.servers);
    if (const auto left = report.facts.seconds_left())
      sum.seconds_left = std::max(sum.seconds_left.value_or(0), *left);
  }
  const auto voices = std::max<std::uint64_t>(1, electorate.voices);
  const auto drawn = std::min<std::uint64_t>(rules.reporters, electorate.persons);
  sum.needed = std::max<std::uint64_t>(1, (drawn * electorate.present + 2 * voices - 1) / (2 * voices));
  sum.quorum = electorate.present >= 2 && 2 * electorate.present >= electorate.voices && sum.reports >= sum.needed;
  return sum;
}

ModeState step(ModeState state, const ModeTally& tally, const MendRules& rules) {
  const auto turn = [&](bool repair_only) {
    state.repair_only = repair_only;
    state.since_epoch = tally.epoch;
    state.calm_run = 0;
  };
  state.epoch = tally.epoch;
  if (!tally.quorum) return state;
  const auto others = state.repair_only ? tally.reports - tally.repair_only : tally.repair_only;
  if (3 * others >= 2 * tally.reports) turn(!state.repair_only);
  if (!state.repair_only) {
    if (tally.is_threatened()) turn(true);
    return state;
  }
  state.calm_run = tally.is_calm() ? state.calm_run + 1 : 0;
  if (state.calm_run >= rules.calm_epochs) turn(false);
  return state;
}

}  // namespace spatter
