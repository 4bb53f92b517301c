#include "net/relay.h"

#include <algorithm>

#include "net/methods.h"
#include "wire/proto/relay.pb.h"

namespace spatter {

/// A link's place within the limits, given back when it dies.
class RelayService::LinkPlace {
 public:
  LinkPlace(RelayService& service, PersonId person) : service_(service), person_(person) {
    Share& share = service_.shares_[person_];
    if (!share.rate) share.rate = std::make_shared<ByteRate>(service_.options_.bytes_per_s_per_person);
    ++share.links;
    ++service_.links_;
  }
  LinkPlace(const LinkPlace&) = delete;
  ~LinkPlace() {
    --service_.links_;
    const auto share = service_.shares_.find(person_);
    if (--share->second.links == 0) service_.shares_.erase(share);
  }
  ByteRates rates() const { return {service_.rate_, service_.shares_.at(person_).rate}; }

 private:
  RelayService& service_;
  const PersonId person_;
};

RelayService::RelayService(Runtime& runtime, Transport& transport, Rpc& rpc, Knows knows,
                           RelayOptions options)
    : runtime_(runtime),
      transport_(transport),
      rpc_(rpc),
      knows_(std::move(knows)),
      options_(options),
      rate_(std::make_shared<ByteRate>(options.bytes_per_s)),
      tasks_(runtime.executor()) {}

void RelayService::start() {
  rpc_.serve(method::relay_open, [this](Caller caller, RpcRequest request) {
    return handle_open(std::move(caller), std::move(request));
  });
  rpc_.serve(method::relay_ask, [this](Caller caller, RpcRequest request) {
    return handle_ask(std::move(caller), std::move(request));
  });
  rpc_.set_detour([this](ServerId peer, std::vector<ServerId> relays, TimePoint deadline) {
    return detour(peer, std::move(relays), deadline);
  });
}

Task<void> RelayService::stop() {
  rpc_.set_detour(nullptr);
  co_await tasks_.stop();
}

// ---- the relay

Result<std::shared_ptr<RelayService::LinkPlace>> RelayService::take_place(const Caller& caller,
                                                                          const ServerId& target) {
  const auto known = knows_(caller.server);
  if (!known)
    return fail(Errc::denied, "server {} is not known here as a member", caller.server);
  if (!options_.carry) return fail(Errc::denied, "this server does not relay");
  if (caller.relayed) return fail(Errc::denied, "relaying through a relay is refused");
  if (target == caller.server) return fail(Errc::invalid, "a relay to oneself");
  if (!knows_(target))
    return fail(Errc::denied, "server {} is not known here as a member", target);
  const PeerMeasure measure = rpc_.measure(target);
  if (!measure.up || measure.relayed)
    return fail(Errc::unavailable, "server {} has no direct connection to this one", target);
  // Whoever is invited can invite more: guests one by one could take all there is.
  const PersonId person = known->trusted ? known->person : PersonId{};
  const auto share = shares_.find(person);
  if (links_ >= options_.links_max)
    return fail(Errc::busy, "{} links are relayed here already", links_);
  if (share != shares_.end() && share->second.links >= options_.links_per_person_max)
    return fail(Errc::busy, "{} links of {} are relayed here already", share->second.links,
                known->trusted ? fmt::format("person {}", person) : "guests");
  return std::make_shared<LinkPlace>(*this, person);
}

bool RelayService::may_relay(const ServerId& server) const {
  const auto known = knows_(server);
  return known && known->trusted;
}

Task<Result<RpcReply>> RelayService::handle_open(Caller caller, RpcRequest request) {
  wire::RelayOpenRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "relay.open: a request that cannot be read");
  CO_TRY(const auto target, ServerId::from(message.target()));
  CO_TRY(auto place, take_place(caller, target));
  const std::array<RelayTicket, 2> tickets{runtime_.entropy().id<RelayTicket>(),
                                           runtime_.entropy().id<RelayTicket>()};
  auto rates = place->rates();
  tasks_.spawn(carry(tickets, std::move(rates), std::move(place)));

