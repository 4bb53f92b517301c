// Reads pack bytes back from the network. Asks the holders that have been quickest, plain columns
// first; adds another column whenever the slowest lags; decodes when a plain column is missing. No
// byte is used that was not verified against the shard root in the descriptor the owner signed.
//
// When fewer than k columns of a stripe can be reached the error is Errc::unavailable, comes
// promptly, and says how many of the k needed are reachable and which servers are missing.
#pragma once

#include <functional>
#include <list>

#include "base/sync.h"
#include "code/stripe_code.h"
#include "spatter/context.h"
#include "userhalf/pack_store.h"

namespace spatter {

class StripeReader final : public RemotePacks {
 public:
  explicit StripeReader(SpatterContext context);

  /// Any range up to 64 MiB; several calls may run at the same time.
  Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) override;
  /// From one stripe; `offset` counts from the stripe's start.
  Task<Result<Buffer>> read_stripe(StripePtr stripe, std::uint64_t offset, std::uint64_t length);

  /// Told of every shard found rotten or missing; the keeper rewrites it.
  void on_bad_shard(std::function<void(StripeId, std::uint16_t index, ServerId)> call) {
    bad_shard_ = std::move(call);
  }

 private:
  struct Fetch;
  struct Columns;

  SpatterContext context_;
  std::function<void(StripeId, std::uint16_t, ServerId)> bad_shard_;
};

}  // namespace spatter
