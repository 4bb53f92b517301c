// The half of a Session that calls the peer.

#include "net/methods.h"
#include "session.h"
#include "session_parts.h"

namespace spatter {

Task<std::optional<Result<RpcReply>>> Session::call(RpcRequest& request, CallOptions options,
                                                    TimePoint deadline) {
  auto self = shared_from_this();
  auto slot = call_slots_.try_acquire(1);
  if (!slot) {
    auto waited = co_await with_deadline(runtime_, deadline, fmt::format("call server {}", peer()),
                                         wait_for_slot(call_slots_));
    if (!waited) co_return Result<RpcReply>(fail(std::move(waited).error()));
    slot = std::move(*waited);
  }
  if (!usable_for(request.method)) co_return std::nullopt;
  auto call = std::make_shared<Outgoing>(runtime_.executor());
  call->id = std::exchange(next_call_, next_call_ + 2);
  call->begun = last_used_ = runtime_.now();
  call->bulk_received_before = bulk_received_;
  outgoing_.emplace(call->id, call);
  const std::uint16_t method = request.method;
  call->deadline = host_->deadlines->add(deadline, [self, weak = std::weak_ptr(call), method] {
    auto call = weak.lock();
    if (!call) return;
    self->suspect(call->begun);
    if (self->measures) self->measures->failures.add(self->runtime_.now());
    self->complete(*call, fail(Errc::timeout, "server {} did not answer {} in time", self->peer(),
                               method_name(method)));
  });
  struct Leave {  // also when the caller is cancelled
    Session& session;
    Outgoing& call;
    ~Leave() { session.forget(call); }
  } leave{*this, *call};
  call->request_bytes = request.payload.size();
  send_request(*call, std::move(request), options, deadline);
  co_await call->done.wait();
  co_return std::move(*call->result);
}

void Session::send_request(Outgoing& call, RpcRequest request, const CallOptions& options,
                           TimePoint deadline) {
  using Milliseconds = std::chrono::milliseconds;
  const auto left = std::chrono::duration_cast<Milliseconds>(deadline - runtime_.now()).count();
  Header header;
  header.set_kind(Header::REQUEST);
  header.set_call(call.id);
  header.set_method(request.method);
  header.set_deadline_ms(static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, 1 << 30)));
  header.set_body(std::move(request.body));
  header.set_payload_bytes(request.payload.size());
  header.set_bulk(options.priority == Priority::bulk);
  const std::size_t expected = std::min(options.reply_payload_bytes, rpc_payload_bytes_max);
  if (expected > rpc_inline_bytes_max) {
    if (auto room = host_->reply_room->try_take(reply_account_, expected)) {
      call.reply_room = std::move(*room);
      header.set_credit(expected);
    }
  }
  Buffer inline_payload;
  if (request.payload.size() <= rpc_inline_bytes_max)
    inline_payload = std::move(request.payload);
  else
    call.request_payload = std::move(request.payload);
  if (header.bulk())
    send_bulk(call.id, header, std::move(inline_payload));
  else
    send_control(header, std::move(inline_payload));
}

void Session::complete(Outgoing& call, Result<RpcReply> result) {
  if (call.result) return;
  if (result && measures && runtime_.now() > call.begun) {
    const double seconds = std::chrono::duration<double>(runtime_.now() - call.begun).count();
    if (call.request_bytes > rpc_inline_bytes_max)
      measures->send_bytes_per_s.add(
          static_cast<double>(bulk_sent_ - call.bulk_sent_before.value_or(bulk_sent_)) / seconds);
    if (result->payload.size() > rpc_inline_bytes_max)
      measures->receive_bytes_per_s.add(
          static_cast<double>(bulk_received_ - call.bulk_received_before) / seconds);
  }
  call.answered = true;
  call.result = std::move(result);
  call.done.set();
}

/// The caller has its result, or has gone away.
void Session::forget(Outgoing& call) {
  call.deadline.cancel();
  if (outgoing_.erase(call.id) == 0 || over_) return;
  const bool replied = call.replied;
  remove_bulk(call.id);
  if (!replied) {
    Header header;
    header.set_kind(Header::CANCEL);
    header.set_call(call.id);
    send_control(header);
  }
  if (retired_) retire();
}

Result<void> Session::on_reply(RpcFrame& frame) {
  const auto found = outgoing_.find(frame.header.call());
  if (found == outgoing_.end()) return {};  // given up meanwhile
  auto call = found->second;
  if (call->replied_header) return fail(Errc::invalid, "two replies to one call");
  call->replied_header = true;
  RpcReply reply;
  reply.body = std::move(*frame.header.mutable_body());
  if (frame.header.payload_bytes() <= rpc_inline_bytes_max) {
    reply.payload = std::move(frame.payload);
    call->replied = true;
    complete(*call, std::move(reply));
    return {};
  }
  call->reply = std::move(reply);
  call->reply_bytes = frame.header.payload_bytes();
  if (call->reply_bytes <= call->reply_room.bytes()) {
    call->granted = true;
    return {};
  }
  call->reply_room.release();
  call->reply_want = host_->reply_room->take(
      reply_account_, call->reply_bytes,
      [weak = weak_from_this(), weak_call = std::weak_ptr(call)](ByteBudget::Hold hold) {
        auto self = weak.lock();
        auto call = weak_call.lock();
        if (!self || !call || self->over_) return;
        call->reply_room = std::move(hold);
        call->granted = true;
        Header credit;
        credit.set_kind(Header::CREDIT);
        credit.set_call(call->id);
        credit.set_credit(call->reply_bytes);
        self->send_control(credit);
      });
  return {};
}

Result<void> Session::on_error(const Header& header) {
  const auto found = outgoing_.find(header.call());
  if (found == outgoing_.end()) return {};
  auto call = found->second;
  call->replied = true;
  complete(*call, fail(error_of(header, peer())));
  return {};
}

Result<void> Session::on_reply_data(RpcFrame& frame) {
  bulk_received_ += frame.payload.size();
  const auto found = outgoing_.find(frame.header.call());
  if (found == outgoing_.end()) return {};  // was on its way when we gave up
  auto call = found->second;
  if (!call->granted) return fail(Errc::invalid, "data that was not granted");
  TRY(const bool whole, call->assembly.add(std::move(frame.payload), call->reply_bytes));
  if (!whole) return {};
  call->granted = false;
  call->replied = true;
  call->reply.payload = call->assembly.take();
  complete(*call, std::move(call->reply));
  return {};
}

Result<void> Session::on_request_credit(const Header& header) {
  const auto found = outgoing_.find(header.call());
  if (found == outgoing_.end() || found->second->result) return {};
  Outgoing& call = *found->second;
  if (call.request_payload.empty() || header.credit() != call.request_payload.size())
    return fail(Errc::invalid, "a grant of {} bytes that nobody asked for", header.credit());
  call.bulk_sent_before = bulk_sent_;
  transfer(call.id, std::exchange(call.request_payload, {}));
  return {};
}

}  // namespace spatter
