#include "mend/audit_plan.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "chance/choice.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"

namespace spatter {
namespace {

std::uint64_t front_of(const Digest& digest) {
  std::uint64_t front = 0;
  for (std::size_t i = 8; i-- > 0;) front = front << 8 | digest.bytes[i];
  return front;
}

std::array<std::uint8_t, 8> le64(std::uint64_t number) {
  std::array<std::uint8_t, 8> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return bytes;
}

}  // namespace

bool is_audit_due(const StripeId& stripe, unsigned index, const ServerId& holder, std::uint64_t epoch,
                  std::uint32_t period) {
  constexpr std::string_view label{"spatter/1 audit day\0", 20};
  const auto number = static_cast<std::uint8_t>(index);
  const Digest hash =
      Sha256().update(as_bytes(label)).update(stripe.view()).update({&number, 1}).update(holder.view()).finish();
  return (front_of(hash) % period + epoch % period) % period == 0;
}

bool is_auditor(const StripeId& stripe, unsigned index, std::uint64_t epoch, const ServerId& auditor,
                const ServerId& holder, std::span<const ServerId> auditors) {
  constexpr std::string_view label{"spatter/1 auditor\0", 18};
  const auto number = static_cast<std::uint8_t>(index);
  const auto when = le64(epoch);
  const auto turn = [&](const ServerId& server) {
    return std::pair(Sha256().update(as_bytes(label)).update(stripe.view()).update({&number, 1}).update(when)
                         .update(server.view()).finish(), server);
  };
  const auto own = turn(auditor);
  unsigned before = 0;
  for (const ServerId& other : auditors)
    if (other != auditor && other != holder && turn(other) < own && ++before == audit_auditors) return false;
  return true;
}

std::vector<Challenge> plan_audit(const ServerId& auditor, const ServerId& holder, std::uint64_t epoch,
                                  const VrfOutput& output, std::span<const AuditedShard> shards, std::size_t sharers,
                                  std::uint32_t period) {
  Stream stream(output, "audit");
  std::vector<Challenge> result;
  std::set<std::tuple<StripeId, unsigned, std::uint64_t>> asked;
  std::uint64_t leaves = 0;
  const auto add = [&](const AuditedShard& shard) {
    const Challenge challenge{shard.stripe, shard.index, stream.below(std::max<std::uint64_t>(1, leaf_count(shard.size))),
                              shard.size};
    if (asked.insert({challenge.stripe, challenge.index, challenge.leaf}).second) result.push_back(challenge);
  };
  for (const AuditedShard& shard : shards) {
    leaves += leaf_count(shard.size);
    if (is_audit_due(shard.stripe, shard.index, holder, epoch, period) &&
        is_auditor(shard.stripe, shard.index, epoch, auditor, holder, shard.auditors))
      add(shard);
  }
  if (shards.empty()) return result;
  // Everybody who shares something asks for an equal part of the least; by leaves, so that large shards
  // are asked for as much more often as they hold more.
  const std::size_t least = std::min<std::uint64_t>((audit_leaves_min + sharers - 1) / std::max<std::size_t>(sharers, 1), leaves);
  for (std::size_t tries = 4 * least; result.size() < least && tries > 0; --tries) {
    std::uint64_t at = stream.below(leaves);
    for (const AuditedShard& shard : shards) {
      const auto count = leaf_count(shard.size);
      if (at < count) {
        if (asked.insert({shard.stripe, shard.index, at}).second) result.push_back({shard.stripe, shard.index, at, shard.size});
        break;
      }
      at -= count;
    }
  }
  return result;
}

double audit_detection(double share, double leaves, double epochs) {
  return 1 - std::pow(1 - share, leaves * epochs);
}

}  // namespace spatter
