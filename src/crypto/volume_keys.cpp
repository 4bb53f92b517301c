#include "crypto/volume_keys.h"

#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "crypto/merkle.h"

namespace spatter {
namespace {

constexpr std::size_t variant_bytes = 16;
using Variant = std::array<std::uint8_t, variant_bytes>;

/// Every key seals one message, so the nonce need not differ.
constexpr Nonce zero_nonce{};

std::array<std::uint8_t, 8> le64(std::uint64_t value) {
  std::array<std::uint8_t, 8> out;
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * i));
  return out;
}

Variant variant_of(const Key& key, std::initializer_list<ByteView> pieces) {
  const Digest digest = blake2b(key.view(), pieces);
  Variant variant;
  std::memcpy(variant.data(), digest.bytes.data(), variant.size());
  return variant;
}

Key chunk_key(const Key& cipher_root, const ChunkId& id, ChunkForm form, ByteView variant) {
  std::array<std::uint8_t, ChunkId::size_bytes + 1 + variant_bytes> context;
  std::memcpy(context.data(), id.bytes.data(), id.bytes.size());
  context[ChunkId::size_bytes] = static_cast<std::uint8_t>(form);
  std::memcpy(context.data() + ChunkId::size_bytes + 1, variant.data(), variant_bytes);
  return derive_key(cipher_root, "chunk", context);
}

}  // namespace

RecordKeys::RecordKeys(const Key& root)
    : variant_key_(derive_key(root, "variant")), cipher_root_(derive_key(root, "cipher")) {}

void RecordKeys::seal(ByteView context, ByteView plain, MutableBytes out) const {
  SPATTER_ASSERT(out.size() == plain.size() + overhead);
  const auto context_size = le64(context.size());
  const Variant variant = variant_of(variant_key_, {context_size, context, plain});
  std::memcpy(out.data(), variant.data(), variant.size());
  const Key key = derive_key(cipher_root_, "record", variant);
  spatter::seal(key, zero_nonce, context, plain, out.subspan(variant_bytes));
}

Bytes RecordKeys::seal(ByteView context, ByteView plain) const {
  Bytes out(plain.size() + overhead);
  seal(context, plain, out);
  return out;
}

Result<void> RecordKeys::open(ByteView context, ByteView sealed, MutableBytes out) const {
  if (sealed.size() < overhead)
    return fail(Errc::corrupt, "a sealed record has at least {} bytes, not {}", overhead,
                sealed.size());
  const Key key = derive_key(cipher_root_, "record", sealed.first(variant_bytes));
  return spatter::open(key, zero_nonce, context, sealed.subspan(variant_bytes), out);
}

Result<Bytes> RecordKeys::open(ByteView context, ByteView sealed) const {
  Bytes out(sealed.size() < overhead ? 0 : sealed.size() - overhead);
  TRY_VOID(open(context, sealed, out));
  return out;
}

ChunkKeys::ChunkKeys(const Key& id_key, const Key& root)
    : id_key_(id_key),
      variant_key_(derive_key(root, "variant")),
      cipher_root_(derive_key(root, "cipher")) {}

ChunkId ChunkKeys::id(ByteView plain) const {
  const Digest content = merkle_root(leaf_hashes(plain));
  const auto size = le64(plain.size());
  return ChunkId{blake2b(id_key_.view(), {size, content.view()}).bytes};
}

void ChunkKeys::seal(const ChunkId& id, ChunkForm form, ByteView body, MutableBytes out) const {
  SPATTER_ASSERT(out.size() == body.size() + overhead);
  Variant variant{};
  if (form == ChunkForm::packed) variant = variant_of(variant_key_, {id.view(), body});
  std::memcpy(out.data(), variant.data(), variant.size());
  const Key key = chunk_key(cipher_root_, id, form, variant);
  spatter::seal(key, zero_nonce, {}, body, out.subspan(variant_bytes));
}

Result<void> ChunkKeys::open(const ChunkId& id, ChunkForm form, ByteView sealed,
                             MutableBytes out) const {
  if (sealed.size() < overhead)
    return fail(Errc::corrupt, "chunk {}: sealed form of {} bytes is cut short", id, sealed.size());
  const Key key = chunk_key(cipher_root_, id, form, sealed.first(variant_bytes));
  if (!spatter::open(key, zero_nonce, {}, sealed.subspan(variant_bytes), out))
    return fail(Errc::corrupt, "chunk {}: its bytes were altered", id);
  return {};
}

VolumeKeys VolumeKeys::derive(const PersonSecret& person, const VolumeId& volume) {
  const Key root = person.derive("volume", volume.view());
  return {.chunks = ChunkKeys(derive_key(root, "chunk id"), derive_key(root, "chunk")),
          .metadata = RecordKeys(derive_key(root, "metadata")),
          .labels = RecordKeys(derive_key(root, "label"))};
}

}  // namespace spatter
