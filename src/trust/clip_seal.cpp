#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "trust/clip.h"
#include "trust/trust_record.h"

namespace spatter {
namespace {

/// Every key here seals one message: a clip's key is drawn for it, and the key that wraps it is
/// derived from the hash of what it sealed.
constexpr Nonce zero_nonce{};

Key wrapping_key(const Key& members, const Digest& clip) {
  return derive_key(members, "clip key", clip.view());
}

}  // namespace

Result<Key> members_key(const wire::Signed& genesis) {
  wire::Genesis message;
  if (!message.ParseFromString(genesis.body()) || message.nonce().size() < 32)
    return fail(Errc::invalid, "a genesis record without a nonce of 32 bytes");
  Key root;
  root.bytes = blake2b({}, as_bytes(message.nonce())).bytes;
  return derive_key(root, "network members", sha256(as_bytes(genesis.body())).view());
}

Result<SealedClip> seal_clip(ByteView clip, const Key& members, const PersonId& person,
                             Random& entropy) {
  if (clip.empty()) return fail(Errc::invalid, "the clip is empty");
  if (clip.size() > clip_bytes_max)
    return fail(Errc::invalid, "the clip has {} bytes, at most {} are allowed", clip.size(),
                clip_bytes_max);
  Key key;
  entropy.fill(key.bytes);
  SealedClip result;
  result.sealed.resize(clip.size() + aead_tag_bytes);
  seal(key, zero_nonce, person.view(), clip, result.sealed);
  result.clip = sha256(result.sealed);
  result.clip_key.resize(sealed_clip_key_bytes);
  seal(wrapping_key(members, result.clip), zero_nonce, person.view(), key.view(), result.clip_key);
  return result;
}

Result<Bytes> open_clip(ByteView sealed, const Announce& announce, const Key& members) {
  if (sealed.size() != announce.clip_bytes || sha256(sealed) != announce.clip)
    return fail(Errc::corrupt, "the clip of person {} is not the one announced", announce.person);
  if (sealed.size() < aead_tag_bytes || announce.clip_key.size() != sealed_clip_key_bytes)
    return fail(Errc::corrupt, "the clip of person {} is too short to be one", announce.person);
  Key key;
  if (auto opened = open(wrapping_key(members, announce.clip), zero_nonce, announce.person.view(),
                         announce.clip_key, key.bytes);
      !opened)
    return fail(opened.error().during(fmt::format("the clip key of person {}", announce.person)));
  Bytes clip(sealed.size() - aead_tag_bytes);
  if (auto opened = open(key, zero_nonce, announce.person.view(), sealed, clip); !opened)
    return fail(opened.error().during(fmt::format("the clip of person {}", announce.person)));
  return clip;
}

}  // namespace spatter
