// Connections between servers that cannot dial each other, through a third that both can reach.
//
// The dialler asks a relay (relay.open), the relay asks the target over the connection that stands
// between them (relay.ask), and both ends then dial the relay's listener and show a ticket. From
// there on the relay copies bytes: the two speak TLS with each other as on any connection, and the
// relay learns sizes and times only. It relays for members, to members to whom it has a direct
// connection itself (so no chain of relays comes about), within limits. Relays are servers of trusted
// persons: a relay can hold connections up, and a guest's machine is anybody's.
//
// All on the executor. docs/PROTOCOL.md has the messages.
#pragma once

#include <map>

#include "base/sync.h"
#include "net/rpc.h"

namespace spatter {

struct RelayOptions {
  bool carry = true;                   ///< for others; using others' relays is always possible
  std::size_t links_max = 64;          ///< carried at a time
  std::size_t links_per_person_max = 16;  ///< all guests together count as one person
  std::uint64_t bytes_per_s = 8 << 20; ///< of all links, both ways together
  /// Of the links that servers of one person opened: by default half of what there is.
  std::uint64_t bytes_per_s_per_person = 4 << 20;
  std::size_t asks_max = 32;           ///< being answered, as a target
  Duration meet_timeout = std::chrono::seconds(8);  ///< for both ends to come
};

class RelayService {
 public:
  struct Known {
    PersonId person;
    bool trusted = true;  ///< not a guest
  };
  /// Nothing for servers that are no members.
  using Knows = std::function<std::optional<Known>(const ServerId&)>;
  /// References outlive it. stop() it, and let that complete, before Rpc::stop.
  RelayService(Runtime& runtime, Transport& transport, Rpc& rpc, Knows knows,
               RelayOptions options = {});

  /// Serves relay.open and relay.ask, and gives the Rpc its detour.
  void start();
  Task<void> stop();

  struct Usage {
    std::size_t links = 0;            ///< carried now
    std::uint64_t bytes_carried = 0;  ///< of links that are over
  };
  Usage usage() const { return {links_, bytes_carried_}; }

 private:
  struct Share {
    std::size_t links = 0;
    std::shared_ptr<ByteRate> rate;
  };
  class LinkPlace;

  bool may_relay(const ServerId& server) const;
  Task<Result<RpcReply>> handle_open(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_ask(Caller caller, RpcRequest request);
  Result<std::shared_ptr<LinkPlace>> take_place(const Caller& caller, const ServerId& target);
  Task<void> carry(std::array<RelayTicket, 2> tickets, ByteRates rates,
                   std::shared_ptr<LinkPlace> place);
  Task<void> accept(ServerId relay, RelayTicket ticket, ServerId dialler);
  Task<Result<std::shared_ptr<Connection>>> detour(ServerId target, std::vector<ServerId> relays,
                                                   TimePoint deadline);
  Task<Result<std::shared_ptr<Connection>>> detour_over(ServerId relay, ServerId target,
                                                        TimePoint deadline);
  Task<Result<std::shared_ptr<Connection>>> meet(ServerId relay, Meeting meeting,
                                                 TimePoint deadline);

  Runtime& runtime_;
  Transport& transport_;
  Rpc& rpc_;
  const Knows knows_;
  const RelayOptions options_;
  const std::shared_ptr<ByteRate> rate_;
  std::map<PersonId, Share> shares_;  ///< of persons who have links; zero: of the guests
  std::size_t links_ = 0;
  std::size_t asks_ = 0;
  std::uint64_t bytes_carried_ = 0;
  TaskGroup tasks_;
};

}  // namespace spatter
