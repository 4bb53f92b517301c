// How exactly shares are held, how soon everything is silent, and what a foreground program feels: the figures of
// docs/shares.md.
//   bench_shares [--seconds N] [--events N] [--rounds N] [--only shares|silence|slowdown] [--settings LIST] [--json FILE]
// It judges by what the burning processes wrote down themselves. `--seconds` is for each share; a share's minutes
// are counted only if there are at least 61. `--settings 0+1+3,5` measures 0, 1 and 3 of the table at the same
// time, then 5; without it all are measured one after the other. `--nice N` sets how nice the burning processes are: -19
// measures the law on a machine whose cores others want too. "In one turn" is the longest that a thread's CPU clock went on
// between two turns of some microseconds: a virtual processor that its host holds up seems to be used, and no stop prevents that.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>

#include "burners.h"
#include "cycles/governor.h"
#include "cycles/share_controller.h"
#include "descriptor.h"
#include "x11_connection.h"

namespace spatter::cycles {
namespace {

using std::chrono::milliseconds;

struct Options {
  int seconds = 10, events = 20, rounds = 5, nice = 0;
  std::string only, json, settings = "0,1,2,3,4,5,6";
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

struct Setting {
  const char* name;
  SharePpm share;
  unsigned processes, threads, asleep = 0;  ///< `asleep` more threads in each process
};
constexpr Setting settings[] = {{"5 % of one core", 50'000, 1, 1},   {"20 % of one core", 200'000, 1, 1},
                                {"80 % of one core", 800'000, 1, 1}, {"5 % of two cores", 100'000, 2, 4},
                                {"20 % of two cores", 400'000, 2, 4}, {"80 % of two cores", 1'600'000, 2, 4},
                                {"one core, one busy", 1'000'000, 1, 1, 3}};

struct Measured {
  const Setting* setting;
  std::string line, json;
};

Measured measure_share(const Setting& setting, int seconds, int nice) {
  auto keeper = controller();
  Burners burners(setting.processes, setting.threads, milliseconds(seconds * 1000 + 2000), nice, setting.asleep);
  for (const pid_t pid : burners.pids()) SPATTER_ASSERT(keeper->add(WorkClass::pledged, pid));
  wait_ms(300);
  SPATTER_ASSERT(keeper->set_share(WorkClass::pledged, setting.share));
  const auto ms = [&] { return static_cast<std::size_t>((clock_ns(CLOCK_MONOTONIC) - burners.start_ns()) / 1'000'000); };
  const std::size_t begin = ms();
  wait_ms(seconds * 1000);
  const std::size_t end = ms();
  keeper->halt(WorkClass::pledged);
  const auto course = burners.course();
  const double turn = static_cast<double>(burners.longest_turn_ns()) / 1e6;
  const double average = static_cast<double>(course[end] - course[begin]) / 1e4 / static_cast<double>(end - begin);
  const double over = sliding(course, begin, end, 1000).most - static_cast<double>(setting.share) / 1000;
  std::string minutes = "         -          -", json;
  if (end - begin >= 60'000) {
    const Extremes minute = sliding(course, begin, end, 60'000);
    minutes = fmt::format("{:10.4f} {:10.4f}", minute.least / 600, minute.most / 600);
    json = fmt::format(",\"minute_least_ppm\":{:.0f},\"minute_most_ppm\":{:.0f}", minute.least / 600 * 1e4,
                       minute.most / 600 * 1e4);
  }
  return {&setting, fmt::format("{:<18} {:10.4f} {} {:14.2f} {:14.2f}", setting.name, average, minutes, over, turn),
          fmt::format("{{\"share_ppm\":{},\"average_ppm\":{:.0f},\"over_in_second_ms\":{:.3f},\"longest_turn_ms\":{:.3f}{}}}",
                      setting.share, average * 1e4, over, turn, json)};
}

/// "0+1,2" to {{0, 1}, {2}}; empty when it is no such list.
std::vector<std::vector<std::size_t>> together(const std::string& list) {
  std::vector<std::vector<std::size_t>> groups(1);
  for (std::size_t i = 0; i < list.size(); i += 2) {
    const std::size_t number = static_cast<std::size_t>(list[i] - '0');
    if (number >= std::size(settings)) return {};
    groups.back().push_back(number);
    if (i + 1 == list.size()) return groups;
    if (list[i + 1] == ',') groups.emplace_back();
    else if (list[i + 1] != '+') return {};
  }
  return {};
}

std::string shares(const Options& options) {
  std::printf("%-18s %10s %21s %14s %14s\n", "share set", "average %", "any minute %", "over in 1 s ms",
              "in one turn ms");
  std::string json;
  for (const auto& group : together(options.settings)) {
    const std::int64_t cost = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    std::vector<Measured> measured(group.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < group.size(); ++i)
      threads.emplace_back([&, i] { measured[i] = measure_share(settings[group[i]], options.seconds, options.nice); });
    for (auto& thread : threads) thread.join();
    const double cost_percent = static_cast<double>(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cost) / 1e7 / options.seconds;
    for (const Measured& one : measured) {
      std::printf("%s\n", one.line.c_str());
      json += (json.empty() ? "" : ",") + one.json;
    }
    std::printf("  holding these took at most %.2f %% of a core\n", cost_percent);  // with the sums made at the end
    std::fflush(stdout);
  }
  return "\"shares\":[" + json + "]";
}

struct Quantiles {
  double p50, p95, most;
};
Quantiles quantiles(std::vector<double> values) {
  if (values.empty()) return {-1, -1, -1};
  std::ranges::sort(values);
  const auto at = [&](double part) {
    return values[std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())))];
  };
  return {at(0.5), at(0.95), values.back()};
}

std::string told(const char* name, const std::vector<double>& values) {
  const Quantiles q = quantiles(values);
  std::printf("%-44s %8.3f %8.3f %8.3f  of %zu\n", name, q.p50, q.p95, q.most, values.size());
  std::fflush(stdout);
  return fmt::format("{{\"event\":\"{}\",\"events\":{},\"p50_ms\":{:.3f},\"p95_ms\":{:.3f},\"max_ms\":{:.3f}}}", name, values.size(),
                     q.p50, q.p95, q.most);
}

/// `event` is what should silence everything; ms from it to the last instruction of `burners`.
template <class Event, class Undo>
std::vector<double> silence_after(const Burners& burners, int events, Event event, Undo undo) {
  std::vector<double> times;
  for (int i = 0; i < events; ++i) {
    wait_ms(150 + 7 * (i % 11));
    // On a machine that is busy otherwise idle-class work may not run at all: then there is nothing to silence.
    std::int64_t at = clock_ns(CLOCK_MONOTONIC);
    for (int tries = 0; tries < 2000 && at - burners.last_ns() > 3'000'000; ++tries) {
      wait_ms(1);
      at = clock_ns(CLOCK_MONOTONIC);
    }
    if (at - burners.last_ns() > 3'000'000) continue;
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
  keeper.reset();
  const auto govern = [&](std::unique_ptr<PresenceSource> source) {
    std::vector<std::unique_ptr<PresenceSource>> sources;
    sources.push_back(std::move(source));
    // As quiet as it takes for the work to be back before the next event.
    auto made = make_governor(controller(), std::move(sources),
                              {.filler = {2'000'000, GovernorPolicy::When::idle}, .quiet = milliseconds(270)}, [] {});
    SPATTER_ASSERT(made);
    return std::move(*made);
  };
  {
    char folder[] = "/tmp/spatter-shares-XXXXXX";
    SPATTER_ASSERT(::mkdtemp(folder));
    const std::string device = std::string(folder) + "/event0";
    SPATTER_ASSERT(::mkfifo(device.c_str(), 0600) == 0);
    const Descriptor keyboard(::open(device.c_str(), O_RDWR | O_NONBLOCK));
    {
      Burners more(1, 8, milliseconds(0));
      auto governor = govern(input_devices(folder));
      for (const pid_t pid : more.pids()) SPATTER_ASSERT(governor->add_filler(pid));
      json += "," + told("an input device's event", silence_after(more, options.events, [&] {
                           SPATTER_ASSERT(::write(keyboard.get(), "key", 3) == 3);
                         }, [] { wait_ms(100); }));
    }
    ::unlink(device.c_str());
    ::rmdir(folder);
  }
  const char* display = std::getenv("DISPLAY");
  auto hands = X11Connection::open(display ? display : "", "", milliseconds(200));
  const std::uint8_t xtest = hands ? (*hands)->extension("XTEST").value_or(0) : 0;
  if (xtest == 0) {
    std::printf("no X server with XTEST at DISPLAY: not measured (xvfb-run makes one)\n");
  } else {
    Burners more(1, 8, milliseconds(0));
    auto governor = govern(x11(display));
    for (const pid_t pid : more.pids()) SPATTER_ASSERT(governor->add_filler(pid));
    json += "," + told("a key at an X server", silence_after(more, options.events, [&] {
                         std::string event("\2\46", 2);  // KeyPress of key 38
                         event.resize(32);
                         SPATTER_ASSERT((*hands)->send(xtest, 2, event));
                         event[0] = 3;
                         SPATTER_ASSERT((*hands)->send(xtest, 2, event));
                       }, [] { wait_ms(100); }));
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
  double filler_used = 0, governor_used = 0;  // in the time beside, % of both cores
  const auto used = [&] { return static_cast<double>(keeper->report(WorkClass::filler).used.count()); };
  for (int i = 0; i < options.rounds; ++i) {
    const double before = rate(false);
    filler_used -= used();
    governor_used -= static_cast<double>(clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    const double beside = rate(true);
    governor_used += static_cast<double>(clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    filler_used += used();
    const double after = rate(false);
    lost.push_back(100 * (1 - beside / ((before + after) / 2)));
  }
  const Quantiles q = quantiles(lost);
  std::printf("slow-down of 2 busy foreground threads beside 8 idle-class ones: median %.3f %%; those took %.3f %%, stopping them %.3f %%\n",
              q.p50, filler_used / 2e7 / options.rounds, governor_used / 2e7 / options.rounds);
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
    else if (name == "--settings") options.settings = value;
    else if (name == "--nice") options.nice = std::atoi(value);
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
  if (together(options.settings).empty()) {
    std::fprintf(stderr, "--settings %s: not a list of 0 to %zu joined by , and +\n", options.settings.c_str(),
                 std::size(settings) - 1);
    return 2;
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
