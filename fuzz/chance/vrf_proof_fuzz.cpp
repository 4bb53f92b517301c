// A draw from a peer. Input: which parts of a true draw to change how. Only the true one is accepted, or one
// with the same output (a prover may choose his nonce, a fuzzer can't).
#include <algorithm>

#include "chance/draw.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  static const SigningKey key = SigningKey::from_seed(Key());
  static const Draw draw{};
  static const MadeDraw made = make_draw(key, draw);
  if (size < 1) return 0;
  const std::uint8_t changes = data[0];
  const ByteView rest(data + 1, size - 1);
  DrawProof proof = made.proof;
  // Whole replacements, from as many bytes as there are, or single bytes.
  if (changes & 1) std::copy_n(rest.begin(), std::min<std::size_t>(rest.size(), 80), proof.proof.begin());
  if (changes & 2) std::copy_n(rest.begin(), std::min<std::size_t>(rest.size(), 32), proof.key.begin());
  if (changes & 4 && rest.size() >= 2) proof.proof[rest[0] % 80] ^= rest[1];
  if (changes & 8 && rest.size() >= 2) proof.key[rest[0] % 32] ^= rest[1];
  if (changes & 16) (void)vrf_verify(rest.first(std::min<std::size_t>(rest.size(), 32)), rest, rest);
  const auto output = check_draw(draw, proof);
  if (proof == made.proof) {
    SPATTER_ASSERT(output.has_value());
  } else if (proof.key == made.proof.key) {
    SPATTER_ASSERT(!output || *output == made.output);
  }
  if (output) SPATTER_ASSERT(vrf_output(proof.proof).value() == *output);
  return 0;
}
