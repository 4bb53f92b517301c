// One TLS connection, seen from both its threads: an I/O thread runs the socket and the SSL object,
// the Runtime's executor sends and receives whole frames. Between them are two bounded queues under
// one mutex.
#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/runtime.h"
#include "base/sync.h"
#include "frame_reader.h"
#include "net/tls_transport.h"
#include "tls_context.h"

namespace spatter {

/// A thread with its event loop, and the memory its connections take turns with.
struct IoThread {
  explicit IoThread(unsigned number);
  ~IoThread();
  /// Lets run() end once all connections are gone, and waits for that. Not from the thread itself.
  void finish();

  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard;
  Bytes cipher;  ///< records on their way to the socket
  Bytes plain;   ///< small pieces being gathered into one record
  std::thread thread;
};

/// Of the other side, an IPv4 address as such even where the socket takes both kinds; empty when the
/// connection is over.
Address address_of(const asio::ip::tcp::socket& socket);

class TlsLink : public std::enable_shared_from_this<TlsLink> {
 public:
  using Established = std::function<void(Result<void>)>;  ///< on the I/O thread, once
  using Ended = std::function<void()>;                    ///< on the I/O thread, once

  TlsLink(Runtime& runtime, IoThread& io, asio::ip::tcp::socket socket, const TlsOptions& options);
  ~TlsLink();

  // On the I/O thread.
  void handshake(SSL_CTX* context, bool as_client, const ServerId& expected, Duration timeout,
                 Established established, Ended ended);

  // On the executor, once established.
  Task<Result<void>> send(std::vector<std::vector<Buffer>> frames);
  Task<Result<std::vector<Buffer>>> receive();

  // Any thread.
  void close(std::string reason);
  const PeerProof& proof() const { return proof_; }
  const Address& remote() const { return remote_; }

 private:
  // All on the I/O thread.
  void make_ssl(SSL_CTX* context, bool as_client);
  void continue_handshake();
  void finish_handshake(Result<void> result);
  Error handshake_error(std::string_view failure) const;
  void read_some();
  void deliver(std::vector<Buffer>& frames);
  void write_some();
  bool encrypt(ByteView bytes, bool last);
  bool encrypt_now(ByteView bytes);
  bool flush();
  void await_readable();
  void await_writable();
  void end(Error reason);
  bool established() const { return !established_; }

  void wake_executor();  // any thread, without the mutex
  void woken();          // on the executor

  static BIO_METHOD* bio_method();
  static int bio_write(BIO* bio, const char* bytes, int count);
  static int bio_read(BIO* bio, char* out, int count);
  static long bio_control(BIO* bio, int command, long number, void* pointer);

  Runtime& runtime_;
  IoThread& io_;
  const std::size_t queue_max_;
  Address remote_;
  PeerProof proof_;

  // I/O thread only.
  asio::ip::tcp::socket socket_;
  asio::steady_timer deadline_;
  SslPointer ssl_;
  Established established_;
  Ended ended_;
  FrameReader reader_;
  Bytes unsent_;               // records the socket did not take yet
  std::size_t unsent_from_ = 0;
  bool awaiting_readable_ = false;
  bool awaiting_writable_ = false;
  bool drained_ = false;       // the last recv came back short: nothing more until readable
  bool at_end_ = false;        // the peer has closed its side
  bool over_ = false;
  std::uint64_t since_key_update_ = 0;

  // Both threads, under mutex_.
  std::mutex mutex_;
  std::deque<Buffer> outbound_;
  std::size_t outbound_bytes_ = 0;  // including what the I/O thread is encrypting now
  std::vector<Buffer> inbound_;
  std::size_t inbound_bytes_ = 0;
  bool writing_scheduled_ = false;
  bool reading_paused_ = false;
  bool receiver_waits_ = false;
  bool sender_waits_ = false;
  std::optional<Error> closed_;

  // Executor only.
  Event changed_;
};

}  // namespace spatter
