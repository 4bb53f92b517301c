// The VRF against RFC 9381, Appendix B.3 (Examples 16, 17 and 18), and what no proof may pass as.
#include "crypto/vrf.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "hex.h"

namespace spatter {
namespace {

struct Vector {
  std::string seed, public_key, input, proof, output, input_point, u, v;
  unsigned tries;
};

const std::vector<Vector> vectors = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
     "26f8a57ccaed74ee1b190bed1f479d97"
     "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
     "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
     "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
     "91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318",
     "aef27c725be964c6a9bf4c45ca8e35df258c1878b838f37d9975523f09034071",
     "5016572f71466c646c119443455d6cb9b952f07d060ec8286d678615d55f954f", 1},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
     "3bf0864a62558b3ed7f2fea45c92a465"
     "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
     "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
     "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
     "5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551",
     "1dcb0a4821a2c48bf53548228b7f170962988f6d12f5439f31987ef41f034ab3",
     "fd03c0bf498c752161bae4719105a074630a2aa5f200ff7b3995f7bfb1513423", 2},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
     "96bb474e53895c362d8628ee9f9ea3c0"
     "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
     "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
     "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
     "bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a",
     "2bae73e15a64042fcebf062abe7e432b2eca6744f3e8265bc38e009cd577ecd5",
     "88cba1cb0d4f9b649d9a86026b69de076724a93a65c349c988954f0961c5d506", 1}};

TEST(Vrf, Rfc9381Vectors) {
  for (const Vector& v : vectors) {
    const SigningKey key = SigningKey::from_seed(hex_key(v.seed));
    const Bytes input = hex(v.input);
    ASSERT_EQ(to_hex(key.public_key()), v.public_key);
    const VrfResult made = vrf_prove(key, input);
    EXPECT_EQ(to_hex(made.proof), v.proof);
    EXPECT_EQ(to_hex(made.output), v.output);
    VrfSteps steps;
    const auto checked = vrf_verify(hex(v.public_key), input, hex(v.proof), &steps);
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_EQ(to_hex(*checked), v.output);
    EXPECT_EQ(to_hex(steps.input_point), v.input_point);
    EXPECT_EQ(steps.tries, v.tries);
    EXPECT_EQ(to_hex(steps.u), v.u);
    EXPECT_EQ(to_hex(steps.v), v.v);
    EXPECT_EQ(to_hex(vrf_output(hex(v.proof)).value()), v.output);
  }
}

TEST(Vrf, EverybodyComputesTheSameOutputAndAnyFlippedBitIsRefused) {
  EXPECT_TRUE(rc::check([] {
    SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
    const SigningKey key = SigningKey::generate(random);
    Bytes input = *rc::gen::nonEmpty<Bytes>();
    VrfResult made = vrf_prove(key, input);
    RC_ASSERT(vrf_verify(key.public_key(), input, made.proof).value() == made.output);
    RC_ASSERT(vrf_output(made.proof).value() == made.output);
    RC_ASSERT(vrf_prove(key, input).proof == made.proof);

    PublicKey public_key = key.public_key();
    const auto bit = static_cast<std::uint8_t>(1U << *rc::gen::inRange(0, 8));
    const auto at = *rc::gen::inRange<std::size_t>(0, 112 + input.size());
    if (at < 32)
      public_key[at] ^= bit;
    else if (at < 112)
      made.proof[at - 32] ^= bit;
    else
      input[at - 112] ^= bit;
    RC_ASSERT(!vrf_verify(public_key, input, made.proof));
  }));
}

TEST(Vrf, AnotherKeysProofIsCorruptNotMalformed) {
  SeededRandom random(7);
  const SigningKey one = SigningKey::generate(random), other = SigningKey::generate(random);
  const VrfResult made = vrf_prove(one, as_bytes("input"));
  EXPECT_EQ(vrf_verify(other.public_key(), as_bytes("input"), made.proof).error().code, Errc::corrupt);
  EXPECT_EQ(vrf_verify(one.public_key(), as_bytes("other"), made.proof).error().code, Errc::corrupt);
}

/// All points of order 1, 2, 4 and 8, and what libraries that do not look closely take for them.
const std::vector<std::string> small_order = {
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"};

TEST(Vrf, KeysOfSmallOrderAreRefused) {
  for (const std::string& text : small_order) {
    const auto checked = vrf_check_key(hex(text));
    ASSERT_FALSE(checked) << text;
    EXPECT_NE(checked.error().message.find("small order"), std::string::npos) << checked.error().message;
    // With such a key, Gamma neutral, c anything and s = 0 would pass for every input.
    Bytes proof(80);
    proof[0] = 1;
    EXPECT_FALSE(vrf_verify(hex(text), as_bytes("input"), proof));
  }
}

TEST(Vrf, PointsThatAreNotCanonicalAreRefused) {
  // y = p, ..., 2^255 - 1, with either sign: no reduction makes them points.
  for (int low = 0xed; low <= 0xff; ++low)
    for (const std::uint8_t top : {0x7f, 0xff}) {
      Bytes bytes(32, 0xff);
      bytes[0] = static_cast<std::uint8_t>(low);
      bytes[31] = top;
      EXPECT_FALSE(vrf_check_key(bytes)) << to_hex(bytes);
      bytes.resize(80);
      EXPECT_FALSE(vrf_output(bytes)) << to_hex(bytes);
    }
  Bytes negative_zero(32);
  negative_zero[0] = 1;
  negative_zero[31] = 0x80;  // x = 0 has no negative
  EXPECT_FALSE(vrf_check_key(negative_zero));
}

TEST(Vrf, AResponseIsBelowTheGroupsOrder) {
  // s + order answers the challenge as s does; only one of them may.
  const Bytes order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  const Vector& v = vectors[0];
  Bytes proof = hex(v.proof);
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    carry += proof[48 + i] + order[i];
    proof[48 + i] = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
  const auto checked = vrf_verify(hex(v.public_key), {}, proof);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::invalid);
  std::copy(order.begin(), order.end(), proof.begin() + 48);
  EXPECT_FALSE(vrf_output(proof));
  proof[48] -= 1;  // the largest that is allowed
  EXPECT_TRUE(vrf_output(proof));
}

TEST(Vrf, WrongLengthsAreRefused) {
  const Vector& v = vectors[2];
  const Bytes key = hex(v.public_key), input = hex(v.input), proof = hex(v.proof);
  EXPECT_TRUE(vrf_verify(key, input, proof));
  EXPECT_FALSE(vrf_verify(ByteView(key).first(31), input, proof));
  EXPECT_FALSE(vrf_verify(key, input, ByteView(proof).first(79)));
  EXPECT_FALSE(vrf_verify(key, input, {}));
  EXPECT_FALSE(vrf_verify({}, input, proof));
  EXPECT_FALSE(vrf_output(ByteView(proof).first(32)));
}

}  // namespace
}  // namespace spatter
