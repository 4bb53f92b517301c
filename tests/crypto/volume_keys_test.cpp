// Chunks and records come back, moved or altered ones don't, and no key is ever used twice. The
// known answers were made by an independent implementation (Python: hashlib and cryptography) from
// docs/PROTOCOL.md.
#include "crypto/volume_keys.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "crypto/hash.h"
#include "hex.h"

namespace spatter {
namespace {

VolumeKeys some_keys(std::uint8_t volume = 0x11) {
  VolumeId id;
  id.bytes.fill(volume);
  return VolumeKeys::derive(PersonSecret::from_bytes(Key::from(counting(32)).value()), id);
}

Bytes sealed_chunk(const ChunkKeys& keys, const ChunkId& id, ChunkForm form, ByteView body) {
  Bytes out(body.size() + ChunkKeys::overhead);
  keys.seal(id, form, body, out);
  return out;
}

TEST(VolumeKeys, FormatsAreAsThePageOfFormatsSays) {
  const VolumeKeys keys = some_keys();
  const Bytes plain = pattern(40'000);
  const ChunkId id = keys.chunks.id(plain);
  EXPECT_EQ(id.hex(), "795342a8d383f69818ec33c48c94cbe83ba2722f8e2e6ac61bbb1c2f7bd861f9");
  EXPECT_EQ(sha256(sealed_chunk(keys.chunks, id, ChunkForm::plain, plain)).hex(),
            "c41f91e3fb7dfcac199977a6ee2427f71165ab93f7ec861b26c03ecb985f27e2");
  EXPECT_EQ(to_hex(sealed_chunk(keys.chunks, id, ChunkForm::packed, as_bytes("squeezed"))),
            "ef5ac6faa56d6ad4e45928ce87c3eb8937102aeaa84b74555382e938aea391ddae720400bae38bc2");
  EXPECT_EQ(to_hex(keys.metadata.seal(as_bytes("log 7"), as_bytes("a record"))),
            "3825917ade971529233a54f2f8c3f7558dbc3ca5f4dcb521cc2e46358009b4933b02f795a297b789");
}

TEST(ChunkKeys, ComeBackInEitherForm) {
  EXPECT_TRUE(rc::check([] {
    const ChunkKeys keys = some_keys().chunks;
    const Bytes plain = *rc::gen::arbitrary<Bytes>();
    const ChunkId id = keys.id(plain);
    for (ChunkForm form : {ChunkForm::plain, ChunkForm::packed}) {
      Bytes sealed = sealed_chunk(keys, id, form, plain);
      RC_ASSERT(sealed == sealed_chunk(keys, id, form, plain));  // equal chunks dedupe
      Bytes back(plain.size());
      RC_ASSERT(keys.open(id, form, sealed, back).has_value());
      RC_ASSERT(back == plain);
      sealed[*rc::gen::inRange<std::size_t>(0, sealed.size())] ^= 1;
      RC_ASSERT(keys.open(id, form, sealed, back).error().code == Errc::corrupt);
    }
  }));
}

TEST(ChunkKeys, AnotherIdFormOrVolumeDoesNotOpen) {
  const ChunkKeys keys = some_keys().chunks;
  const Bytes plain = pattern(5000);
  const ChunkId id = keys.id(plain);
  const Bytes sealed = sealed_chunk(keys, id, ChunkForm::plain, plain);
  Bytes back(plain.size());
  auto other = keys.open(keys.id(pattern(5001)), ChunkForm::plain, sealed, back);
  EXPECT_EQ(other.error().code, Errc::corrupt);
  EXPECT_THAT(other.error().message, testing::HasSubstr(keys.id(pattern(5001)).brief()));
  EXPECT_FALSE(keys.open(id, ChunkForm::packed, sealed, back));
  EXPECT_FALSE(some_keys(0x22).chunks.open(id, ChunkForm::plain, sealed, back));
  EXPECT_FALSE(keys.open(id, ChunkForm::plain, Bytes(ChunkKeys::overhead - 1), {}));
  EXPECT_NE(some_keys(0x22).chunks.id(plain), id);
}

TEST(ChunkKeys, IdsTellLengthsApart) {
  const ChunkKeys keys = some_keys().chunks;
  std::set<ChunkId> ids;
  for (std::size_t size : {0, 1, 2, 16383, 16384, 16385, 32768}) ids.insert(keys.id(Bytes(size)));
  EXPECT_EQ(ids.size(), 7);
}

// With one key and nonce, the XOR of two ciphertexts would be that of their plaintexts.
TEST(ChunkKeys, TwoCompressedFormsOfOneChunkShareNoKeyStream) {
  const ChunkKeys keys = some_keys().chunks;
  const ChunkId id = keys.id(pattern(5000));
  const Bytes one(1000, 0x00);
  Bytes two = one;
  two[999] = 1;
  const Bytes a = sealed_chunk(keys, id, ChunkForm::packed, one);
  const Bytes b = sealed_chunk(keys, id, ChunkForm::packed, two);
  const Bytes c = sealed_chunk(keys, id, ChunkForm::plain, one);
  for (std::size_t at = 16; at + 16 < a.size(); at += 16) {
    EXPECT_NE(as_text(ByteView(a).subspan(at, 16)), as_text(ByteView(b).subspan(at, 16)));
    EXPECT_NE(as_text(ByteView(a).subspan(at, 16)), as_text(ByteView(c).subspan(at, 16)));
  }
}

TEST(RecordKeys, ComeBackForTheirContextOnly) {
  EXPECT_TRUE(rc::check([] {
    const VolumeKeys keys = some_keys();
    const Bytes plain = *rc::gen::arbitrary<Bytes>(), context = *rc::gen::arbitrary<Bytes>();
    Bytes sealed = keys.metadata.seal(context, plain);
    RC_ASSERT(keys.metadata.open(context, sealed).value() == plain);
    Bytes elsewhere = context;
    elsewhere.push_back(0);
    RC_ASSERT(keys.metadata.open(elsewhere, sealed).error().code == Errc::corrupt);
    RC_ASSERT(!keys.labels.open(context, sealed).has_value());
    sealed[*rc::gen::inRange<std::size_t>(0, sealed.size())] ^= 0x80;
    RC_ASSERT(!keys.metadata.open(context, sealed).has_value());
  }));
}

TEST(RecordKeys, WhatMovesBetweenContextAndRecordChangesTheKey) {
  const RecordKeys keys = some_keys().metadata;
  const Bytes a = keys.seal(as_bytes("ab"), as_bytes("c"));
  const Bytes b = keys.seal(as_bytes("a"), as_bytes("bc"));
  EXPECT_NE(as_text(ByteView(a).first(16)), as_text(ByteView(b).first(16)));
  for (std::size_t size = 0; size < RecordKeys::overhead; ++size)
    EXPECT_EQ(keys.open({}, Bytes(size)).error().code, Errc::corrupt);
}

}  // namespace
}  // namespace spatter
