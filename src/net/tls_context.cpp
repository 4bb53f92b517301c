#include "tls_context.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

namespace spatter {
namespace {

using KeyPointer = std::unique_ptr<EVP_PKEY, OpensslDelete<EVP_PKEY_free>>;
using CertificatePointer = std::unique_ptr<X509, OpensslDelete<X509_free>>;

constexpr std::string_view alpn = "\x09spatter/1";
constexpr long certificate_list_bytes_max = 4096;
constexpr std::size_t read_buffer_bytes = 128 << 10;

const unsigned char* alpn_bytes() { return reinterpret_cast<const unsigned char*>(alpn.data()); }

/// Self-signed, for all time: nobody but OpenSSL reads anything in it but the key.
Result<CertificatePointer> make_certificate(EVP_PKEY* key, const std::string& name) {
  CertificatePointer certificate(X509_new());
  X509* x = certificate.get();
  X509_NAME* subject = x ? X509_get_subject_name(x) : nullptr;
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  const bool made = subject && X509_set_version(x, X509_VERSION_3) &&
                    ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
                    ASN1_TIME_set_string(X509_getm_notBefore(x), "19700101000000Z") &&
                    ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z") &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0) &&
                    X509_set_issuer_name(x, subject) && X509_set_pubkey(x, key) &&
                    X509_sign(x, key, nullptr) > 0;
  if (!made) return fail(Errc::io, "make the TLS certificate: {}", openssl_reason());
  return certificate;
}

/// Replaces X.509 path building: takes any certificate with an Ed25519 key whose hash is the
/// expected id. That the peer holds the private key is shown by its CertificateVerify message.
int judge_certificate(X509_STORE_CTX* store, void*) {
  auto* ssl = static_cast<SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& proof = *static_cast<PeerProof*>(SSL_get_app_data(ssl));
  X509* certificate = X509_STORE_CTX_get0_cert(store);
  EVP_PKEY* key = certificate ? X509_get0_pubkey(certificate) : nullptr;
  std::size_t length = proof.key.size();
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key, proof.key.data(), &length) != 1 ||
      length != proof.key.size()) {
    proof.refusal = "its certificate has no Ed25519 key";
    return 0;
  }
  proof.server = server_id(proof.key);
  if (!proof.expected.is_zero() && proof.server != proof.expected) {
    proof.refusal = fmt::format("server {} answers there, not {}", proof.server, proof.expected);
    return 0;
  }
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_length,
                const unsigned char* offered, unsigned int offered_length, void*) {
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_length, alpn_bytes(), alpn.size(), offered,
                            offered_length) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  return reason ? reason : "unknown TLS failure";
}

Result<SslContextPointer> make_tls_context(const SigningKey& server_key) {
  KeyPointer key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr,
                                              server_key.seed().bytes.data(),
                                              server_key.seed().bytes.size()));
  if (!key) return fail(Errc::io, "give the server key to OpenSSL: {}", openssl_reason());
  TRY(auto certificate, make_certificate(key.get(), server_id(server_key.public_key()).hex()));
  SslContextPointer context(SSL_CTX_new(TLS_method()));
  SSL_CTX* ctx = context.get();
  const bool made =
      ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
      SSL_CTX_set_ciphersuites(
          ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") &&
      SSL_CTX_set1_groups_list(ctx, "X25519") && SSL_CTX_set1_sigalgs_list(ctx, "ed25519") &&
      SSL_CTX_set1_client_sigalgs_list(ctx, "ed25519") &&
      SSL_CTX_use_certificate(ctx, certificate.get()) && SSL_CTX_use_PrivateKey(ctx, key.get()) &&
      SSL_CTX_set_alpn_protos(ctx, alpn_bytes(), alpn.size()) == 0;
  if (!made) return fail(Errc::io, "set TLS up: {}", openssl_reason());
  SSL_CTX_set_alpn_select_cb(ctx, select_alpn, nullptr);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, judge_certificate, nullptr);
  SSL_CTX_set_max_cert_list(ctx, certificate_list_bytes_max);
  // Nothing is resumed: a full handshake costs less than a millisecond and proves the key anew.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_default_read_buffer_len(ctx, read_buffer_bytes);
  return context;
}

}  // namespace spatter
