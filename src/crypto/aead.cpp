#include "crypto/aead.h"

#include <openssl/evp.h>

#include <memory>

namespace spatter {
namespace {

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

/// OpenSSL counts in int; longer messages go in pieces.
constexpr std::size_t piece_bytes_max = std::size_t{1} << 30;

enum class Direction { decrypt = 0, encrypt = 1 };

/// This thread's context, keyed anew. Looking the cipher up and allocating happen once per thread.
EVP_CIPHER_CTX* keyed(Direction direction, const Key& key, const Nonce& nonce) {
  static const EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  SPATTER_ASSERT(cipher != nullptr);
  thread_local const std::array<Context, 2> contexts = [] {
    std::array<Context, 2> fresh = {Context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free),
                                    Context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free)};
    for (int way = 0; way < 2; ++way)
      SPATTER_ASSERT(fresh[static_cast<std::size_t>(way)] &&
                     EVP_CipherInit_ex2(fresh[static_cast<std::size_t>(way)].get(), cipher, nullptr,
                                        nullptr, way, nullptr) == 1);
    return fresh;
  }();
  EVP_CIPHER_CTX* context = contexts[static_cast<std::size_t>(direction)].get();
  SPATTER_ASSERT(EVP_CipherInit_ex2(context, nullptr, key.bytes.data(), nonce.data(),
                                    static_cast<int>(direction), nullptr) == 1);
  return context;
}

void add_associated(EVP_CIPHER_CTX* context, ByteView aad) {
  int done = 0;
  SPATTER_ASSERT(aad.size() <= piece_bytes_max);
  if (!aad.empty())
    SPATTER_ASSERT(
        EVP_CipherUpdate(context, nullptr, &done, aad.data(), static_cast<int>(aad.size())) == 1);
}

void transform(EVP_CIPHER_CTX* context, ByteView in, std::uint8_t* out) {
  while (!in.empty()) {
    const std::size_t piece = std::min(in.size(), piece_bytes_max);
    int done = 0;
    SPATTER_ASSERT(EVP_CipherUpdate(context, out, &done, in.data(), static_cast<int>(piece)) == 1);
    in = in.subspan(piece);
    out += piece;
  }
}

}  // namespace

void seal(const Key& key, const Nonce& nonce, ByteView aad, ByteView plain, MutableBytes out) {
  SPATTER_ASSERT(out.size() == plain.size() + aead_tag_bytes);
  EVP_CIPHER_CTX* context = keyed(Direction::encrypt, key, nonce);
  add_associated(context, aad);
  transform(context, plain, out.data());
  std::uint8_t* tag = out.data() + plain.size();
  int done = 0;
  SPATTER_ASSERT(EVP_CipherFinal_ex(context, tag, &done) == 1);
  SPATTER_ASSERT(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, aead_tag_bytes, tag) == 1);
}

Result<void> open(const Key& key, const Nonce& nonce, ByteView aad, ByteView sealed,
                  MutableBytes out) {
  if (sealed.size() < aead_tag_bytes)
    return fail(Errc::corrupt, "sealed data of {} bytes is cut short", sealed.size());
  const ByteView body = sealed.first(sealed.size() - aead_tag_bytes);
  SPATTER_ASSERT(out.size() == body.size());
  std::array<std::uint8_t, aead_tag_bytes> tag;
  std::memcpy(tag.data(), sealed.data() + body.size(), tag.size());

  EVP_CIPHER_CTX* context = keyed(Direction::decrypt, key, nonce);
  add_associated(context, aad);
  transform(context, body, out.data());
  SPATTER_ASSERT(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, aead_tag_bytes, tag.data()) ==
                 1);
  std::array<std::uint8_t, 16> rest;
  int done = 0;
  if (EVP_CipherFinal_ex(context, rest.data(), &done) == 1) return {};
  wipe(out);
  return fail(Errc::corrupt, "sealed data of {} bytes was altered or sealed with another key",
              sealed.size());
}

}  // namespace spatter
