// How exactly shares are held, how soon everything is silent, and what a foreground program feels: the figures of
// docs/shares.md.
//   bench_shares [--seconds N] [--events N] [--rounds N] [--only shares|silence|slowdown] [--json FILE]
// It judges by what the burning processes wrote down themselves. `--seconds` is for each share; a share's minutes
// are counted only if there are at least 61.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "burners.h"
#include "cycles/share_controller.h"

namespace spatter::cycles {
namespace {

using std::chrono::milliseconds;

struct Options {
  int seconds = 10, events = 20, rounds = 5;
  std::string only, json;
};

void wait_ms(std::int64_t ms) { std::this_thread::sleep_for(milliseconds(ms)); }

struct Extremes {
  double least = 0, most = 0;
};

/// The least and most of a stretch of `ms`, over all stretches, in ms of CPU time.
Extremes sliding(const std::vector<std::int64_t>& course, std::size_t begin, std::size_t end, std::size_t ms) {
  Extremes found{1e18, -1e18};
  for (std::size_t i = begin; i + ms <= end; ++i) {
    const double used = static_cast<double>(course[i + ms] - course[i]) / 1e6;
    found = {std::min(found.least, used), std::max(found.most, used)};
  }
  return found;
}

std::unique_ptr<ShareKeeper> controller() {
  auto made = make_share_controller(make_processes());
  SPATTER_ASSERT(made);
  return std::move(*made);
}

std::string shares(const Options& options) {
  struct Setting {
    const char* name;
    SharePpm share;
    unsigned processes, threads;
  };
  const Setting settings[] = {{"5 % of one core", 50'000, 1, 1},      {"20 % of one core", 200'000, 1, 1},
                              {"80 % of one core", 800'000, 1, 1},    {"5 % of two cores", 100'000, 2, 4},
                              {"20 % of two cores", 400'000, 2, 4},   {"80 % of two cores", 1'600'000, 2, 4}};
  std::printf("%-18s %10s %22s %14s %12s\n", "share set", "average %", "any minute %", "over in 1 s ms", "cost %");
  std::string json;
  for (const Setting& setting : settings) {
    auto keeper = controller();
    Burners burners(setting.processes, setting.threads, milliseconds(options.seconds * 1000 + 2000));
    for (const pid_t pid : burners.pids()) SPATTER_ASSERT(keeper->add(WorkClass::pledged, pid));
    wait_ms(300);
    SPATTER_ASSERT(keeper->set_share(WorkClass::pledged, setting.share));
    const auto begin = static_cast<std::size_t>((clock_ns(CLOCK_MONOTONIC) - burners.start_ns()) / 1'000'000);
    const std::int64_t cost = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    wait_ms(options.seconds * 1000);
    const double cost_share =
        static_cast<double>(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cost) / 1e7 / options.seconds;
    const auto end = static_cast<std::size_t>((clock_ns(CLOCK_MONOTONIC) - burners.start_ns()) / 1'000'000);
    const auto course = burners.course();
    const double average = static_cast<double>(course[end] - course[begin]) / 1e4 / static_cast<double>(end - begin);
    const Extremes second = sliding(course, begin, end, 1000);
    Extremes minute = sliding(course, begin, end, 60'000);
    const bool minutes = end - begin >= 60'000;
    const double over = second.most - static_cast<double>(setting.share) / 1000;
    std::printf("%-18s %10.4f %10s %10s %14.2f %12.3f\n", setting.name, average,
                minutes ? fmt::format("{:.4f}", minute.least / 600).c_str() : "-",
                minutes ? fmt::format("{:.4f}", minute.most / 600).c_str() : "-", over, cost_share);
    std::fflush(stdout);
    json += fmt::format("{}{{\"share_ppm\":{},\"average_ppm\":{:.0f},\"over_in_second_ms\":{:.3f},\"controller_cpu_percent\":{:.4f}",
                        json.empty() ? "" : ",", setting.share, average * 1e4, over, cost_share);
    if (minutes)
      json += fmt::format(",\"minute_least_ppm\":{:.0f},\"minute_most_ppm\":{:.0f}", minute.least / 600 * 1e4,
                          minute.most / 600 * 1e4);
    json += "}";
  }
  return "\"shares\":[" + json + "]";
}

struct Quantiles {
  double p50, p95, most;
};
Quantiles quantiles(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double part) {
    return values[std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())))];
  };
  return {at(0.5), at(0.95), values.back()};
}

std::string told(const char* name, const std::vector<double>& values) {
  const Quantiles q = quantiles(values);
  std::printf("%-44s %8.3f %8.3f %8.3f\n", name, q.p50, q.p95, q.most);
  std::fflush(stdout);
  return fmt::format("{{\"event\":\"{}\",\"p50_ms\":{:.3f},\"p95_ms\":{:.3f},\"max_ms\":{:.3f}}}", name, q.p50, q.p95,
                     q.most);
}

/// `event` is what should silence everything; ms from it to the last instruction of `burners`.
template <class Event, class Undo>
std::vector<double> silence_after(const Burners& burners, int events, Event event, Undo undo) {
  std::vector<double> times;
  for (int i = 0; i < events; ++i) {
    wait_ms(150 + 7 * (i % 11));
    const std::int64_t at = clock_ns(CLOCK_MONOTONIC);
    event();
    wait_ms(250);
    times.push_back(static_cast<double>(std::max(burners.last_ns(), at) - at) / 1e6);
    undo();
  }
  return times;
}

std::string silence(const Options& options) {
  std::printf("%-44s %8s %8s %8s\n", "time to silence, 8 threads, ms", "p50", "p95", "most");
  std::string json;
  auto keeper = controller();
  Burners filler(1, 8, milliseconds(0));
  for (const pid_t pid : filler.pids()) SPATTER_ASSERT(keeper->add(WorkClass::filler, pid));
  SPATTER_ASSERT(keeper->set_share(WorkClass::filler, 2'000'000));
  json += told("told to halt", silence_after(filler, options.events, [&] { keeper->halt(WorkClass::filler); },
                                             [&] { keeper->allow(WorkClass::filler); }));
  {
    // All cores are promised while the burst lasts, so that nothing of the filler may come back in its gaps.
    SPATTER_ASSERT(keeper->set_share(WorkClass::pledged, 2'000'000));
    Burners pledged(1, 2, milliseconds(0));
    keeper->halt(WorkClass::pledged);
    for (const pid_t pid : pledged.pids()) SPATTER_ASSERT(keeper->add(WorkClass::pledged, pid));
    json += "," + told("a pledged burst begins",
                       silence_after(filler, options.events, [&] { keeper->allow(WorkClass::pledged); },
                                     [&] { keeper->halt(WorkClass::pledged); }));
  }
  return "\"silence\":[" + json + "]";
}

std::string slowdown(const Options& options) {
  auto keeper = controller();
  Burners filler(1, 8, milliseconds(0));
  for (const pid_t pid : filler.pids()) SPATTER_ASSERT(keeper->add(WorkClass::filler, pid));
  keeper->halt(WorkClass::filler);
  SPATTER_ASSERT(keeper->set_share(WorkClass::filler, 1'600'000));
  Burners foreground(1, 2, milliseconds(0));
  wait_ms(200);
  const auto rate = [&](bool beside) {
    if (beside) keeper->allow(WorkClass::filler);
    wait_ms(20);
    const std::uint64_t work = foreground.work();
    const std::int64_t from = clock_ns(CLOCK_MONOTONIC);
    wait_ms(1000);
    const double got = static_cast<double>(foreground.work() - work) /
                       static_cast<double>(clock_ns(CLOCK_MONOTONIC) - from);
    keeper->halt(WorkClass::filler);
    return got;
  };
  std::vector<double> lost;
  for (int i = 0; i < options.rounds; ++i) {
    const double before = rate(false);
    const double beside = rate(true);
    const double after = rate(false);
    lost.push_back(100 * (1 - beside / ((before + after) / 2)));
  }
  const Quantiles q = quantiles(lost);
  std::printf("slow-down of 2 busy foreground threads beside 8 idle-class ones: median %.3f %%\n", q.p50);
  return fmt::format("\"slowdown_percent\":{:.3f}", q.p50);
}

int run(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) {
      std::fprintf(stderr, "%s needs a value\n", argv[i]);
      return 2;
    }
    const char* value = argv[i + 1];
    if (name == "--only") options.only = value;
    else if (name == "--json") options.json = value;
    else if (name == "--seconds" || name == "--events" || name == "--rounds") {
      const int number = std::atoi(value);
      if (number < 1) {
        std::fprintf(stderr, "%s %s: not a positive number\n", argv[i], value);
        return 2;
      }
      (name == "--seconds" ? options.seconds : name == "--events" ? options.events : options.rounds) = number;
    } else {
      std::fprintf(stderr, "unknown option %s\n", argv[i]);
      return 2;
    }
  }
  std::printf("held by %s\n", controller()->describe().c_str());
  std::string json;
  const auto part = [&](const char* name, auto measure) {
    if (!options.only.empty() && options.only != name) return;
    json += (json.empty() ? "" : ",") + measure(options);
  };
  part("shares", shares);
  part("silence", silence);
  part("slowdown", slowdown);
  if (!options.json.empty()) std::ofstream(options.json) << "{" << json << "}\n";
  return 0;
}

}  // namespace
}  // namespace spatter::cycles

int main(int argc, char** argv) { return spatter::cycles::run(argc, argv); }
