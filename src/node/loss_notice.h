// Tells owners which of their shards were lost here, so that they send them anew at once and not when
// they next happen to look. A holder's own word, and only a hint: the owner asks for the list himself.
//
// All calls on the executor.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "base/sync.h"
#include "directory/members.h"
#include "net/rpc.h"
#include "serverhalf/shard_store.h"

namespace spatter {

class LossNotice {
 public:
  struct Parts {
    Runtime& runtime;
    Rpc& rpc;
    Members& members;
    ShardStore& shards;
    std::function<void()> tell_self;  ///< of the own person's, in the own server half
  };
  explicit LossNotice(Parts parts);

  void start();
  Task<void> stop();

  /// Tells everybody concerned who can be reached. Returns the persons of whom a server was told all.
  Task<std::set<PersonId>> tell();

 private:
  Task<void> run();

  Parts parts_;
  std::uint64_t losses_ = 1;  ///< counts findings, those of earlier runs as one
  std::map<ServerId, std::uint64_t> told_;  ///< losses_ as it was when the server was told
  Event wanted_;
  Members::Subscription subscription_ = 0;
  TaskGroup tasks_;
};

}  // namespace spatter
