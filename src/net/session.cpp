#include "session.h"

#include "net/methods.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

// As much as is sent or asked for at a time, so that it travels in one frame and is never copied.
constexpr std::size_t piece_bytes = 256 << 10;
constexpr std::size_t batch_bytes = 256 << 10;     // given to the transport at a time
constexpr std::size_t free_answers_max = 4096;     // then reading waits for writing
constexpr std::size_t calls_per_peer_max = 192;    // below what the peer's limit is
constexpr Duration stalled_max = 30s;              // the transport takes nothing
constexpr Duration probe_timeout = 2s;             // for a PONG after a call timed out
constexpr Duration refusal_linger = 2s;            // for the peer to read why
constexpr Duration measure_every = 30s;            // a ping even while there is traffic
constexpr Duration race_window = 10s;              // in which both sides may have dialled at once

}  // namespace

SessionHost::SessionHost(Runtime& runtime, RpcOptions options)
    : runtime(runtime),
      options(options),
      instance(runtime.entropy().next_u64()),
      deadlines(std::make_shared<Deadlines>(runtime)),
      request_room(std::make_shared<ByteBudget>(std::max(options.request_bytes, rpc_payload_bytes_max))),
      reply_room(std::make_shared<ByteBudget>(std::max(options.reply_bytes, rpc_payload_bytes_max))),
      handlers_idle(runtime.executor()) {}

/// A frame, or a payload being cut into frames.
struct Session::Bulk {
  std::uint64_t call;
  std::vector<Buffer> frame;  // if not empty, goes whole
  Buffer payload;
  std::size_t sent = 0;
};

Session::Session(std::shared_ptr<SessionHost> host, std::shared_ptr<Connection> connection, Role role)
    : host_(std::move(host)),
      runtime_(host_->runtime),
      connection_(std::move(connection)),
      role_(role),
      next_call_(role == Role::dialler ? 1 : 2),
      call_slots_(runtime_.executor(), calls_per_peer_max),
      reply_account_(std::make_shared<ByteBudget::Account>(
          std::max(host_->options.reply_bytes_per_peer, rpc_payload_bytes_max))),
      request_account_(std::make_shared<ByteBudget::Account>(
          std::max(host_->options.request_bytes_per_peer, rpc_payload_bytes_max))),
      to_send_(runtime_.executor()),
      answers_sent_(runtime_.executor()),
      last_heard_(runtime_.now()),
      last_used_(last_heard_) {
  if (role == Role::dialler) dial_ = ++host_->dials;
}

Session::~Session() = default;

// ---- greeting

void Session::send_hello() {
  Header hello;
  hello.set_kind(Header::HELLO);
  hello.set_protocol(rpc_protocol_version);
  hello.set_network(host_->own_network().raw());
  hello.set_instance(host_->instance);
  hello.set_dial(dial_);
  send_control(hello);
}

Task<Result<void>> Session::greet(std::shared_ptr<Session> self) {
  const TimePoint begun = self->runtime_.now();
  const TimePoint deadline = begun + self->host_->options.hello_timeout;
  std::vector<std::vector<Buffer>> batch;
  std::vector<std::uint64_t> none;
  if (self->role_ == Role::dialler) {
    self->send_hello();
    self->gather(batch, none);
    CO_TRY_VOID(co_await self->connection_->send(std::exchange(batch, {})));
  }
  CO_TRY(auto frame, co_await self->first_frame(deadline));
  if (frame.header.kind() == Header::ERROR && !frame.header.proof().empty())
    self->host_->barred_by(self->peer(), frame.header.proof());
  if (frame.header.kind() == Header::ERROR)
    co_return fail(Errc::denied, "{}: server {} refused the connection: {}", self->remote().text(),
                   self->peer(), frame.header.error_text());
  if (auto good = self->judge_hello(frame.header); !good) {
    co_await self->refuse(good.error());
    co_return fail(good.error().during(self->remote().text()));
  }
  if (self->role_ == Role::acceptor) {
    self->send_hello();
    self->gather(batch, none);
    CO_TRY_VOID(co_await self->connection_->send(std::move(batch)));
  }
  self->established_ = self->last_heard_ = self->last_used_ = self->runtime_.now();
  self->greeted_ = true;
  if (self->over_) co_return fail(*self->over_);
  co_return Result<void>{};
}

Task<Result<RpcFrame>> Session::first_frame(TimePoint deadline) {
  CO_TRY(auto frames, co_await with_deadline(runtime_, deadline,
                                             fmt::format("greeting {}", remote().text()),
                                             connection_->receive()));
  SPATTER_ASSERT(!frames.empty());
  early_.assign(frames.begin() + 1, frames.end());
  auto frame = decode_frame(frames.front());
  if (!frame) co_return fail(frame.error().during(remote().text()));
  co_return std::move(*frame);
}

