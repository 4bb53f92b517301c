#include "tls_link.h"

#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <sys/socket.h>

#include <asio/post.hpp>

namespace spatter {
namespace {

constexpr std::size_t record_bytes = 16 << 10;          // TLS's most plaintext in one record
constexpr std::size_t encrypt_piece_bytes = 64 << 10;   // per SSL_write
constexpr std::size_t flush_bytes = 128 << 10;          // records gathered for one send()
constexpr std::size_t turn_bytes = 1 << 20;             // before another connection's turn
constexpr std::size_t deliver_bytes = 256 << 10;        // frames gathered before the executor hears
constexpr int unsent_in_kernel_bytes = 512 << 10;       // what control frames may have to wait for
// AES-GCM is good for 2^24.5 records with one key (RFC 8446, 5.5); this is 2^22.
constexpr std::uint64_t key_update_bytes = std::uint64_t{1} << 36;

Buffer length_prefix(std::size_t length) {
  const std::uint8_t bytes[] = {
      static_cast<std::uint8_t>(length >> 24), static_cast<std::uint8_t>(length >> 16),
      static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)};
  return Buffer::copy_of(bytes);
}

}  // namespace

Address address_of(const asio::ip::tcp::socket& socket) {
  asio::error_code gone;
  const auto endpoint = socket.remote_endpoint(gone);
  if (gone) return {};
  auto address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  return {address.to_string(), endpoint.port()};
}

IoThread::IoThread(unsigned number) : guard(asio::make_work_guard(context)) {
  cipher.reserve(flush_bytes + encrypt_piece_bytes + 4096);
  plain.reserve(record_bytes);
  thread = std::thread([this, number] {
    pthread_setname_np(pthread_self(), fmt::format("spatter-io{}", number).c_str());
    context.run();
  });
}

IoThread::~IoThread() { finish(); }

void IoThread::finish() {
  guard.reset();
  if (thread.joinable()) thread.join();
}

TlsLink::TlsLink(Runtime& runtime, IoThread& io, asio::ip::tcp::socket socket,
                 const TlsOptions& options)
    : runtime_(runtime),
      io_(io),
      queue_max_(options.queue_bytes_max),
      remote_(address_of(socket)),
      socket_(std::move(socket)),
      deadline_(io.context),
      changed_(runtime.executor()) {}

TlsLink::~TlsLink() = default;

// ---- handshake

void TlsLink::handshake(SSL_CTX* context, bool as_client, const ServerId& expected,
                        Duration timeout, Established established, Ended ended) {
  if (over_) {  // closed before it began
    established(fail(Errc::cancelled, "{}: the connection was closed", remote_.text()));
    return ended();
  }
  proof_.expected = expected;
  established_ = std::move(established);
  ended_ = std::move(ended);
  make_ssl(context, as_client);
  deadline_.expires_after(timeout);
  deadline_.async_wait([self = shared_from_this()](asio::error_code error) {
    if (!error && !self->established())
      self->finish_handshake(fail(Errc::timeout, "{}: no TLS handshake in time", self->remote_.text()));
  });
  continue_handshake();
}

void TlsLink::make_ssl(SSL_CTX* context, bool as_client) {
  asio::error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  // Bounds what control frames must queue behind inside the kernel, without capping the window.
  setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_in_kernel_bytes,
             sizeof unsent_in_kernel_bytes);
  ssl_.reset(SSL_new(context));
  BIO* bio = BIO_new(bio_method());
  SPATTER_ASSERT(ssl_ && bio);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), &proof_);
  if (as_client)
    SSL_set_connect_state(ssl_.get());
  else
    SSL_set_accept_state(ssl_.get());
}

void TlsLink::continue_handshake() {
  if (over_ || established()) return;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  const int why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), result);
  const std::string reason = why == SSL_ERROR_SSL ? openssl_reason() : "the peer closed the connection";
  flush();  // also what an alert says to the peer
  if (why == SSL_ERROR_WANT_READ) return await_readable();
  if (why != SSL_ERROR_NONE) return finish_handshake(fail(handshake_error(reason)));
  const unsigned char* protocol = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &length);
  if (length == 0) return finish_handshake(fail(handshake_error("it does not speak spatter/1")));
  finish_handshake({});
}

