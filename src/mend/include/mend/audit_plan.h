// Whom an auditor challenges in an epoch, and for which leaves. All of it follows from who keeps what,
// the epoch, and the auditor's draw, which nobody else can make before he shows it: so no holder knows
// beforehand what it will be asked, and whoever is told the draw can check that the auditor asked what
// was drawn.
//
// Every shard is due once in `period_epochs`, and two of those who share its stripe are drawn to ask for
// one leaf of it then. Where that makes fewer than the least number of leaves for a holder, more are
// drawn from all of its shards: so that a holder of little is watched as closely as one of much.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "crypto/vrf.h"

namespace spatter {

inline constexpr std::uint32_t audit_period_epochs = 24;
/// Leaves asked of a holder in an epoch by all who share stripes with it, at least.
inline constexpr std::uint32_t audit_leaves_min = 64;
inline constexpr unsigned audit_auditors = 2;  ///< of each shard in each period

/// A shard at the holder in question.
struct AuditedShard {
  StripeId stripe;
  std::uint8_t index = 0;
  std::uint64_t size = 0;
  std::vector<ServerId> auditors;  ///< who shares the stripe; the holder itself is passed over
};

struct Challenge {
  StripeId stripe;
  std::uint8_t index = 0;
  std::uint64_t leaf = 0;
  std::uint64_t size = 0;  ///< of the shard
  bool operator==(const Challenge&) const = default;
};

/// Whether a shard is due in this epoch: le64 of the first 8 bytes of SHA-256("spatter/1 audit day" || 0x00 ||
/// stripe || index || holder), plus the epoch, is a multiple of `period`.
bool is_audit_due(const StripeId& stripe, unsigned index, const ServerId& holder, std::uint64_t epoch,
                  std::uint32_t period = audit_period_epochs);

/// Whether `auditor` is one of the `audit_auditors` drawn for a shard: those with the lowest SHA-256("spatter/1
/// auditor" || 0x00 || stripe || index || le64(epoch) || auditor).
bool is_auditor(const StripeId& stripe, unsigned index, std::uint64_t epoch, const ServerId& auditor,
                const ServerId& holder, std::span<const ServerId> auditors);

/// In the order of asking; none twice. `output`: of the auditor's draw for this holder in this epoch.
/// `sharers`: how many share stripes with the holder, the auditor included.
std::vector<Challenge> plan_audit(const ServerId& auditor, const ServerId& holder, std::uint64_t epoch,
                                  const VrfOutput& output, std::span<const AuditedShard> shards, std::size_t sharers,
                                  std::uint32_t period = audit_period_epochs);

/// The probability that a holder without `share` of its leaves is caught within `epochs`, when `leaves`
/// are asked of it in each.
double audit_detection(double share, double leaves, double epochs);

}  // namespace spatter
