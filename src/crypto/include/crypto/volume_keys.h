// The keys of one volume, all derived from the person's secret and the volume's id, and the only
// ways in which the owner's data is encrypted.
//
// Why no nonce ever repeats under a key. AES-GCM breaks when one key and nonce seal two different
// messages. A machine can't promise to count: it may crash, be restored from an old copy, or run
// twice from the same words. So nothing here counts or draws nonces. Every message gets a key of
// its own, derived from a keyed hash of exactly what is sealed, and the nonce is zero. A key seals
// one message only, unless a 256-bit hash (chunks as they are) or a 128-bit one among messages
// (everything else) collides; sealing the same message again gives the same bytes, which tells a
// holder nothing but that.
//
// Chunks need care: a chunk's id is the hash of its plaintext, but what is sealed may be its
// compressed form, which another version or level of the compressor makes differently from the same
// plaintext. So a compressed form brings its own 128-bit hash into the key.
//
// All calls on any thread; the objects don't change after they are made.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "crypto/aead.h"
#include "crypto/key.h"
#include "crypto/secret.h"

namespace spatter {

/// Seals records (log entries, snapshot pieces, labels, root records) so that only the volume's
/// owner can read them, and only for the same `context`: a record moved elsewhere fails to open.
/// Sealed form: 16 bytes of variant (the hash that makes the key), ciphertext, 16 bytes of tag.
class RecordKeys {
 public:
  explicit RecordKeys(const Key& root);
  static constexpr std::size_t overhead = 16 + aead_tag_bytes;

  Bytes seal(ByteView context, ByteView plain) const;
  /// Into memory of the caller: `out` has plain.size() + overhead bytes and must not overlap.
  void seal(ByteView context, ByteView plain, MutableBytes out) const;

  /// Errc::corrupt when anything was altered, or sealed for another context or volume.
  Result<Bytes> open(ByteView context, ByteView sealed) const;
  /// Into memory of the caller: `out` has sealed.size() - overhead bytes.
  Result<void> open(ByteView context, ByteView sealed, MutableBytes out) const;

 private:
  Key variant_key_;
  Key cipher_root_;
};

/// What the sealed bytes of a chunk are; authenticated with them.
enum class ChunkForm : std::uint8_t {
  plain = 0,   ///< the chunk itself
  packed = 1,  ///< a compressed form of it
};

/// Names and seals chunks. Sealed form: as of RecordKeys; the variant is zero for ChunkForm::plain.
class ChunkKeys {
 public:
  ChunkKeys(const Key& id_key, const Key& root);
  static constexpr std::size_t overhead = 16 + aead_tag_bytes;

  /// The chunk's id: BLAKE2b-256, keyed, of the plaintext's length and Merkle root (16 KiB leaves,
  /// as of shards). Equal for equal chunks of the volume, and without the key nobody can tell
  /// whether a chunk he knows is there. By way of the Merkle root because SHA-256 in sixteen lanes
  /// is several times as fast as BLAKE2b over all of it.
  ChunkId id(ByteView plain) const;

  /// `id` must be id(the plaintext); with ChunkForm::plain `body` must be that plaintext. `out` has
  /// body.size() + overhead bytes and must not overlap.
  void seal(const ChunkId& id, ChunkForm form, ByteView body, MutableBytes out) const;

  /// Errc::corrupt, naming the chunk, when anything was altered. `out` has sealed.size() - overhead
  /// bytes. What comes out is what was sealed for this id and form; there is no need to hash it
  /// again.
  Result<void> open(const ChunkId& id, ChunkForm form, ByteView sealed, MutableBytes out) const;

 private:
  Key id_key_;
  Key variant_key_;
  Key cipher_root_;
};

/// All keys of a volume.
struct VolumeKeys {
  ChunkKeys chunks;
  RecordKeys metadata;  ///< log records, snapshot pieces, the sealed part of root records
  RecordKeys labels;    ///< labels of stripe descriptors; context: the stripe's id

  static VolumeKeys derive(const PersonSecret& person, const VolumeId& volume);
};

}  // namespace spatter