Error TlsLink::handshake_error(std::string_view failure) const {
  if (!proof_.refusal.empty())
    return {Errc::denied, fmt::format("{}: {}", remote_.text(), proof_.refusal)};
  return {Errc::unavailable, fmt::format("{}: TLS handshake failed: {}", remote_.text(), failure)};
}

void TlsLink::finish_handshake(Result<void> result) {
  deadline_.cancel();
  auto established = std::exchange(established_, nullptr);
  if (!result) {
    Error reason = result.error();
    established(std::move(result));
    return end(std::move(reason));
  }
  established({});
  read_some();
}

// ---- the executor's side

Task<Result<void>> TlsLink::send(std::vector<std::vector<Buffer>> frames) {
  auto self = shared_from_this();
  bool schedule = false;
  {
    std::lock_guard lock(mutex_);
    if (closed_) co_return fail(*closed_);
    for (auto& frame : frames) {
      std::size_t length = 0;
      for (const Buffer& piece : frame) length += piece.size();
      SPATTER_ASSERT(length > 0 && length <= frame_bytes_max);
      outbound_bytes_ += length + frame_length_bytes;
      outbound_.push_back(length_prefix(length));
      for (Buffer& piece : frame)
        if (!piece.empty()) outbound_.push_back(std::move(piece));
    }
    schedule = !std::exchange(writing_scheduled_, true);
  }
  if (schedule) asio::post(io_.context, [self] { self->write_some(); });
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) co_return fail(*closed_);
      if (outbound_bytes_ <= queue_max_) co_return Result<void>{};
      sender_waits_ = true;
      changed_.reset();
    }
    co_await changed_.wait();
  }
}

Task<Result<std::vector<Buffer>>> TlsLink::receive() {
  auto self = shared_from_this();
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (!inbound_.empty()) {
        inbound_bytes_ = 0;
        if (std::exchange(reading_paused_, false))
          asio::post(io_.context, [self] { self->read_some(); });
        co_return std::exchange(inbound_, {});
      }
      if (closed_) co_return fail(*closed_);
      receiver_waits_ = true;
      changed_.reset();
    }
    co_await changed_.wait();
  }
}

void TlsLink::close(std::string reason) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = Error{Errc::unavailable, std::move(reason)};
    outbound_.clear();
    inbound_.clear();
  }
  wake_executor();
  asio::post(io_.context, [self = shared_from_this()] {
    self->end({Errc::unavailable, "the connection was closed"});
  });
}

void TlsLink::wake_executor() {
  asio::post(runtime_.executor(), [self = shared_from_this()] { self->woken(); });
}

void TlsLink::woken() { changed_.set(); }

// ---- the I/O thread: reading

void TlsLink::read_some() {
  if (over_ || !established() || awaiting_readable_) return;
  std::vector<Buffer> frames;
  std::size_t gathered = 0;
  for (std::size_t turn = 0; turn < turn_bytes;) {
    {
      std::lock_guard lock(mutex_);
      if (inbound_bytes_ >= queue_max_) {
        reading_paused_ = true;
        return;
      }
    }
    // One look at the mutex per delivery, not per record.
    while (gathered < deliver_bytes) {
      const MutableBytes space = reader_.space();
      std::size_t count = 0;
      ERR_clear_error();
      if (SSL_read_ex(ssl_.get(), space.data(), space.size(), &count) != 1) {
        const int why = SSL_get_error(ssl_.get(), 0);
        const std::string reason = why == SSL_ERROR_SSL ? openssl_reason() : "";
        deliver(frames);
        flush();  // a key update or an alert may want to go out
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return await_readable();
        if (why == SSL_ERROR_ZERO_RETURN || reason.empty() || at_end_)
          return end({Errc::unavailable, "the peer closed the connection"});
        runtime_.log().warning("{} (server {}): {}; closing the connection", remote_.text(),
                               proof_.server, reason);
        return end({Errc::unavailable, "TLS failure: " + reason});
      }
      gathered += count;
      if (auto good = reader_.filled(count, frames); !good) {
        runtime_.log().warning("{} (server {}) sent {}; closing the connection", remote_.text(),
                               proof_.server, good.error().message);
        deliver(frames);
        return end({Errc::unavailable, "the peer sent " + good.error().message});
      }
    }
    turn += std::exchange(gathered, 0);
    deliver(frames);
  }
  asio::post(io_.context, [self = shared_from_this()] { self->read_some(); });
}

