// The OpenSSL settings all our connections share, and what a peer's certificate proves.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <string>

#include "base/ids.h"
#include "crypto/sign.h"

namespace spatter {

template <auto free_function>
struct OpensslDelete {
  template <class T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using SslPointer = std::unique_ptr<SSL, OpensslDelete<SSL_free>>;
using SslContextPointer = std::unique_ptr<SSL_CTX, OpensslDelete<SSL_CTX_free>>;

/// What the handshake of one connection looks for and finds. Reachable from the SSL object as its
/// app data while the certificate is judged.
struct PeerProof {
  ServerId expected;  ///< zero: anyone
  PublicKey key{};    ///< valid once the handshake is done
  ServerId server;
  std::string refusal;  ///< why the certificate was refused
};

/// TLS 1.3 with mutual Ed25519 authentication, for both roles.
Result<SslContextPointer> make_tls_context(const SigningKey& server_key);

/// The newest reason OpenSSL has for a failure on this thread; empties its queue.
std::string openssl_reason();

}  // namespace spatter
