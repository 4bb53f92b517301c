// Whether others can dial this server, and by which detour when they cannot.
//
// A server cannot tell by itself: a few members are asked to dial the addresses of its record
// (reach.probe). When one of them gets through nowhere, connections are taken through trusted members
// who carry for others; those are named in the record. A server that everybody asked has reached
// carries for others itself, if its settings let it and its person is trusted.
#pragma once

#include <map>

#include "base/sync.h"
#include "directory/gossip.h"
#include "net/relay.h"

namespace spatter {

/// What one member found when it was asked.
struct ReachAnswer {
  bool reached = false;
  TimePoint at{};
};

/// What to tell others, from what was answered so far. `before` is kept as far as it still serves;
/// `draw` orders servers that serve equally; `could_relay` leaves those out that must not. Pure.
Reach choose_reach(const std::map<ServerId, ReachAnswer>& answers, const std::vector<Member>& others,
                   const std::function<bool(const Member&)>& could_relay,
                   const PersonId& own_person, const Reach& before, bool may_carry, ByteView draw);

class Reachability {
 public:
  struct Parts {
    Runtime& runtime;
    Transport& transport;
    Rpc& rpc;
    GossipMembers& members;
    bool may_carry = true;
  };
  explicit Reachability(Parts parts);

  void start();
  Task<void> stop();  ///< before Members and Rpc are stopped

  /// "unknown" while nobody was asked, else "direct" or "relayed".
  std::string_view state() const;
  const Reach& reach() const { return reach_; }

 private:
  Task<void> loop();
  Task<void> ask(ServerId id);
  std::vector<ServerId> whom_to_ask() const;
  void decide();
  Task<Result<RpcReply>> handle_probe(Caller caller, RpcRequest request);

  Parts parts_;
  std::map<ServerId, ReachAnswer> answers_;
  std::map<ServerId, TimePoint> probed_;  ///< members that asked us, and when
  std::size_t probing_ = 0;
  std::vector<Address> asked_about_;
  Reach reach_;
  Members::Subscription subscription_ = 0;
  bool again_ = false;  ///< somebody could not answer yet
  Event wanted_;
  TaskGroup tasks_;
};

}  // namespace spatter
