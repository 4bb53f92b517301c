#include "trust/rules.h"

#include <initializer_list>
#include <string_view>

namespace spatter {
namespace {

struct Bound {
  std::string_view name;
  std::uint32_t value;
  std::uint32_t least;
  std::uint32_t most;
};

constexpr std::uint32_t epochs_max = 1U << 30;

Result<void> check_bounds(std::initializer_list<Bound> bounds) {
  for (const auto& bound : bounds)
    if (bound.value < bound.least || bound.value > bound.most)
      return fail(Errc::invalid, "a genesis record whose {} is {}, allowed are {} to {}", bound.name,
                  bound.value, bound.least, bound.most);
  return {};
}

}  // namespace

wire::MendRules to_wire(const MendRules& rules) {
  wire::MendRules message;
  message.set_grace_epochs(rules.grace_epochs);
  message.set_absent_epochs(rules.absent_epochs);
  message.set_audit_epochs(rules.audit_epochs);
  message.set_reporters(rules.reporters);
  message.set_urgent_ppm(rules.urgent_ppm);
  message.set_calm_ppm(rules.calm_ppm);
  message.set_calm_epochs(rules.calm_epochs);
  return message;
}

Result<MendRules> check_mend_rules(const wire::MendRules& message) {
  constexpr std::uint32_t million = 1'000'000;
  const MendRules rules{message.grace_epochs(), message.absent_epochs(), message.audit_epochs(), message.reporters(),
                        message.urgent_ppm(), message.calm_ppm(), message.calm_epochs()};
  TRY_VOID(check_bounds({{"grace_epochs", rules.grace_epochs, 1, epochs_max},
                         {"absent_epochs", rules.absent_epochs, rules.grace_epochs, epochs_max},
                         {"audit_epochs", rules.audit_epochs, 1, epochs_max},
                         {"reporters", rules.reporters, 1, 1024},
                         {"urgent_ppm", rules.urgent_ppm, 1, million},
                         {"calm_ppm", rules.calm_ppm, 0, rules.urgent_ppm},
                         {"calm_epochs", rules.calm_epochs, 1, epochs_max}}));
  return rules;
}

wire::TrustRules to_wire(const TrustRules& rules) {
  wire::TrustRules message;
  message.set_reviewers(rules.reviewers);
  message.set_vouches_needed(rules.vouches_needed);
  message.set_vouches_open_max(rules.vouches_open_max);
  message.set_vouch_epochs(rules.vouch_epochs);
  message.set_substitute_epochs(rules.substitute_epochs);
  message.set_phrase_epochs(rules.phrase_epochs);
  message.set_aging_epochs(rules.aging_epochs);
  message.set_grace_epochs(rules.grace_epochs);
  message.set_overdue_percent(rules.overdue_percent);
  message.set_doubts_needed(rules.doubts_needed);
  message.set_inviter_loss_percent(rules.inviter_loss_percent);
  message.set_reviewer_loss_percent(rules.reviewer_loss_percent);
  message.set_fraud_memory_epochs(rules.fraud_memory_epochs);
  return message;
}

Result<TrustRules> check_rules(const wire::TrustRules& message) {
  TrustRules rules;
  rules.reviewers = message.reviewers();
  rules.vouches_needed = message.vouches_needed();
  rules.vouches_open_max = message.vouches_open_max();
  rules.vouch_epochs = message.vouch_epochs();
  rules.substitute_epochs = message.substitute_epochs();
  rules.phrase_epochs = message.phrase_epochs();
  rules.aging_epochs = message.aging_epochs();
  rules.grace_epochs = message.grace_epochs();
  rules.overdue_percent = message.overdue_percent();
  rules.doubts_needed = message.doubts_needed();
  rules.inviter_loss_percent = message.inviter_loss_percent();
  rules.reviewer_loss_percent = message.reviewer_loss_percent();
  rules.fraud_memory_epochs = message.fraud_memory_epochs();
  const auto least_vouches = rules.reviewers == 0 ? 0U : 1U;
  TRY_VOID(check_bounds({
           {"reviewers", rules.reviewers, 0, reviewers_max},
           {"vouches_needed", rules.vouches_needed, least_vouches, rules.reviewers},
           {"vouches_open_max", rules.vouches_open_max, 1, 64},
           {"vouch_epochs", rules.vouch_epochs, 1, epochs_max},
           {"substitute_epochs", rules.substitute_epochs, 1, epochs_max},
           {"phrase_epochs", rules.phrase_epochs, 1, epochs_max},
           {"aging_epochs", rules.aging_epochs, 0, epochs_max},
           {"grace_epochs", rules.grace_epochs, 1, epochs_max},
           {"overdue_percent", rules.overdue_percent, 0, 100},
           {"doubts_needed", rules.doubts_needed, 1, epochs_max},
           {"inviter_loss_percent", rules.inviter_loss_percent, 0, 100},
           {"reviewer_loss_percent", rules.reviewer_loss_percent, 0, 100},
           {"fraud_memory_epochs", rules.fraud_memory_epochs, 1, epochs_max}}));
  return rules;
}

}  // namespace spatter
