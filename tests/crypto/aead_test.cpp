// AES-256-GCM against the vectors of McGrew and Viega that NIST SP 800-38D adopted, and that
// whatever is altered is refused.
#include "crypto/aead.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <thread>

#include "hex.h"

namespace spatter {
namespace {

Nonce hex_nonce(std::string_view text) {
  Nonce nonce;
  const Bytes bytes = hex(text);
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

struct Vector {
  std::string key, nonce, aad, plain, sealed;
};

const std::vector<Vector> vectors = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b"
     "5"
     "25b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828"
     "838"
     "c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"}};

TEST(Aead, NistVectors) {
  for (const Vector& v : vectors) {
    const Bytes plain = hex(v.plain), sealed = hex(v.sealed), aad = hex(v.aad);
    Bytes out(sealed.size());
    seal(hex_key(v.key), hex_nonce(v.nonce), aad, plain, out);
    EXPECT_EQ(to_hex(out), v.sealed);
    Bytes back(plain.size());
    ASSERT_TRUE(open(hex_key(v.key), hex_nonce(v.nonce), aad, sealed, back));
    EXPECT_EQ(back, plain);
  }
}

TEST(Aead, InPlaceGivesTheSameBytes) {
  const Key key = Key::from(counting(32)).value();
  const Bytes plain = pattern(100'003);
  Bytes apart(plain.size() + aead_tag_bytes), in_place = plain;
  seal(key, {}, {}, plain, apart);
  in_place.resize(plain.size() + aead_tag_bytes);
  seal(key, {}, {}, ByteView(in_place).first(plain.size()), in_place);
  EXPECT_EQ(in_place, apart);
  ASSERT_TRUE(open(key, {}, {}, in_place, MutableBytes(in_place).first(plain.size())));
  in_place.resize(plain.size());
  EXPECT_EQ(in_place, plain);
}

TEST(Aead, AnyFlippedBitIsRefusedAndNothingComesOut) {
  EXPECT_TRUE(rc::check([] {
    const Bytes plain = *rc::gen::arbitrary<Bytes>();
    Bytes aad = *rc::gen::arbitrary<Bytes>();
    Key key(*rc::gen::container<std::array<std::uint8_t, 32>>(rc::gen::arbitrary<std::uint8_t>()));
    Nonce nonce{};
    Bytes sealed(plain.size() + aead_tag_bytes);
    seal(key, nonce, aad, plain, sealed);
    Bytes out(plain.size());
    RC_ASSERT(open(key, nonce, aad, sealed, out).has_value());
    RC_ASSERT(out == plain);

    const auto bit = static_cast<std::uint8_t>(1U << *rc::gen::inRange(0, 8));
    const auto at = *rc::gen::inRange<std::size_t>(0, sealed.size() + aad.size() + 32 + 12);
    if (at < sealed.size())
      sealed[at] ^= bit;
    else if (at < sealed.size() + aad.size())
      aad[at - sealed.size()] ^= bit;
    else if (at < sealed.size() + aad.size() + 32)
      key.bytes[at - sealed.size() - aad.size()] ^= bit;
    else
      nonce[at - sealed.size() - aad.size() - 32] ^= bit;
    auto opened = open(key, nonce, aad, sealed, out);
    RC_ASSERT(!opened.has_value());
    RC_ASSERT(opened.error().code == Errc::corrupt);
    RC_ASSERT(std::ranges::all_of(out, [](auto b) { return b == 0; }));
  }));
}

TEST(Aead, ShorterThanATagIsRefused) {
  for (std::size_t size = 0; size < aead_tag_bytes; ++size)
    EXPECT_EQ(open(Key(), {}, {}, Bytes(size), {}).error().code, Errc::corrupt);
}

TEST(Aead, ThreadsDoNotDisturbOneAnother) {
  std::vector<std::thread> threads;
  std::array<bool, 4> good{};
  for (std::size_t t = 0; t < good.size(); ++t)
    threads.emplace_back([t, &good] {
      Key key;
      key.bytes[0] = static_cast<std::uint8_t>(t);
      const Bytes plain(5000, static_cast<std::uint8_t>(t));
      Bytes sealed(plain.size() + aead_tag_bytes), back(plain.size());
      bool all = true;
      for (int i = 0; i < 200; ++i) {
        seal(key, {}, {}, plain, sealed);
        all = all && open(key, {}, {}, sealed, back) && back == plain;
      }
      good[t] = all;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, (std::array<bool, 4>{true, true, true, true}));
}

}  // namespace
}  // namespace spatter
