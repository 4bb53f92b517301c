// What an Rpc is inside. Included by its own files only.
#pragma once

#include <unordered_map>

#include "net/rpc.h"
#include "session.h"

namespace spatter {

/// Which peers there are, which sessions stand, and when to dial. A Peer, once made, stays as long
/// as it has addresses, sessions or somebody waiting.
class Rpc::Impl final : public SessionHost, public std::enable_shared_from_this<Rpc::Impl> {
 public:
  Impl(Runtime& runtime, Transport& transport, NetworkId network, RpcOptions options, Rpc& owner)
      : SessionHost(runtime, options),
        owner_(&owner),
        transport_(transport),
        network_(network),
        tasks_(runtime.executor()) {}

  void start() {
    tasks_.spawn(Deadlines::run(deadlines));
    tasks_.spawn(tick(weak_from_this(), runtime, tick_every()));
  }

  NetworkId own_network() const override { return network_; }
  std::shared_ptr<Handler> find_handler(std::uint16_t method) const override {
    const auto found = handlers_.find(method);
    return found == handlers_.end() ? nullptr : found->second;
  }
  void session_ended(const std::shared_ptr<Session>& session) override;
  const Bar* barred(const ServerId& peer) const override {
    const auto found = bars_.find(peer);
    return found == bars_.end() ? nullptr : &found->second;
  }
  void barred_by(const ServerId& peer, std::string proof) override;
  void bar(const ServerId& server, std::string why, std::string proof);

  void serve(std::uint16_t method, Handler handler) {
    handlers_[method] = std::make_shared<Handler>(std::move(handler));
  }
  Result<Address> listen(const Address& address);
  void set_network(NetworkId network);
  void set_addresses(const ServerId& id, std::vector<Address> addresses,
                     std::vector<ServerId> relays);
  void add_hint(const ServerId& id, Address address);
  void set_detour(Detour detour) { detour_ = std::move(detour); }
  void take(std::shared_ptr<Connection> connection);
  std::vector<Address> ways_to(const ServerId& id) const;
  Task<Result<RpcReply>> call(ServerId server, RpcRequest request, CallOptions options);
  Task<Result<std::pair<ServerId, RpcReply>>> call_address(Address address, ServerId expected,
                                                           RpcRequest request, CallOptions options);
  PeerMeasure measure(const ServerId& id) const;
  std::vector<ServerId> connected() const;
  Task<void> stop();
  void orphan() { owner_ = nullptr; }
  bool stopped() const { return stopping_; }

 private:
  struct Peer {
    explicit Peer(asio::any_io_executor executor) : changed(std::move(executor)) {}
    ServerId id;
    std::vector<Address> addresses;
    std::vector<ServerId> relays;
    std::vector<Address> hints;  // newest first
    std::vector<std::shared_ptr<Session>> sessions;  // greeted, not over
    bool dialling = false;
    WaitQueue changed;  // a session stands, or a dial has failed
    unsigned failed_dials = 0;
    TimePoint retry_at{};
    Deadlines::Token retry;
    Error last_error{Errc::unavailable, "no attempt yet"};
    std::shared_ptr<Measures> measures = std::make_shared<Measures>();
    bool up = false;
    TimePoint upgrade_at{};  // while it is up through a relay only
    Duration upgrade_wait{};

    bool has_ways() const { return !addresses.empty() || !relays.empty(); }
    bool relayed() const;  // up, but through a relay only
  };
  struct Race;

  Duration tick_every() const {
    return std::clamp<Duration>(options.ping_after / 4, std::chrono::milliseconds(10),
                                std::chrono::seconds(1));
  }
  static Task<void> tick(std::weak_ptr<Impl> weak, Runtime& runtime, Duration every);
  void tick_once();

  std::shared_ptr<Peer> peer(const ServerId& id);
  std::shared_ptr<Session> usable(const Peer& peer, std::uint16_t method) const;
  static Task<Result<std::shared_ptr<Session>>> session_to(std::shared_ptr<Impl> self,
                                                           std::shared_ptr<Peer> peer,
                                                           std::uint16_t method);
  void start_dial(const std::shared_ptr<Peer>& peer);
  void schedule_dial(const std::shared_ptr<Peer>& peer);
  static Task<void> dial(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer);
  static Task<void> run_race(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                             std::shared_ptr<Race> race);
  static Task<void> attempt(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                            std::shared_ptr<Race> race, std::optional<Address> address);
  static Task<Result<std::shared_ptr<Connection>>> reach(std::shared_ptr<Impl> self,
                                                         std::shared_ptr<Peer> peer,
                                                         std::optional<Address> address);
  void upgrade_if_due(const std::shared_ptr<Peer>& peer);
  static Task<Result<std::shared_ptr<Session>>> greet(std::shared_ptr<Impl> self,
                                                      std::shared_ptr<Connection> connection,
                                                      Address dialled);
  static Task<Result<std::shared_ptr<Session>>> open(std::shared_ptr<Impl> self, Address address,
                                                     ServerId expected, TimePoint deadline);
  static Task<void> accept(std::shared_ptr<Impl> self, std::shared_ptr<Connection> connection);
  void adopt(const std::shared_ptr<Session>& session);
  void settle(Peer& peer);
  void dial_failed(const std::shared_ptr<Peer>& peer, Error error);
  Duration backoff(unsigned failures);
  void update_up(Peer& peer);

  Rpc* owner_;
  Transport& transport_;
  NetworkId network_;
  TaskGroup tasks_;
  bool stopping_ = false;
  Detour detour_;
  std::unordered_map<std::uint16_t, std::shared_ptr<Handler>> handlers_;
  std::map<ServerId, std::shared_ptr<Peer>> peers_;
  std::set<std::shared_ptr<Session>> greeting_;
  std::map<ServerId, Bar> bars_;
};

}  // namespace spatter