Result<void> Session::judge_hello(const Header& hello) {
  if (const auto* bar = host_->barred(peer()))
    return fail(Errc::denied, "server {} is refused: {}", peer(), bar->why);
  if (hello.kind() != Header::HELLO)
    return fail(Errc::invalid, "server {} did not greet", peer());
  if (hello.protocol() != rpc_protocol_version)
    return fail(Errc::invalid, "server {} speaks protocol {}, this one {}", peer(),
                hello.protocol(), rpc_protocol_version);
  TRY(peer_network_, NetworkId::from(hello.network()));
  const NetworkId own = host_->own_network();
  joining_ = own.is_zero() || peer_network_.is_zero();
  if (!joining_ && own != peer_network_)
    return fail(Errc::denied, "server {} belongs to network {}, not to {}", peer(), peer_network_,
                own);
  peer_instance_ = hello.instance();
  if (role_ == Role::acceptor) dial_ = hello.dial();
  return {};
}

/// Says why, and waits for the peer to hang up, so that what was said gets there.
Task<void> Session::refuse(Error reason) {
  Header header;
  header.set_kind(Header::ERROR);
  header.set_error_code(static_cast<std::uint32_t>(reason.code));
  header.set_error_text(fmt::format("it belongs to network {} and speaks protocol {}",
                                    host_->own_network(), rpc_protocol_version));
  if (const auto* bar = host_->barred(peer())) {
    header.set_error_text(bar->why);
    header.set_proof(bar->proof);
  }
  std::vector<std::vector<Buffer>> batch{encode_frame(header)};
  const TimePoint until = runtime_.now() + refusal_linger;
  auto sent = co_await with_deadline(runtime_, until, "refuse", connection_->send(std::move(batch)));
  for (int i = 0; sent && i < 16; ++i) {
    auto more = co_await with_deadline(runtime_, until, "refuse", connection_->receive());
    if (!more) break;
  }
}

// ---- reading

Task<void> Session::read(std::shared_ptr<Session> self) {
  auto judge = [&](const Buffer& bytes) {
    if (self->over_) return false;
    auto good = self->handle(bytes);
    if (good) return true;
    self->runtime_.log().warning("{} (server {}) sent {}; closing the connection",
                                 self->remote().text(), self->peer(), good.error().message);
    self->end({Errc::unavailable,
               fmt::format("server {} sent {}", self->peer(), good.error().message)});
    return false;
  };
  while (!self->early_.empty()) {
    const Buffer bytes = std::move(self->early_.front());
    self->early_.pop_front();
    if (!judge(bytes)) co_return;
  }
  while (!self->over_) {
    auto frames = co_await self->connection_->receive();
    if (!frames) co_return self->end(std::move(frames).error());
    self->last_heard_ = self->runtime_.now();
    self->probe_.cancel();
    for (Buffer& bytes : *frames) {
      if (!judge(bytes)) co_return;
      bytes = {};
    }
    while (self->free_answers_ > free_answers_max && !self->over_) {
      self->answers_sent_.reset();
      co_await self->answers_sent_.wait();
    }
  }
}

Result<void> Session::handle(const Buffer& bytes) {
  TRY(auto frame, decode_frame(bytes));
  const Header& header = frame.header;
  const bool own = is_own(header.call());
  switch (header.kind()) {
    case Header::REQUEST:
      if (own || header.call() == 0) return fail(Errc::invalid, "a request with our call number");
      return on_request(frame);
    case Header::REPLY:
      if (!own) return fail(Errc::invalid, "a reply to its own call");
      return on_reply(frame);
    case Header::ERROR:
      if (!own) return fail(Errc::invalid, "an error for its own call");
      return on_error(header);
    case Header::DATA:
      return own ? on_reply_data(frame) : on_request_data(frame);
    case Header::CREDIT:
      return own ? on_request_credit(header) : on_reply_credit(header);
    case Header::CANCEL:
      if (own) return fail(Errc::invalid, "a cancellation of our call");
      on_cancel(header.call());
      return {};
    case Header::PING: {
      Header pong;
      pong.set_kind(Header::PONG);
      pong.set_call(header.call());
      ++free_answers_;
      send_control(pong);
      return {};
    }
    case Header::PONG:
      if (ping_sent_ && measures)
        measures->round_trip_s.add(
            std::chrono::duration<double>(runtime_.now() - *ping_sent_).count());
      ping_sent_.reset();
      return {};
    case Header::GOODBYE:
      goodbye_received_ = true;
      retire();
      return {};
    default:
      return fail(Errc::invalid, "a second greeting");
  }
}

// ---- writing

Task<void> Session::write(std::shared_ptr<Session> self) {
  std::vector<std::vector<Buffer>> batch;
  std::vector<std::uint64_t> done;
  while (!self->over_) {
    if (!self->gather(batch, done)) {
      self->finish_if_done();
      if (self->over_) co_return;
      self->to_send_.reset();
      co_await self->to_send_.wait();
      continue;
    }
    self->sending_since_ = self->runtime_.now();
    auto sent = co_await self->connection_->send(std::exchange(batch, {}));
    self->sending_since_.reset();
    if (!sent) co_return self->end(std::move(sent).error());
    for (const std::uint64_t id : std::exchange(done, {})) self->sent_all(id);
  }
}

