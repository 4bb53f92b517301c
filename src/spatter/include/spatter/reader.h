// Reads pack bytes back from the network. Asks the holders that have been quickest, plain columns
// first; adds another column whenever the slowest lags; decodes when a plain column is missing. No
// byte is used that was not verified against the shard root in the descriptor the owner signed.
//
// When fewer than k columns of a stripe can be reached the error is Errc::unavailable, comes
// promptly, and says how many of the k needed are reachable and which servers are missing.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>

#include "code/stripe_code.h"
#include "spatter/context.h"
#include "trust/contract.h"
#include "userhalf/pack_store.h"

namespace spatter {

class TaskGroups;

class StripeReader final : public RemotePacks {
 public:
  explicit StripeReader(SpatterContext context);
  ~StripeReader() override;
  /// Ends what hedging left behind. No read may be under way.
  Task<void> stop();

  /// Exactly these bytes, 64 MiB at most; several calls may run at the same time. Where several
  /// stripes hold a byte, one that can be read now is preferred, the longest first.
  Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) override;
  /// From one stripe; `offset` counts from the stripe's start.
  Task<Result<Buffer>> read_stripe(StripePtr stripe, std::uint64_t offset, std::uint64_t length);

  /// Told (on the executor) of every shard found rotten or missing; the keeper rewrites it.
  void on_bad_shard(std::function<void(StripeId, std::uint16_t index, ServerId)> call) {
    bad_shard_ = std::move(call);
  }

  /// How many distinct shards of the stripe can be asked for now (k = 1: copies).
  unsigned reachable(const Stripe& stripe) const;

 private:
  struct Source;
  struct Fetch;
  Task<Result<std::shared_ptr<const Descriptor>>> descriptor(StripeId id);
  std::vector<Source> sources(const Stripe& stripe) const;
  Task<Result<Buffer>> read_some(StripePtr stripe, std::uint64_t offset, std::uint64_t length);
  Error too_few(const Stripe& stripe, const Fetch& fetch) const;

  SpatterContext context_;
  std::function<void(StripeId, std::uint16_t, ServerId)> bad_shard_;
  std::unordered_map<StripeId, std::shared_ptr<const Descriptor>> descriptors_;  ///< checked
  std::deque<StripeId> descriptor_order_;
  /// Calls under way and lately measured seconds per call and holder, shared with the calls.
  struct Load;
  std::shared_ptr<std::unordered_map<ServerId, Load>> loads_;
  std::unique_ptr<TaskGroups> groups_;
};

}  // namespace spatter
