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
    const double third = static_cast<double>(facts.partners) / 3 / static_cast<double>(facts.departed) * window;
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
  body.set_partners(report.facts.partners);
  body.set_departed(report.facts.departed);
  body.set_threatened(report.threatened);
  body.set_calm(report.calm);
  body.set_repair_only(report.repair_only);
  body.set_made_ms(static_cast<std::uint64_t>(report.made_ms));
  return sign_message(server_key, kind::mode_report, body);
}

Result<ModeReport> read_mode_report(std::string_view body, const NetworkId& network) {
  wire::ModeReport message;
  if (body.size() > mode_report_bytes_max)
    return fail(Errc::invalid, "a mode report of {} bytes: {} are allowed", body.size(), mode_report_bytes_max);
  if (!message.ParseFromArray(body.data(), static_cast<int>(body.size())))
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
                  .helpers = message.helpers(), .partners = message.partners(), .departed = message.departed()};
  const auto& facts = report.facts;
  for (const auto figure : {facts.stripes, facts.tidy, facts.due, facts.urgent, facts.lost, facts.left_bytes,
                            facts.repair_bytes_per_s, facts.helpers, facts.partners, report.epoch, message.made_ms()})
    if (figure > mode_figure_max) return wrong("a figure is beyond all bounds");
  if (facts.tidy + facts.due + facts.urgent + facts.lost > facts.stripes) return wrong("more stripes in danger than there are");
  if (facts.stuck > facts.urgent || facts.fresh > facts.stuck + facts.lost || facts.departed > facts.partners)
    return wrong("its figures contradict each other");
  report.threatened = message.threatened();
  report.calm = message.calm();
  if (report.threatened && report.calm) return wrong("it is calm and threatened at once");
  report.repair_only = message.repair_only();
  report.made_ms = static_cast<WallMs>(message.made_ms());
  return report;
}

Result<ModeReportFacts> check_mode_report(const wire::Signed& record, const NetworkId& network) {
  if (const auto bytes = record.ByteSizeLong(); bytes > mode_report_bytes_max)
    return fail(Errc::invalid, "a mode report of {} bytes: {} are allowed", bytes, mode_report_bytes_max);
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
  return is_reporter(output, rules, persons - std::min(persons, persons / 20 + 1));
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

namespace {

/// Of an even number the lower one; of none, nothing.
template <class T>
std::optional<T> median(std::vector<T> values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

std::uint64_t divide_up(std::uint64_t part, std::uint64_t by) { return (part + by - 1) / by; }

/// What people are shown: whatever one reporter says, it is not he who decides what they read.
void sum_up(ModeTally& sum, std::span<const ModeReportFacts* const> reports) {
  std::vector<double> shares, left;
  std::vector<std::uint64_t> stripes, partners, departed;
  for (const auto* one : reports) {
    const auto& facts = one->report.facts;
    shares.push_back(static_cast<double>(facts.urgent + facts.lost) / static_cast<double>(facts.stripes));
    if (const auto seconds = facts.seconds_left()) left.push_back(*seconds);
    stripes.push_back(facts.stripes);
    partners.push_back(facts.partners);
    departed.push_back(facts.departed);
  }
  sum.share_in_danger = median(shares).value_or(0);
  sum.seconds_left = median(left);
  sum.sum.partners = median(partners).value_or(0);
  sum.sum.departed = median(departed).value_or(0);
  const auto most = 4 * median(stripes).value_or(0);
  for (const auto* one : reports) {
    const auto& facts = one->report.facts;
    const auto add = [&](std::uint64_t ModeFacts::*figure) {
      sum.sum.*figure += facts.stripes <= most ? facts.*figure
                                               : static_cast<std::uint64_t>(Wide{facts.*figure} * most / facts.stripes);
    };
    for (const auto figure : {&ModeFacts::stripes, &ModeFacts::tidy, &ModeFacts::due, &ModeFacts::urgent, &ModeFacts::lost,
                              &ModeFacts::stuck, &ModeFacts::fresh, &ModeFacts::left_bytes})
      add(figure);
  }
}

}  // namespace

ModeTally tally(std::span<const ModeReportFacts> reports, std::uint64_t epoch, const Electorate& electorate,
                const MendRules& rules) {
  ModeTally sum{.epoch = epoch};
  auto votes = counted(reports, epoch, electorate.by_server);
  sum.abstained = std::erase_if(votes, [](const auto* one) { return one->report.facts.stripes == 0; });
  sum.reports = votes.size();
  for (const auto* one : votes) {
    sum.threatened += one->report.threatened;
    sum.calm += one->report.calm;
    sum.repair_only += one->report.repair_only;
  }
  sum_up(sum, votes);
  const auto voices = std::max<std::uint64_t>(1, electorate.voices);
  const auto drawn = electorate.by_server ? voices : std::min<std::uint64_t>(rules.reporters, electorate.persons);
  // In parts of a voice: what can be expected, and that without those who abstained.
  const auto expected = drawn * electorate.present;
  const auto rest = expected - std::min(expected, sum.abstained * voices);
  sum.needed = divide_up(rest, 2 * voices);
  sum.needed_to_begin = std::max({std::uint64_t{1}, sum.needed, divide_up(expected, 4 * voices)});
  sum.quorum = 2 * electorate.present >= voices && (electorate.present >= 2 || voices == 1) && sum.reports >= sum.needed &&
               sum.reports + sum.abstained > 0;
  sum.majority = electorate.present >= 2 && 2 * electorate.present >= std::max(electorate.known, voices);
  return sum;
}

ModeState step(ModeState state, const ModeTally& tally, const MendRules& rules) {
  if (!tally.quorum) return state;
  state.epoch = tally.epoch;
  const auto turn = [&](bool repair_only) {
    state.repair_only = repair_only;
    state.since_epoch = tally.epoch;
    state.calm_run = 0;
  };
  const auto others = state.repair_only ? tally.reports - tally.repair_only : tally.repair_only;
  const auto enough = state.repair_only ? std::max<std::uint64_t>(1, tally.needed) : tally.needed_to_begin;
  if (tally.reports >= std::max<std::uint64_t>(1, enough) && 3 * others >= 2 * tally.reports) turn(!state.repair_only);
  if (!state.repair_only) {
    if (tally.is_threatened()) turn(true);
    return state;
  }
  state.calm_run = tally.is_calm() ? state.calm_run + 1 : 0;
  if (state.calm_run >= rules.calm_epochs) turn(false);
  return state;
}

}  // namespace spatter
