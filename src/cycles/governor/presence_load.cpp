// Other programs' load: somebody compiles, plays a film or a game without touching anything.
#include <unistd.h>

#include <charconv>
#include <deque>
#include <fstream>
#include <sstream>

#include "cycles/user_presence.h"

namespace spatter::cycles {

namespace {

constexpr Duration sample_every = std::chrono::milliseconds(250);
constexpr std::size_t samples_kept = 3;

class OtherLoad : public PresenceSource {
 public:
  OtherLoad(double cores_above, std::function<Duration()> ours, std::string stat)
      : cores_above_(cores_above), ours_(std::move(ours)), stat_(std::move(stat)) {}
  std::string_view name() const override { return "other programs"; }
  void open(TimePoint) override { samples_.clear(); }
  std::vector<pollfd> watched() override { return {}; }
  Duration poll_every() const override { return sample_every; }

  Sighting look(TimePoint now) override {
    const auto sample = read();
    if (!sample) return {.last_seen = last_seen_, .what = stat_ + " cannot be read", .works = false};
    samples_.push_back(*sample);
    if (samples_.size() > samples_kept) samples_.pop_front();
    const Sample& first = samples_.front();
    const Duration passed = (sample->all - first.all) / std::max(1U, sample->cores);
    if (passed <= Duration(0)) return {.last_seen = last_seen_, .what = "not measured yet", .works = true};
    const Duration others = sample->busy - first.busy - (sample->ours - first.ours);
    const double cores = std::max(0.0, static_cast<double>(others.count()) / static_cast<double>(passed.count()));
    const bool busy = samples_.size() == samples_kept && cores > cores_above_;
    if (busy) last_seen_ = now;
    return {.last_seen = last_seen_, .active_now = busy, .what = fmt::format("they use {:.2f} cores", cores), .works = true};
  }

 private:
  struct Sample {
    Duration all{0}, busy{0};  ///< of all cores together; both stand still while the machine sleeps
    Duration ours{0};
    unsigned cores = 0;
  };

  std::optional<Sample> read() const {
    std::ifstream file(stat_);
    Sample sample;
    bool found = false;
    for (std::string line; std::getline(file, line) && line.starts_with("cpu");) {
      std::istringstream fields(line);
      std::string cpu;
      fields >> cpu;
      if (cpu != "cpu") {
        ++sample.cores;
        continue;
      }
      // user nice system idle iowait irq softirq steal; guests are counted in user.
      std::int64_t ticks = 0, all = 0, not_busy = 0;
      for (int field = 0; field < 8 && fields >> ticks; ++field) {
        all += ticks;
        if (field == 3 || field == 4 || field == 7) not_busy += ticks;
      }
      const std::int64_t tick_ns = 1'000'000'000 / ::sysconf(_SC_CLK_TCK);
      sample.all = Duration(all * tick_ns);
      sample.busy = Duration((all - not_busy) * tick_ns);
      found = all > 0;
    }
    if (!found) return std::nullopt;
    sample.ours = ours_();
    return sample;
  }

  const double cores_above_;
  const std::function<Duration()> ours_;
  const std::string stat_;
  std::deque<Sample> samples_;
  std::optional<TimePoint> last_seen_;
};

}  // namespace

std::unique_ptr<PresenceSource> other_load(double cores_above, std::function<Duration()> ours, std::string stat) {
  return std::make_unique<OtherLoad>(cores_above, std::move(ours), std::move(stat));
}

}  // namespace spatter::cycles
