// The half of a Session that serves the peer's calls.

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>

#include "net/methods.h"
#include "session.h"
#include "session_parts.h"

namespace spatter {
namespace {

constexpr std::uint32_t deadline_ms_max = 10 * 60 * 1000;
constexpr std::size_t error_text_bytes_max = 2048;
constexpr std::size_t reply_bytes_unsent_max = 32 << 20;

}  // namespace

Task<Result<Semaphore::Permit>> wait_for_slot(Semaphore& slots) {
  co_return co_await slots.acquire(1);
}

Error error_of(const wire::RpcHeader& header, const ServerId& peer) {
  const bool known = header.error_code() > 0 &&
                     header.error_code() <= static_cast<std::uint32_t>(Errc::not_empty);
  const Errc code = known ? static_cast<Errc>(header.error_code()) : Errc::invalid;
  return {code, fmt::format("server {}: {}", peer, header.error_text())};
}

Result<void> Session::on_request(RpcFrame& frame) {
  Header& header = frame.header;
  const std::uint64_t id = header.call();
  if (incoming_.contains(id)) return fail(Errc::invalid, "call number {} twice", id);
  last_used_ = runtime_.now();
  auto refuse_call = [&](Errc code, std::string text) -> Result<void> {
    ++free_answers_;
    send_error(id, {code, std::move(text)});
    return {};
  };
  if (header.method() > std::numeric_limits<std::uint16_t>::max())
    return refuse_call(Errc::not_found, fmt::format("method {} is unknown", header.method()));
  const auto method = static_cast<std::uint16_t>(header.method());
  if (joining_ && !is_join_method(method))
    return refuse_call(Errc::denied, "only a member of the network may call " + std::string(method_name(method)));
  auto handler = host_->find_handler(method);
  if (!handler) return refuse_call(Errc::not_found, fmt::format("method {} ({}) is not served", method, method_name(method)));
  const RpcOptions& options = host_->options;
  if (incoming_.size() >= options.requests_per_peer_max ||
      host_->handlers_running >= options.requests_max)
    return refuse_call(Errc::busy, "too many requests under way");
  const std::size_t rides_along = frame.payload.size();
  if (inline_bytes_ + rides_along > options.inline_bytes_per_peer ||
      host_->inline_bytes + rides_along > options.inline_bytes)
    return refuse_call(Errc::busy, "too many bytes in requests under way");

  auto call = std::make_shared<Incoming>();
  call->id = id;
  call->handler = std::move(handler);
  call->request.method = method;
  call->request.body = std::move(*header.mutable_body());
  call->bulk = header.bulk();
  call->reply_granted = header.credit();
  call->request_bytes = header.payload_bytes();
  incoming_.emplace(id, call);
  const auto wait = std::chrono::milliseconds(std::min(header.deadline_ms(), deadline_ms_max));
  call->deadline = host_->deadlines->add(
      runtime_.now() + wait, [weak = weak_from_this(), weak_call = std::weak_ptr(call)] {
        auto self = weak.lock();
        auto call = weak_call.lock();
        if (!self || !call || call->given_up) return;
        self->send_error(call->id, {Errc::timeout, "not done in time"});
        self->give_up(call);
      });
  if (call->request_bytes <= rpc_inline_bytes_max) {
    call->request.payload = std::move(frame.payload);
    call->inline_bytes = rides_along;
    inline_bytes_ += rides_along;
    host_->inline_bytes += rides_along;
    ready(call);
    return {};
  }
  call->request_want = host_->request_room->take(
      request_account_, call->request_bytes,
      [weak = weak_from_this(), weak_call = std::weak_ptr(call)](ByteBudget::Hold hold) {
        auto self = weak.lock();
        auto call = weak_call.lock();
        if (!self || !call || self->over_ || call->given_up) return;
        call->request_room = std::move(hold);
        call->granted = true;
        Header credit;
        credit.set_kind(Header::CREDIT);
        credit.set_call(call->id);
        credit.set_credit(call->request_bytes);
        self->send_control(credit);
      });
  return {};
}

Result<void> Session::on_request_data(RpcFrame& frame) {
  bulk_received_ += frame.payload.size();
  const auto found = incoming_.find(frame.header.call());
  if (found == incoming_.end() || found->second->given_up) return {};
  auto call = found->second;
  if (!call->granted) return fail(Errc::invalid, "data that was not granted");
  TRY(const bool whole, call->assembly.add(std::move(frame.payload), call->request_bytes));
  if (!whole) return {};
  call->granted = false;
  call->request.payload = call->assembly.take().flat();
  ready(call);
  return {};
}

/// Control is handled at once. Bulk waits while its replies pile up: the peer, not we, must be what
/// is slow about reading them.
void Session::ready(const std::shared_ptr<Incoming>& call) {
  if (!call->bulk) return start_handler(call);
  ready_.push_back(call);
  start_ready();
}

void Session::start_ready() {
  while (!ready_.empty() && bulk_handlers_ < host_->options.bulk_handlers_per_peer &&
         reply_bytes_unsent_ < reply_bytes_unsent_max) {
    auto call = std::move(ready_.front());
    ready_.pop_front();
    if (!call->given_up) start_handler(call);
  }
}

void Session::start_handler(const std::shared_ptr<Incoming>& call) {
  call->running = true;
  if (call->bulk) ++bulk_handlers_;
  ++host_->handlers_running;
  asio::co_spawn(
      runtime_.executor(), run_handler(shared_from_this(), call, call->handler),
      asio::bind_cancellation_slot(
          call->signal.slot(), [self = shared_from_this(), call](std::exception_ptr thrown) {
            // The signal must outlive the frames that unwind around this call.
            asio::post(self->runtime_.executor(), [call] {});
            SPATTER_ASSERT(!thrown || is_cancellation(thrown));
            call->running = false;
            if (call->bulk) --self->bulk_handlers_;
            self->release_request(*call);
            if (--self->host_->handlers_running == 0) self->host_->handlers_idle.wake_all();
            if (call->given_up || thrown) self->drop(*call);
            self->start_ready();
          }));
}

Task<void> Session::run_handler(std::shared_ptr<Session> self, std::shared_ptr<Incoming> call,
                                std::shared_ptr<Rpc::Handler> handler) {
  Caller caller{self->peer(), self->connection_->peer_key(), self->remote(), self->relayed()};
  const std::uint16_t method = call->request.method;
  Result<RpcReply> result = fail(Errc::io, "{} failed", method_name(method));
  try {
    result = co_await (*handler)(std::move(caller), std::move(call->request));
  } catch (...) {
    if (is_cancellation(std::current_exception())) throw;
    self->runtime_.log().error("{} for server {}: the handler threw", method_name(method),
                               self->peer());
  }
  self->release_request(*call);
  self->answer(call, std::move(result));
}

/// The handler is done with the request's payload.
void Session::release_request(Incoming& call) {
  call.request_room.release();
  const std::size_t bytes = std::exchange(call.inline_bytes, 0);
  inline_bytes_ -= bytes;
  host_->inline_bytes -= bytes;
}

void Session::answer(const std::shared_ptr<Incoming>& call, Result<RpcReply> result) {
  if (call->given_up || over_) return;
  if (result && (result->payload.size() > rpc_payload_bytes_max ||
                 result->body.size() > rpc_body_bytes_max))
    result = fail(Errc::invalid, "the reply is too large ({} and {} bytes)", result->body.size(),
                  result->payload.size());
  if (!result) {
    send_error(call->id, result.error());
    call->given_up = true;  // dropped when the handler's frame is gone
    return;
  }
  Header header;
  header.set_kind(Header::REPLY);
  header.set_call(call->id);
  header.set_body(std::move(result->body));
  Buffer payload = result->payload.flat();
  header.set_payload_bytes(payload.size());
  if (payload.size() <= rpc_inline_bytes_max) {
    call->given_up = true;
    if (call->bulk)
      send_bulk(call->id, header, std::move(payload));
    else
      send_control(header, std::move(payload));
    return;
  }
  send_control(header);
  call->reply_unsent = payload.size();
  reply_bytes_unsent_ += call->reply_unsent;
  if (payload.size() <= call->reply_granted)
    transfer(call->id, std::move(payload));
  else
    call->reply_payload = std::move(payload);
}

Result<void> Session::on_reply_credit(const Header& header) {
  const auto found = incoming_.find(header.call());
  if (found == incoming_.end() || found->second->given_up) return {};
  Incoming& call = *found->second;
  if (call.reply_payload.empty() || header.credit() != call.reply_payload.size())
    return fail(Errc::invalid, "a grant of {} bytes that nobody asked for", header.credit());
  transfer(call.id, std::exchange(call.reply_payload, {}));
  return {};
}

void Session::sent_all(std::uint64_t id) {
  const auto found = incoming_.find(id);
  if (found != incoming_.end() && found->second->reply_unsent != 0) drop(*found->second);
}

void Session::on_cancel(std::uint64_t id) {
  const auto found = incoming_.find(id);
  if (found != incoming_.end()) give_up(auto(found->second));
}

/// Nobody wants the reply: stops whatever is being done for this call.
void Session::give_up(const std::shared_ptr<Incoming>& call) {
  call->given_up = true;
  remove_bulk(call->id);
  call->deadline.cancel();
  if (call->running)
    call->signal.emit(asio::cancellation_type::terminal);  // its completion drops the call
  else
    drop(*call);
}

void Session::drop(Incoming& call) {
  call.deadline.cancel();
  call.request_want.reset();
  release_request(call);
  call.reply_payload = {};
  reply_bytes_unsent_ -= std::exchange(call.reply_unsent, 0);
  const std::uint64_t id = call.id;
  incoming_.erase(id);  // may have been the last reference
  start_ready();
  finish_if_done();
}

void Session::send_error(std::uint64_t id, const Error& error) {
  Header header;
  header.set_kind(Header::ERROR);
  header.set_call(id);
  header.set_error_code(static_cast<std::uint32_t>(error.code));
  header.set_error_text(error.message.substr(0, error_text_bytes_max));
  send_control(header);
}

}  // namespace spatter
