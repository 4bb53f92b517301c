// The real Transport: TCP and TLS 1.3, both sides with a self-signed Ed25519 certificate made from
// their server key. What is proven is possession of that key; nothing else in a certificate counts.
//
// A few I/O threads do all socket and TLS work; the Runtime's executor only ever sees whole frames,
// in batches. Each connection lives on one I/O thread.
//
// A frame on the wire is its length (4 bytes, big-endian) and its bytes. A frame longer than
// frame_bytes_max closes the connection, with a log line naming the peer and the length.
#pragma once

#include <memory>

#include "base/runtime.h"
#include "base/transport.h"
#include "crypto/sign.h"

namespace spatter {

struct TlsOptions {
  unsigned io_threads = 2;
  /// From the accepted connection to the proven peer.
  Duration handshake_timeout = std::chrono::seconds(10);
  /// Inbound handshakes under way; further connections are closed at once.
  std::size_t half_open_max = 128;
  /// Connections accepted from one IP address, handshakes included.
  std::size_t per_address_max = 256;
  /// send() waits while this much is queued, receive() is not fed while this much is unread.
  std::size_t queue_bytes_max = 1 << 20;
};

/// `runtime` must outlive the Transport. stop() it, and let that complete, before destroying it.
/// connect() with a name tries each of its addresses in turn until the deadline. In TLS 1.3 a
/// client finishes its handshake before the server has judged it, so a successful connect() does
/// not yet mean acceptance: the first frame that comes back does.
std::unique_ptr<Transport> make_tls_transport(Runtime& runtime, const SigningKey& server_key,
                                              TlsOptions options = {});

}  // namespace spatter
