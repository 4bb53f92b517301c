// A verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381 (suite 0x03).
//
// The holder of an Ed25519 key turns any input into 64 bytes that nobody else can foretell and that
// everybody who has the public key and the proof can check. For one key and input there is one output: a
// holder can withhold it, never choose it. (The proof itself is not unique: whoever makes his own
// nonce can make many for one output. Hash outputs, never proofs.)
//
// All functions are pure and may be called on any thread. Making a proof takes the same time
// whatever the secret is; it does depend on key and input being hashed to the curve, both public.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "crypto/sign.h"

namespace spatter {

/// A point, 16 bytes of challenge, 32 of response.
using VrfProof = std::array<std::uint8_t, 80>;
using VrfOutput = std::array<std::uint8_t, 64>;

/// What a verifier computed on its way, for those who want to see it. Points as they are encoded.
struct VrfSteps {
  std::array<std::uint8_t, 32> input_point{};  ///< H: what key and input hash to
  unsigned tries = 0;                          ///< hashes until one was a point
  std::array<std::uint8_t, 32> u{};            ///< s B - c Y
  std::array<std::uint8_t, 32> v{};            ///< s H - c Gamma
  std::array<std::uint8_t, 16> challenge{};    ///< what c has to be
};

struct VrfResult {
  VrfProof proof;
  VrfOutput output;
};

/// Proof and output of `key` for `input`.
VrfResult vrf_prove(const SigningKey& key, ByteView input);

/// The output, if `proof` is one for this key and input. Errc::invalid when the key is no point or of
/// small order, or the proof is malformed (length, point, response not below the group's order);
/// Errc::corrupt when it is well-formed but of another key or input. With `steps`, what was
/// computed up to the first error is put there.
Result<VrfOutput> vrf_verify(ByteView public_key, ByteView input, ByteView proof,
                             VrfSteps* steps = nullptr);

/// The output that a proof stands for, without any check that it is a proof (RFC 9381, 5.2): only for
/// proofs made here or verified before. Errc::invalid when it is malformed.
Result<VrfOutput> vrf_output(ByteView proof);

/// RFC 9381, 5.4.5: Errc::invalid unless the key is a point and not of small order.
Result<void> vrf_check_key(ByteView public_key);

}  // namespace spatter
