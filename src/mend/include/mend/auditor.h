// Audits: in every epoch this server has others show leaves of what they keep together with it or for it,
// answers those who ask it, tells those concerned what it found, and hears what they found.
//
// A leaf is shown with its Merkle proof against the root that the owner signed, so a right answer proves
// itself. A wrong or missing one makes the shard lost here at once; no answer in time does so the third
// time. What another auditor reports is looked into here before anything follows from it: one who lies
// gets noted down, and moves nothing.
//
// A holder that fetches leaves from others when asked has them when asked: it is not caught as long as it
// is quick enough (audit_timeout), and it pays a shard's transfer for each leaf it lacks, k leaves from k
// others.
//
// All calls on the executor; the parts outlive it; await stop() before it dies. Nothing is durable: the
// schedule follows from the epoch.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/sync.h"
#include "mend/audit_plan.h"
#include "mend/mender.h"
#include "spatter/stripe_table.h"

namespace spatter {

inline constexpr std::size_t challenges_max = 64;  ///< in one request

struct AuditOptions {
  Duration timeout = std::chrono::seconds(15);  ///< for at most challenges_max leaves
  std::uint32_t period_epochs = audit_period_epochs;
};

struct AuditCounts {
  std::uint64_t asked = 0, right = 0, wrong = 0, missing = 0, late = 0;
  AuditCounts& operator+=(const AuditCounts& other);
};

struct AuditSummary {
  std::uint64_t epoch = 0;
  AuditCounts all;                  ///< since the start
  struct Holder {
    AuditCounts counts;
    std::uint64_t shards = 0;       ///< known at it, as of the last audit
    std::uint64_t last_epoch = 0;
    AuditCounts by_others;          ///< what others reported of it, of the last period
  };
  std::map<ServerId, Holder> holders;
  struct Other {
    std::uint64_t reports = 0;
    std::uint64_t contradicted = 0; ///< failures it reported that could not be found here
  };
  std::map<ServerId, Other> auditors;
  std::uint64_t shown = 0;          ///< leaves shown to others
  std::uint64_t shown_bytes = 0;    ///< with their proofs
  std::uint64_t not_shown = 0;      ///< asked for, and not here or damaged
};

class Auditor {
 public:
  struct Parts {
    Runtime& runtime;
    Rpc& rpc;
    Members& members;
    ShardStore& shards;
    const Identity& identity;
    StripeTable& table;               ///< own stripes
    Mender& mender;                   ///< stripes kept together with others
    std::function<std::uint64_t()> epoch;
    std::function<TimePoint()> next_epoch;  ///< when it begins
    /// A shard of an own stripe is lost: the owner mends it.
    std::function<void(StripeId, std::uint16_t index, ServerId)> own_failed;
  };
  explicit Auditor(Parts parts, AuditOptions options = {});
  ~Auditor();

  void start();  ///< serves mend.audit and mend.report
  Task<void> stop();

  /// One round with everybody who is up, for this epoch; done when all have answered or not.
  Task<AuditCounts> audit_now();
  AuditSummary summary() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace spatter
