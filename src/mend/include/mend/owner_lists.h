// The owner's part of keeping stripes alive: tells the holders of each stripe who they are, once it has
// stood unchanged for a while, and takes in what they changed while he was away.
//
// Stripes that live for seconds are never told of. Nothing of this is durable here: what holders have
// been told is asked of them again at each start and whenever one comes back.
//
// All calls on the executor; the parts outlive it; await stop() before it dies.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <unordered_map>

#include "base/sync.h"
#include "mend/mender.h"
#include "spatter/stripe_table.h"

namespace spatter {

struct OwnerListOptions {
  Duration tell_after = std::chrono::seconds(10);  ///< of a stripe's holders standing unchanged
  Duration again_after = std::chrono::seconds(30); ///< to a holder that did not take a list
};

class OwnerLists {
 public:
  struct Parts {
    Runtime& runtime;
    Rpc& rpc;
    Members& members;
    const Identity& identity;
    StripeTable& table;
    Mender& mender;  ///< of the own server half, which may hold copies
  };
  explicit OwnerLists(Parts parts, OwnerListOptions options = {});
  ~OwnerLists();

  void start();
  Task<void> stop();
  /// A chain that a holder has brought.
  void told(wire::HolderChain chain);

  std::uint64_t waiting() const;  ///< stripes of which not all holders that are up know their list
  std::uint64_t taken_in() const { return taken_in_; }  ///< changes by holders, since the start

 private:
  struct Told {
    StripePtr seen;              ///< as it stood then
    TimePoint since{};           ///< when it began to stand so
    std::uint64_t version = 0;   ///< of the list; 0: not made yet
    Bytes content;
    wire::HolderChain chain;     ///< the same bytes for everybody; empty when all have it
    std::set<ServerId> open;     ///< who has not confirmed it
  };

  Task<void> run();
  void look();
  Task<void> tell_holder(ServerId holder);
  Task<Result<void>> tell_some(ServerId holder);
  Task<Result<void>> compare_with(ServerId holder);
  Task<Result<void>> hear(ServerId holder, wire::HolderChain chain);
  Task<Result<void>> take_in(wire::HolderChain chain);
  Task<Result<wire::HolderChain>> ask_chain(ServerId holder, StripeId stripe,
                                            std::vector<wire::Contract>* contracts = nullptr);
  bool may_make(const Told& told) const;
  bool stands(const ServerId& holder) const;
  void close(Told& told, const StripeId& id, const ServerId& holder);
  HolderList list_of(const Stripe& stripe) const;
  std::uint64_t next_version();

  Parts parts_;
  OwnerListOptions options_;
  std::unordered_map<StripeId, Told> told_;
  std::map<ServerId, std::set<StripeId>> open_;    ///< the other way round
  std::set<ServerId> compared_;                    ///< since they came up
  std::map<ServerId, TimePoint> again_at_;
  std::set<ServerId> telling_;
  std::map<StripeId, wire::HolderChain> incoming_;
  /// Changes by holders of whom not all have been asked for their receipts.
  std::map<StripeId, wire::HolderChain> unproven_;
  std::uint64_t table_version_ = ~std::uint64_t{0};
  std::uint64_t last_version_ = 0;
  std::uint64_t taken_in_ = 0;
  Members::Subscription subscription_ = 0;
  Event wanted_;
  TaskGroup tasks_;
};

}  // namespace spatter