void TlsLink::deliver(std::vector<Buffer>& frames) {
  if (frames.empty()) return;
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    for (Buffer& frame : frames) {
      inbound_bytes_ += frame.size();
      inbound_.push_back(std::move(frame));
    }
    wake = std::exchange(receiver_waits_, false);
  }
  frames.clear();
  if (wake) wake_executor();
}

void TlsLink::await_readable() {
  if (over_ || std::exchange(awaiting_readable_, true)) return;
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this()](asio::error_code error) {
                       self->awaiting_readable_ = false;
                       if (error) return;  // closed by end()
                       self->drained_ = false;
                       if (self->established())
                         self->read_some();
                       else
                         self->continue_handshake();
                     });
}

// ---- the I/O thread: writing

/// Encrypts what is queued, record by record, and hands it to the socket in large pieces. Pieces
/// shorter than a record are gathered first; longer ones are encrypted from where they lie.
void TlsLink::write_some() {
  if (over_ || awaiting_writable_) return;  // await_writable comes back here
  for (std::size_t turn = 0; turn < turn_bytes;) {
    std::deque<Buffer> pieces;
    {
      std::lock_guard lock(mutex_);
      if (outbound_.empty() || closed_) {
        writing_scheduled_ = false;
        return;
      }
      std::size_t taken = 0;
      while (!outbound_.empty() && taken < deliver_bytes) {
        taken += outbound_.front().size();
        pieces.push_back(std::move(outbound_.front()));
        outbound_.pop_front();
      }
    }
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      bytes += pieces[i].size();
      if (!encrypt(pieces[i], i + 1 == pieces.size())) {
        return end({Errc::unavailable, "TLS failure: " + openssl_reason()});
      }
    }
    const bool taken_all = flush();
    if (over_) return;
    turn += bytes;
    bool wake = false;
    {
      std::lock_guard lock(mutex_);
      outbound_bytes_ -= bytes;
      if (sender_waits_ && outbound_bytes_ <= queue_max_ / 2)
        wake = std::exchange(sender_waits_, false);
    }
    if (wake) wake_executor();
    if (!taken_all) return;
  }
  asio::post(io_.context, [self = shared_from_this()] { self->write_some(); });
}

bool TlsLink::encrypt(ByteView bytes, bool last) {
  Bytes& plain = io_.plain;
  if (!plain.empty() || bytes.size() < record_bytes) {
    const std::size_t fits = std::min(bytes.size(), record_bytes - plain.size());
    plain.insert(plain.end(), bytes.begin(), bytes.begin() + fits);
    bytes = bytes.subspan(fits);
    if (plain.size() == record_bytes || (last && bytes.empty())) {
      const bool good = encrypt_now(plain);
      plain.clear();
      if (!good) return false;
    }
  }
  // `plain` is empty now or there is nothing left.
  while (bytes.size() >= record_bytes || (last && !bytes.empty())) {
    std::size_t piece = std::min(bytes.size(), encrypt_piece_bytes);
    if (!last) piece -= piece % record_bytes;
    if (!encrypt_now(bytes.first(piece))) return false;
    bytes = bytes.subspan(piece);
  }
  plain.insert(plain.end(), bytes.begin(), bytes.end());
  return true;
}

bool TlsLink::encrypt_now(ByteView bytes) {
  since_key_update_ += bytes.size();
  if (since_key_update_ > key_update_bytes) {
    since_key_update_ = 0;
    if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return false;
  }
  while (!bytes.empty()) {
    std::size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) != 1) return false;
    bytes = bytes.subspan(written);
    if (io_.cipher.size() >= flush_bytes) flush();
  }
  return true;
}