  wire::RelayAskRequest ask;
  ask.set_dialler(caller.server.raw());
  ask.set_ticket(tickets[1].raw());
  // When it fails the link, which nobody comes to, ends by itself.
  CO_TRY_VOID(co_await rpc_.call(target, {method::relay_ask, ask.SerializeAsString(), {}},
                                 {.timeout = options_.meet_timeout / 2}));
  wire::RelayOpenReply reply;
  reply.set_ticket(tickets[0].raw());
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<void> RelayService::carry(std::array<RelayTicket, 2> tickets, ByteRates rates,
                               std::shared_ptr<LinkPlace> place) {
  auto carried = co_await transport_.relay(tickets, std::move(rates),
                                           runtime_.now() + options_.meet_timeout);
  if (carried) {
    bytes_carried_ += *carried;
    runtime_.log().debug("a relayed link is over after {} bytes", *carried);
  } else {
    runtime_.log().debug("a link was not relayed: {}", carried.error().message);
  }
}

// ---- the target

Task<Result<RpcReply>> RelayService::handle_ask(Caller caller, RpcRequest request) {
  wire::RelayAskRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "relay.ask: a request that cannot be read");
  CO_TRY(const auto dialler, ServerId::from(message.dialler()));
  CO_TRY(const auto ticket, RelayTicket::from(message.ticket()));
  if (!may_relay(caller.server) || caller.relayed)
    co_return fail(Errc::denied, "server {} may not relay to this one", caller.server);
  if (!knows_(dialler))
    co_return fail(Errc::denied, "server {} is not known here as a member", dialler);
  if (asks_ >= options_.asks_max)
    co_return fail(Errc::busy, "too many relayed connections are being made");
  tasks_.spawn(accept(caller.server, ticket, dialler));
  co_return RpcReply{wire::RelayAskReply().SerializeAsString(), {}};
}

Task<void> RelayService::accept(ServerId relay, RelayTicket ticket, ServerId dialler) {
  struct Count {
    std::size_t& asks;
    ~Count() { --asks; }
  } count{++asks_};
  Meeting meeting{.relay = {}, .ticket = ticket, .other = dialler, .dialling = false};
  auto connection = co_await meet(relay, meeting, runtime_.now() + options_.meet_timeout);
  if (connection)
    rpc_.take(std::move(*connection));
  else
    runtime_.log().debug("server {} through {}: {}", dialler, relay, connection.error().message);
}

// ---- the dialler

Task<Result<std::shared_ptr<Connection>>> RelayService::detour(ServerId target,
                                                               std::vector<ServerId> relays,
                                                               TimePoint deadline) {
  // All diallers starting at the same relay would load it alone.
  for (std::size_t i = 0; i + 1 < relays.size(); ++i)
    std::swap(relays[i], relays[i + runtime_.chance().below(relays.size() - i)]);
  Error last{Errc::unavailable, fmt::format("no relay of server {} is connected", target)};
  for (const ServerId& relay : relays) {
    const PeerMeasure measure = rpc_.measure(relay);
    if (!may_relay(relay) || !measure.up || measure.relayed || relay == target) continue;
    auto connection = co_await detour_over(relay, target, deadline);
    if (connection) co_return std::move(*connection);
    last = connection.error().during(fmt::format("through server {}", relay));
  }
  co_return fail(std::move(last));
}

Task<Result<std::shared_ptr<Connection>>> RelayService::detour_over(ServerId relay, ServerId target,
                                                                    TimePoint deadline) {
  wire::RelayOpenRequest request;
  request.set_target(target.raw());
  CO_TRY(auto answer, co_await rpc_.call(relay, {method::relay_open, request.SerializeAsString(), {}},
                                         {.timeout = deadline - runtime_.now()}));
  wire::RelayOpenReply reply;
  if (!reply.ParseFromString(answer.body))
    co_return fail(Errc::invalid, "an answer that cannot be read");
  CO_TRY(const auto ticket, RelayTicket::from(reply.ticket()));
  co_return co_await meet(relay, {.relay = {}, .ticket = ticket, .other = target, .dialling = true},
                          deadline);
}

Task<Result<std::shared_ptr<Connection>>> RelayService::meet(ServerId relay, Meeting meeting,
                                                             TimePoint deadline) {
  Error last{Errc::unavailable, fmt::format("no address of relay {} is known", relay)};
  for (const Address& address : rpc_.ways_to(relay)) {
    meeting.relay = address;
    auto connection = co_await transport_.meet(meeting, deadline);
    if (connection) co_return std::move(*connection);
    last = std::move(connection).error();
  }
  co_return fail(std::move(last));
}

}  // namespace spatter
