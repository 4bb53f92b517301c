// One connection's conversation: the HELLO exchange, calls both ways, payload transfers, pings.
// Rpc decides which session a call goes over; a Session knows only its own connection.
//
// Every foreign frame is judged here: one that makes no sense ends the session with a log line.
#pragma once

#include <asio/cancellation_signal.hpp>
#include <deque>
#include <unordered_map>

#include "base/sync.h"
#include "byte_budget.h"
#include "deadlines.h"
#include "measure.h"
#include "net/rpc.h"
#include "rpc_frame.h"

namespace spatter {

class Session;

/// What sessions share, and whom they tell. Lives as long as any session of it.
class SessionHost {
 public:
  SessionHost(Runtime& runtime, RpcOptions options);
  virtual ~SessionHost() = default;

  virtual NetworkId own_network() const = 0;
  virtual std::shared_ptr<Rpc::Handler> find_handler(std::uint16_t method) const = 0;
  virtual void session_ended(const std::shared_ptr<Session>& session) = 0;
  /// Why a peer is refused, whatever it says.
  struct Bar {
    std::string why;
    std::string proof;
  };
  virtual const Bar* barred(const ServerId& peer) const = 0;
  virtual void barred_by(const ServerId& peer, std::string proof) = 0;

  Runtime& runtime;
  const RpcOptions options;
  const std::uint64_t instance;  ///< tells this run of this server from others
  std::uint64_t dials = 0;
  std::shared_ptr<Deadlines> deadlines;
  std::shared_ptr<ByteBudget> request_room;
  std::shared_ptr<ByteBudget> reply_room;
  std::size_t handlers_running = 0;
  std::size_t inline_bytes = 0;  ///< payloads that rode with requests and are held
  WaitQueue handlers_idle;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  enum class Role { dialler, acceptor };

  Session(std::shared_ptr<SessionHost> host, std::shared_ptr<Connection> connection, Role role);
  ~Session();

  /// Exchanges HELLOs. A peer that is refused is told why first. Once, before anything else.
  static Task<Result<void>> greet(std::shared_ptr<Session> self);
  /// Reads, or writes, until the session is over. One of each, spawned after greet().
  static Task<void> read(std::shared_ptr<Session> self);
  static Task<void> write(std::shared_ptr<Session> self);

  /// Nothing when the session ended, or stopped taking calls, before the request was sent:
  /// `request` is then unchanged. It must live until this returns.
  Task<std::optional<Result<RpcReply>>> call(RpcRequest& request, CallOptions options,
                                             TimePoint deadline);

  /// No more calls of ours; over once both sides have said so and all calls are done.
  void retire();
  /// Over at once: calls fail with unavailable, handlers are cancelled.
  void end(Error reason);
  /// About once a second: pings, and ends a session whose peer is silent or takes nothing.
  void tick();

  bool usable_for(std::uint16_t method) const;
  bool over() const { return over_.has_value(); }
  bool joining() const { return joining_; }
  bool idle() const { return outgoing_.empty() && incoming_.empty(); }
  TimePoint last_used() const { return last_used_; }
  TimePoint established() const { return established_; }
  ServerId peer() const { return connection_->peer(); }
  Address remote() const { return connection_->remote(); }
  bool relayed() const { return connection_->relayed(); }
  const NetworkId& peer_network() const { return peer_network_; }
  std::uint64_t peer_instance() const { return peer_instance_; }
  /// The same on both ends: whether calls should rather go over this one than over `other`.
  bool preferred_to(const Session& other) const;

  std::shared_ptr<Measures> measures;  ///< of the peer; set by the Rpc once it knows who that is
  std::optional<Address> dialled;      ///< where, when we dialled

 private:
  struct Outgoing;
  struct Incoming;
  struct Bulk;
  using Header = wire::RpcHeader;