/// Moves encrypted records to the socket. False while the socket takes no more: the rest is kept in
/// unsent_, and writing goes on once it is writable.
bool TlsLink::flush() {
  Bytes& cipher = io_.cipher;
  std::size_t sent = 0;
  if (unsent_.empty()) {
    while (sent < cipher.size() && !over_) {
      const ssize_t count = ::send(socket_.native_handle(), cipher.data() + sent,
                                   cipher.size() - sent, MSG_NOSIGNAL);
      if (count > 0) {
        sent += static_cast<std::size_t>(count);
      } else if (count < 0 && errno == EINTR) {
        continue;
      } else {
        break;
      }
    }
  }
  const bool hard = sent < cipher.size() && errno != EAGAIN && errno != EWOULDBLOCK && unsent_.empty();
  if (!hard) unsent_.insert(unsent_.end(), cipher.begin() + sent, cipher.end());
  cipher.clear();
  if (hard) {
    // Reading tells the reason soon, and may still bring what the peer had said before.
    return true;
  }
  if (unsent_.empty()) return true;
  await_writable();
  return false;
}

void TlsLink::await_writable() {
  if (over_ || std::exchange(awaiting_writable_, true)) return;
  socket_.async_wait(
      asio::ip::tcp::socket::wait_write, [self = shared_from_this()](asio::error_code error) {
        self->awaiting_writable_ = false;
        if (error || self->over_) return;
        while (self->unsent_from_ < self->unsent_.size()) {
          const ssize_t count = ::send(
              self->socket_.native_handle(), self->unsent_.data() + self->unsent_from_,
              self->unsent_.size() - self->unsent_from_, MSG_NOSIGNAL);
          if (count < 0 && errno == EINTR) continue;
          if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return self->await_writable();
          if (count <= 0) return self->end({Errc::unavailable, "the connection broke"});
          self->unsent_from_ += static_cast<std::size_t>(count);
        }
        self->unsent_.clear();
        self->unsent_from_ = 0;
        self->write_some();
      });
}

void TlsLink::end(Error reason) {
  if (std::exchange(over_, true)) return;
  // Tell the peer politely if that costs nothing; what is unsent is lost either way.
  if (ssl_ && SSL_is_init_finished(ssl_.get()) && unsent_.empty()) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
    if (!io_.cipher.empty())
      [[maybe_unused]] auto ignored = ::send(socket_.native_handle(), io_.cipher.data(),
                                             io_.cipher.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  io_.cipher.clear();
  io_.plain.clear();
  asio::error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
  {
    std::lock_guard lock(mutex_);
    if (!closed_) {
      reason.message = remote_.text() + ": " + reason.message;
      closed_ = std::move(reason);
    }
    outbound_.clear();
  }
  Bytes().swap(unsent_);
  wake_executor();
  if (auto established = std::exchange(established_, nullptr)) established(fail(*closed_));
  if (auto ended = std::exchange(ended_, nullptr)) ended();
}

// ---- OpenSSL's way to the socket

BIO_METHOD* TlsLink::bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "spatter link");
    SPATTER_ASSERT(made);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

int TlsLink::bio_write(BIO* bio, const char* bytes, int count) {
  auto& link = *static_cast<TlsLink*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const auto* from = reinterpret_cast<const std::uint8_t*>(bytes);
  link.io_.cipher.insert(link.io_.cipher.end(), from, from + count);
  return count;
}

int TlsLink::bio_read(BIO* bio, char* out, int count) {
  auto& link = *static_cast<TlsLink*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  while (!link.drained_) {
    const ssize_t got = ::recv(link.socket_.native_handle(), out, static_cast<std::size_t>(count), 0);
    if (got > 0) {
      link.drained_ = got < count;
      return static_cast<int>(got);
    }
    if (got == 0) {
      link.at_end_ = true;
      return 0;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      link.at_end_ = true;
      return -1;
    }
    link.drained_ = true;
  }
  BIO_set_retry_read(bio);
  return -1;
}

long TlsLink::bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return static_cast<TlsLink*>(BIO_get_data(bio))->at_end_ ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

}  // namespace spatter
