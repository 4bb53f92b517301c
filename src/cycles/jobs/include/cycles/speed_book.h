// How fast others compute, by their results alone: verified fuel over the time that passed here, per server
// and kind of work, older results counting less and less. And what is foretold from that, with how far
// earlier forecasts were off.
//
// Nothing that a server says of itself is read. All calls on one thread; pure but for what it remembers.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"

namespace spatter {

/// The kind of a piece's work: a module's hash in hexadecimal digits, or a tool's name and what it makes. Speeds of
/// different kinds don't compare: the same fuel takes more time here than there.
using WorkKind = std::string;

struct Forecast {
  double p50_s = 0;  ///< as likely earlier as later
  double p90_s = 0;  ///< nine of ten are earlier
  bool operator==(const Forecast&) const = default;
};

/// A forecast and what came of it.
struct ForecastError {
  WorkKind kind;
  Forecast forecast;
  double actual_s = 0;
};

struct Accuracy {
  std::uint64_t forecasts = 0;      ///< that ended
  double median_error = 0;          ///< median of |actual - p50| / actual
  double within = 0;                ///< share within max(2 s, 20 %) of p50
  double below_p90 = 0;             ///< share that took no longer than p90
};

class SpeedBook {
 public:
  /// A result that was found right, or is believed: `seconds` from when the worker could begin until it
  /// had committed, transfers taken off.
  void record(const ServerId& server, const WorkKind& kind, std::uint64_t fuel, double seconds);

  /// Fuel per second. Of a kind that the server has never done: what it does of others, scaled by how the
  /// kinds compare at servers that have done both. nullopt: nothing is known of it, or of the kind.
  std::optional<double> fuel_per_s(const ServerId& server, const WorkKind& kind) const;

  /// For computing alone. `latency_s` and `transfer_s` are added as they are. nullopt as of fuel_per_s.
  std::optional<Forecast> forecast(const ServerId& server, const WorkKind& kind, std::uint64_t fuel,
                                   double latency_s, double transfer_s) const;
  void ended(ForecastError error);

  /// What pieces of a kind came to. For pieces of a job none of which is done yet.
  void came_to(const WorkKind& kind, std::uint64_t bytes, std::uint64_t fuel);
  /// By the bytes of input where there were any. nullopt: none was done yet.
  std::optional<std::uint64_t> fuel_of(const WorkKind& kind, std::uint64_t bytes) const;

  Accuracy accuracy(const std::optional<WorkKind>& kind = {}) const;
  const std::deque<ForecastError>& errors() const { return errors_; }

  /// What there is of a server, for reports and the database.
  struct Entry {
    double fuel = 0;     ///< decayed
    double seconds = 0;  ///< decayed
    std::uint64_t results = 0;
  };
  const std::map<std::pair<ServerId, WorkKind>, Entry>& entries() const { return entries_; }
  void put(const ServerId& server, const WorkKind& kind, Entry entry);

  struct Costs {
    double fuel = 0, bytes = 0, pieces = 0;  ///< decayed
  };
  const std::map<WorkKind, Costs>& costs() const { return costs_; }
  void put(const WorkKind& kind, Costs costs) { costs_[kind] = costs; }

  static constexpr double decay = 0.85;            ///< of all earlier results at each new one
  static constexpr std::size_t errors_max = 4096;  ///< the newest are kept

 private:
  double spread_of(const WorkKind& kind) const;

  std::map<std::pair<ServerId, WorkKind>, Entry> entries_;
  std::map<WorkKind, Costs> costs_;
  std::map<WorkKind, std::deque<double>> ratios_;  ///< actual over forecast p50, the newest
  std::deque<ForecastError> errors_;
};

/// When a job will be done that has these pieces left: every worker takes the next piece when it is free
/// (list scheduling). `busy_s`: when each worker will be free; `piece_s`: how long each takes for one piece.
/// `pieces` counts copies. Workers with nothing known have no place here.
double schedule_end(std::vector<double> busy_s, const std::vector<double>& piece_s, std::uint64_t pieces);

}  // namespace spatter