/// The next frames: all that is control, then a piece of every bulk transfer in turn.
bool Session::gather(std::vector<std::vector<Buffer>>& batch, std::vector<std::uint64_t>& done) {
  std::size_t bytes = 0;
  auto add = [&](std::vector<Buffer> frame) {
    for (const Buffer& piece : frame) bytes += piece.size();
    batch.push_back(std::move(frame));
  };
  while (!control_.empty() && bytes < batch_bytes) {
    add(std::move(control_.front()));
    control_.pop_front();
  }
  while (!bulk_.empty() && bytes < batch_bytes) {
    Bulk next = std::move(bulk_.front());
    bulk_.pop_front();
    if (!next.frame.empty()) {
      add(std::move(next.frame));
      done.push_back(next.call);
      continue;
    }
    Header header;
    header.set_kind(Header::DATA);
    header.set_call(next.call);
    const std::size_t length = std::min(piece_bytes, next.payload.size() - next.sent);
    add(encode_frame(header, next.payload.slice(next.sent, length)));
    next.sent += length;
    bulk_sent_ += length;
    if (next.sent < next.payload.size())
      bulk_.push_back(std::move(next));
    else
      done.push_back(next.call);
  }
  if (free_answers_ != 0 && control_.empty()) {
    free_answers_ = 0;
    answers_sent_.set();
  }
  return !batch.empty();
}

void Session::send_control(const Header& header, Buffer payload) {
  if (over_) return;
  control_.push_back(encode_frame(header, std::move(payload)));
  to_send_.set();
}

void Session::send_bulk(std::uint64_t id, const Header& header, Buffer payload) {
  if (over_) return;
  bulk_.push_back({id, encode_frame(header, std::move(payload)), {}});
  to_send_.set();
}

void Session::transfer(std::uint64_t id, Buffer payload) {
  if (over_) return;
  bulk_.push_back({id, {}, std::move(payload)});
  to_send_.set();
}

bool Session::remove_bulk(std::uint64_t id) {
  return std::erase_if(bulk_, [id](const Bulk& bulk) { return bulk.call == id; }) > 0;
}

// ---- life and death

bool Session::usable_for(std::uint16_t method) const {
  if (!greeted_ || over_ || retired_ || goodbye_received_) return false;
  return !joining_ || is_join_method(method);
}

bool Session::preferred_to(const Session& other) const {
  if (relayed() != other.relayed()) return !relayed();
  const Duration apart = established_ - other.established_;
  if (apart > race_window || apart < -race_window) return apart > Duration::zero();
  if (role_ == other.role_) return dial_ > other.dial_;
  const bool we_are_smaller = host_->instance < peer_instance_;
  return (role_ == Role::dialler) == we_are_smaller;
}

void Session::retire() {
  if (over_) return;
  retired_ = true;
  if (!goodbye_sent_ && outgoing_.empty()) {
    goodbye_sent_ = true;
    Header header;
    header.set_kind(Header::GOODBYE);
    send_control(header);
  }
  to_send_.set();
}

void Session::finish_if_done() {
  if (goodbye_sent_ && goodbye_received_ && outgoing_.empty() && incoming_.empty() &&
      control_.empty() && bulk_.empty())
    end({Errc::unavailable, fmt::format("server {}: the connection is no longer needed", peer())});
}

void Session::end(Error reason) {
  if (over_) return;
  auto self = shared_from_this();
  over_ = std::move(reason);
  probe_.cancel();
  connection_->close();
  control_.clear();
  bulk_.clear();
  for (auto& [id, call] : std::exchange(outgoing_, {}))
    complete(*call, fail(*over_));
  ready_.clear();
  for (auto& [id, call] : std::exchange(incoming_, {})) give_up(call);
  to_send_.set();
  answers_sent_.set();
  host_->session_ended(self);
}

void Session::tick() {
  if (over_ || !greeted_) return;
  const TimePoint now = runtime_.now();
  if (now - last_heard_ >= host_->options.dead_after)
    return end({Errc::unavailable, fmt::format("server {} ({}) has gone silent", peer(), remote().text())});
  if (sending_since_ && now - *sending_since_ >= stalled_max)
    return end({Errc::unavailable, fmt::format("server {} ({}) takes no more data", peer(), remote().text())});
  const Duration ping_after = host_->options.ping_after;
  if (ping_sent_) {
    if (now - *ping_sent_ >= ping_after) ping();
  } else if (now - last_heard_ >= ping_after || now >= measure_at_) {
    ping();
  }
}

void Session::ping() {
  Header header;
  header.set_kind(Header::PING);
  ping_sent_ = runtime_.now();
  measure_at_ = *ping_sent_ + measure_every;
  send_control(header);
}

/// A call timed out. If the peer has said nothing at all since, it had better answer a ping.
void Session::suspect(TimePoint since) {
  if (over_ || last_heard_ > since) return;
  ping();
  probe_ = host_->deadlines->add(
      runtime_.now() + probe_timeout, [weak = weak_from_this()] {
        if (auto self = weak.lock())
          self->end({Errc::unavailable, fmt::format("server {} ({}) does not answer", self->peer(),
                                                    self->remote().text())});
      });
}

}  // namespace spatter
