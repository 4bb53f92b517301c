#include "node/mode_words.h"

#include <algorithm>

namespace spatter {
namespace {

std::string time_left(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
  if (whole < 90) return fmt::format("{} s", std::max<std::uint64_t>(1, whole));
  if (whole < 5400) return fmt::format("{} min", (whole + 30) / 60);
  if (whole < 2 * 86400) return fmt::format("{} h", (whole + 1800) / 3600);
  return fmt::format("{} days", (whole + 43200) / 86400);
}

double percent(std::uint32_t ppm) { return static_cast<double>(ppm) / 10'000; }

}  // namespace

std::string mode_progress(const ModeStatus& status) {
  auto text = fmt::format("{:.1f}% of the stripes that a typical reporter sees are in danger", 100 * status.tally.share_in_danger);
  const auto waiting = status.waiting();
  if (status.waiting_most > 0)
    text += fmt::format(", {} of {} that wait are rebuilt", status.waiting_most - std::min(waiting, status.waiting_most),
                        status.waiting_most);
  if (waiting > 0)
    text += status.tally.seconds_left && *status.tally.seconds_left > 0
                ? fmt::format(", about {} are left", time_left(*status.tally.seconds_left))
                : ", how long it takes is not known yet";
  return text;
}

std::string mode_reason(const ModeStatus& status, const MendRules& rules) {
  const auto& tally = status.tally;
  if (tally.epoch == 0 && !tally.quorum)
    return fmt::format("No epoch has been judged here yet; {} of {} that have a voice are present.", status.electorate.present,
                       status.electorate.voices);
  if (!tally.quorum)
    return fmt::format("In epoch {} there were {} reports, {} are needed, and {} of {} that have a voice were present: too few to "
                       "change anything.",
                       tally.epoch, tally.reports, tally.needed, status.electorate.present, status.electorate.voices);
  if (tally.reports == 0)
    return fmt::format("In epoch {} all {} reports were by servers that see no stripes: nothing can be in danger.", tally.epoch,
                       tally.abstained);
  if (!status.state.repair_only && !tally.majority)
    return fmt::format("In epoch {}, {} of {} reports said that the network is threatened; nothing begins while fewer than half of "
                       "the {} that are known are present: {} are.",
                       tally.epoch, tally.threatened, tally.reports, std::max(status.electorate.known, status.electorate.voices),
                       status.electorate.present);
  if (!status.state.repair_only)
    return fmt::format("In epoch {}, {} of {} reports said that the network is threatened; two thirds would end serving.",
                       tally.epoch, tally.threatened, tally.reports);
  if (status.state.calm_run > 0)
    return fmt::format("In epoch {}, {} of {} reports said that the danger is over; {} of {} such epochs in a row have passed.",
                       tally.epoch, tally.calm, tally.reports, status.state.calm_run, rules.calm_epochs);
  return fmt::format("In epoch {}, {} of {} reports said that more than {:.4g}% of the stripes are in danger, or that servers leave "
                     "faster than repair follows. It ends when two thirds say, in {} epochs in a row, that it is {:.4g}% or less.",
                     tally.epoch, tally.threatened, tally.reports, percent(rules.urgent_ppm), rules.calm_epochs,
                     percent(rules.calm_ppm));
}

std::string mode_cause(const ModeStatus& status) {
  if (!status.state.repair_only || !status.cause) return {};
  const auto& began = *status.cause;
  if (3 * began.threatened < 2 * began.reports)
    return fmt::format("This server took it on in epoch {}: {} of {} reporters were in it already.", began.epoch, began.repair_only,
                       began.reports);
  return fmt::format("It began in epoch {}, by {} of {} reports; {} urgent and {} lost of {} stripes were seen, {:.1f}% by a typical "
                     "reporter.",
                     began.epoch, began.threatened, began.reports, began.sum.urgent, began.sum.lost, began.sum.stripes,
                     100 * began.share_in_danger);
}

std::string mode_over(const ModeStatus& status) {
  const auto helpless = status.tally.sum.lost + status.tally.sum.stuck;
  std::string text = "The network serves again: what can be rebuilt now is hardly in danger any more";
  if (helpless > 0) text += ", but reporters see stripes that wait for machines that are off or for room";
  return text + ".";
}

std::string mode_refusal(const ModeStatus& status) {
  return fmt::format("the network only mends now (repair-only), because too much of what it keeps is in danger, and no file is read or "
                     "written until that is over: {}. More servers help at once: spatter invite. What this machine has whole: "
                     "spatter get --local",
                     mode_progress(status));
}

std::string mode_notice(const ModeStatus& status) {
  return fmt::format("The network only mends now (repair-only): {}. More servers help: spatter invite.", mode_progress(status));
}

std::string mode_help() {
  return "The network only mends now: whoever joins with this link helps at once, and new holders are what it needs most.";
}

}  // namespace spatter
