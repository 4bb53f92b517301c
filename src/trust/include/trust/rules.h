// What makes a trusted person in a network: numbers that its founder sets once, in the genesis.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "wire/proto/records.pb.h"

namespace spatter {

/// Times are in epochs. The defaults are those of a genesis record that says nothing about trust: an
/// admission alone makes a trusted person, and trust does not age.
struct TrustRules {
  std::uint32_t reviewers = 0;
  std::uint32_t vouches_needed = 0;
  std::uint32_t vouches_open_max = 3;
  std::uint32_t vouch_epochs = 30 * 24;
  std::uint32_t substitute_epochs = 3 * 24;
  std::uint32_t phrase_epochs = 2;
  std::uint32_t aging_epochs = 0;
  std::uint32_t grace_epochs = 30 * 24;
  std::uint32_t overdue_percent = 25;
  std::uint32_t doubts_needed = 3;
  std::uint32_t inviter_loss_percent = 50;
  std::uint32_t reviewer_loss_percent = 25;
  std::uint32_t fraud_memory_epochs = 365 * 24;

  /// For a network of people who do not all know one another: three reviewers, two of whom must
  /// vouch, and a procedure every half year of hourly epochs.
  static TrustRules reviewed() {
    TrustRules rules;
    rules.reviewers = 3;
    rules.vouches_needed = 2;
    rules.aging_epochs = 182 * 24;
    return rules;
  }
  /// A network of friends: one reviewer.
  static TrustRules friends() {
    auto rules = reviewed();
    rules.reviewers = rules.vouches_needed = 1;
    return rules;
  }

  bool operator==(const TrustRules&) const = default;
};

inline constexpr std::uint32_t reviewers_max = 16;

/// When a network mends, and when it does nothing else. Times are in epochs; the defaults are those of a
/// genesis record that says nothing about it, for epochs of an hour.
struct MendRules {
  std::uint32_t grace_epochs = 24;
  std::uint32_t absent_epochs = 72;
  std::uint32_t audit_epochs = 24;
  std::uint32_t reporters = 16;
  std::uint32_t urgent_ppm = 10'000;
  std::uint32_t calm_ppm = 1'000;
  std::uint32_t calm_epochs = 2;
  bool operator==(const MendRules&) const = default;
};
wire::MendRules to_wire(const MendRules& rules);
/// Errc::invalid names the number that makes no sense.
Result<MendRules> check_mend_rules(const wire::MendRules& rules);

wire::TrustRules to_wire(const TrustRules& rules);
/// Errc::invalid names the number that makes no sense.
Result<TrustRules> check_rules(const wire::TrustRules& rules);

}  // namespace spatter
