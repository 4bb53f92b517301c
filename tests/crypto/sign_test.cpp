// Ed25519 against RFC 8032, 7.1.
#include "crypto/sign.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "crypto/hash.h"
#include "hex.h"

namespace spatter {
namespace {

struct Vector {
  std::string seed, public_key, message, signature;
};

const std::vector<Vector> vectors = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "659"
     "4a7c15e9716ed28dc027beceea1ec40a"}};

TEST(Sign, Rfc8032Vectors) {
  for (const Vector& v : vectors) {
    const SigningKey key = SigningKey::from_seed(hex_key(v.seed));
    const Bytes message = hex(v.message);
    EXPECT_EQ(to_hex(key.public_key()), v.public_key);
    EXPECT_EQ(to_hex(key.sign(message)), v.signature);
    EXPECT_TRUE(verify(hex(v.public_key), message, hex(v.signature)));
  }
}

TEST(Sign, AnyFlippedBitIsRefused) {
  EXPECT_TRUE(rc::check([] {
    SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
    const SigningKey key = SigningKey::generate(random);
    Bytes message = *rc::gen::nonEmpty<Bytes>();
    PublicKey public_key = key.public_key();
    Signature signature = key.sign(message);
    RC_ASSERT(verify(public_key, message, signature));
    const auto bit = static_cast<std::uint8_t>(1U << *rc::gen::inRange(0, 8));
    const auto at = *rc::gen::inRange<std::size_t>(0, 96 + message.size());
    if (at < 32)
      public_key[at] ^= bit;
    else if (at < 96)
      signature[at - 32] ^= bit;
    else
      message[at - 96] ^= bit;
    RC_ASSERT(!verify(public_key, message, signature));
  }));
}

TEST(Sign, KeysAndSignaturesOfWrongLengthOrSmallOrderAreNotValid) {
  const SigningKey key = SigningKey::from_seed(hex_key(vectors[0].seed));
  const Signature signature = key.sign({});
  const ByteView public_key = key.public_key();
  EXPECT_TRUE(verify(public_key, {}, signature));
  EXPECT_FALSE(verify(public_key.first(31), {}, signature));
  EXPECT_FALSE(verify(public_key, {}, ByteView(signature).first(63)));
  EXPECT_FALSE(verify({}, {}, {}));
  Bytes identity(32);  // the neutral point: with it R = identity, S = 0 would sign anything
  identity[0] = 1;
  Bytes forged = identity;
  forged.resize(64);
  EXPECT_FALSE(verify(identity, as_bytes("anything"), forged));
}

TEST(Sign, AServerIsTheHashOfItsKeyAndAPersonTheKey) {
  const SigningKey key = SigningKey::from_seed(hex_key(vectors[0].seed));
  EXPECT_EQ(server_id(key.public_key()).hex(), sha256(key.public_key()).hex());
  EXPECT_EQ(person_id(key.public_key()).hex(), vectors[0].public_key);
}

}  // namespace
}  // namespace spatter