  // Conversation.
  Task<Result<RpcFrame>> first_frame(TimePoint deadline);
  Result<void> judge_hello(const Header& hello);
  Task<void> refuse(Error reason);
  void send_hello();
  Result<void> handle(const Buffer& bytes);
  bool is_own(std::uint64_t call) const { return call % 2 == (role_ == Role::dialler ? 1 : 0); }

  // Calls of ours.
  Result<void> on_reply(RpcFrame& frame);
  Result<void> on_error(const Header& header);
  Result<void> on_reply_data(RpcFrame& frame);
  Result<void> on_request_credit(const Header& header);
  void send_request(Outgoing& call, RpcRequest request, const CallOptions& options,
                    TimePoint deadline);
  void complete(Outgoing& call, Result<RpcReply> result);
  void forget(Outgoing& call);
  void suspect(TimePoint since);

  // Calls of the peer's.
  Result<void> on_request(RpcFrame& frame);
  Result<void> on_request_data(RpcFrame& frame);
  Result<void> on_reply_credit(const Header& header);
  void on_cancel(std::uint64_t id);
  void ready(const std::shared_ptr<Incoming>& call);
  void start_ready();
  void start_handler(const std::shared_ptr<Incoming>& call);
  static Task<void> run_handler(std::shared_ptr<Session> self, std::shared_ptr<Incoming> call,
                                std::shared_ptr<Rpc::Handler> handler);
  void answer(const std::shared_ptr<Incoming>& call, Result<RpcReply> result);
  void give_up(const std::shared_ptr<Incoming>& call);
  void drop(Incoming& call);
  void send_error(std::uint64_t id, const Error& error);
  void release_request(Incoming& call);

  // Sending.
  void send_control(const Header& header, Buffer payload = {});
  void send_bulk(std::uint64_t id, const Header& header, Buffer payload);
  void transfer(std::uint64_t id, Buffer payload);
  bool remove_bulk(std::uint64_t id);
  bool gather(std::vector<std::vector<Buffer>>& batch, std::vector<std::uint64_t>& done);
  void sent_all(std::uint64_t id);
  void finish_if_done();
  void ping();

  std::shared_ptr<SessionHost> host_;
  Runtime& runtime_;
  std::shared_ptr<Connection> connection_;
  const Role role_;
  std::optional<Error> over_;
  bool greeted_ = false;
  bool joining_ = false;
  NetworkId peer_network_;
  std::uint64_t peer_instance_ = 0;
  std::uint64_t dial_ = 0;
  TimePoint established_;
  std::deque<Buffer> early_;  // frames that came in one batch with the HELLO

  std::uint64_t next_call_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Outgoing>> outgoing_;
  Semaphore call_slots_;
  std::shared_ptr<ByteBudget::Account> reply_account_;

  std::unordered_map<std::uint64_t, std::shared_ptr<Incoming>> incoming_;
  std::shared_ptr<ByteBudget::Account> request_account_;
  std::deque<std::shared_ptr<Incoming>> ready_;  // bulk requests waiting for their handler's turn
  std::size_t bulk_handlers_ = 0;
  std::size_t inline_bytes_ = 0;                 // our share of the host's
  std::size_t reply_bytes_unsent_ = 0;

  std::deque<std::vector<Buffer>> control_;
  std::deque<Bulk> bulk_;  // a ring: who has sent a piece goes to the back
  Event to_send_;
  std::size_t free_answers_ = 0;  // queued without a call's slot: PONGs, refusals
  Event answers_sent_;

  bool retired_ = false;
  bool goodbye_sent_ = false;
  bool goodbye_received_ = false;
  TimePoint last_heard_;
  TimePoint last_used_;
  std::optional<TimePoint> sending_since_;  // a send() that the transport hasn't taken yet
  std::optional<TimePoint> ping_sent_;
  TimePoint measure_at_{};
  Deadlines::Token probe_;
  std::uint64_t bulk_sent_ = 0;
  std::uint64_t bulk_received_ = 0;
};

}  // namespace spatter
