// Names as in RFC 9381: x and Y are the key, H the point of the input, Gamma = x H, U = k B and
// V = k H for the nonce k, c the challenge, s = k + c x the response.
#include "crypto/vrf.h"

#include <sodium.h>

#include <algorithm>

#include "crypto/key.h"
#include "edwards25519.h"
#include "sodium_ready.h"

namespace spatter {
namespace {

using curve::Encoded;
using curve::Point;
using curve::Scalar;

constexpr std::uint8_t suite = 0x03;
enum Step : std::uint8_t { encode_to_curve = 1, challenge = 2, proof_to_hash = 3 };
using Challenge = std::array<std::uint8_t, 16>;
using Hash = std::array<std::uint8_t, 64>;

/// SHA-512 of suite, step, pieces and a zero byte. Of public values only.
Hash hash_step(Step step, std::initializer_list<ByteView> pieces) {
  crypto_hash_sha512_state state;
  crypto_hash_sha512_init(&state);
  const std::uint8_t front[2] = {suite, step}, back = 0;
  crypto_hash_sha512_update(&state, front, 2);
  for (ByteView piece : pieces) crypto_hash_sha512_update(&state, piece.data(), piece.size());
  crypto_hash_sha512_update(&state, &back, 1);
  Hash hash;
  crypto_hash_sha512_final(&state, hash.data());
  return hash;
}

struct InputPoint {
  Point point;
  unsigned tries = 0;
};

/// RFC 9381, 5.4.1.1: the first hash that is a point, times the cofactor. Each is one with
/// probability one half, so 256 failures do not happen to anybody; that they would be an error is the
/// RFC's.
Result<InputPoint> point_of_input(ByteView public_key, ByteView input) {
  for (unsigned counter = 0; counter < 256; ++counter) {
    const auto byte = static_cast<std::uint8_t>(counter);
    const Hash hash = hash_step(encode_to_curve, {public_key, input, {&byte, 1}});
    Encoded first;
    std::copy_n(hash.begin(), 32, first.begin());
    const auto found = curve::decode(first);
    if (!found) continue;
    const Point point = curve::times_cofactor(*found);
    if (!curve::is_neutral(point)) return InputPoint{point, counter + 1};
  }
  return fail(Errc::invalid, "a draw's input hashes to no point of the curve");
}

Challenge challenge_of(ByteView y, const Encoded& h, ByteView gamma, const Encoded& u, const Encoded& v) {
  const Hash hash = hash_step(challenge, {y, h, gamma, u, v});
  Challenge c;
  std::copy_n(hash.begin(), c.size(), c.begin());
  return c;
}

VrfOutput output_of(const Encoded& eight_gamma) { return hash_step(proof_to_hash, {eight_gamma}); }

Scalar widened(const Challenge& c) {
  Scalar scalar{};
  std::copy(c.begin(), c.end(), scalar.begin());
  return scalar;
}

/// RFC 8032's two halves of a hashed seed: the scalar, reduced, and what nonces are made of.
struct Expanded {
  Scalar x{};
  std::array<std::uint8_t, 32> prefix{};
  ~Expanded() {
    wipe(x);
    wipe(prefix);
  }
};

void reduce(Scalar& out, Hash& wide) {
  crypto_core_ed25519_scalar_reduce(out.data(), wide.data());
  wipe(wide);
}

Expanded expand(const Key& seed) {
  Hash hash;
  crypto_hash_sha512(hash.data(), seed.bytes.data(), seed.bytes.size());
  Expanded expanded;
  std::copy_n(hash.begin() + 32, 32, expanded.prefix.begin());
  std::fill(hash.begin() + 32, hash.end(), std::uint8_t{0});
  hash[0] &= 248;
  hash[31] = static_cast<std::uint8_t>((hash[31] & 127) | 64);
  reduce(expanded.x, hash);  // every point it meets is of the prime order
  return expanded;
}

/// RFC 8032's deterministic nonce over the encoded H (RFC 9381, 5.4.2.2).
void make_nonce(Scalar& k, const Expanded& expanded, const Encoded& h) {
  crypto_hash_sha512_state state;
  crypto_hash_sha512_init(&state);
  crypto_hash_sha512_update(&state, expanded.prefix.data(), expanded.prefix.size());
  crypto_hash_sha512_update(&state, h.data(), h.size());
  Hash hash;
  crypto_hash_sha512_final(&state, hash.data());
  sodium_memzero(&state, sizeof state);
  reduce(k, hash);
}

/// Below the order of the base point, 2^252 + 27742317777372353535851937790883648493.
bool is_canonical(const Scalar& s) {
  static constexpr Scalar order = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                   0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                   0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
  return std::lexicographical_compare(s.rbegin(), s.rend(), order.rbegin(), order.rend());
}

Result<Point> decode_key(ByteView public_key) {
  if (public_key.size() != 32)
    return fail(Errc::invalid, "a public key of {} bytes instead of 32", public_key.size());
  Encoded bytes;
  std::copy(public_key.begin(), public_key.end(), bytes.begin());
  const auto point = curve::decode(bytes);
  if (!point) return fail(Errc::invalid, "the public key {} is no point of the curve", to_hex(public_key));
  if (curve::is_neutral(curve::times_cofactor(*point)))
    return fail(Errc::invalid, "the public key {} is of small order", to_hex(public_key));
  return *point;
}

struct DecodedProof {
  Point gamma;
  Challenge c;
  Scalar s;
};

Result<DecodedProof> decode_proof(ByteView proof) {
  if (proof.size() != std::tuple_size_v<VrfProof>)
    return fail(Errc::invalid, "a proof of {} bytes instead of {}", proof.size(), std::tuple_size_v<VrfProof>);
  DecodedProof decoded;
  Encoded gamma;
  std::copy_n(proof.begin(), 32, gamma.begin());
  std::copy_n(proof.begin() + 32, 16, decoded.c.begin());
  std::copy_n(proof.begin() + 48, 32, decoded.s.begin());
  const auto point = curve::decode(gamma);
  if (!point) return fail(Errc::invalid, "the proof's first 32 bytes are no point of the curve");
  if (!is_canonical(decoded.s)) return fail(Errc::invalid, "the proof's response is not below the group's order");
  decoded.gamma = *point;
  return decoded;
}

}  // namespace

VrfResult vrf_prove(const SigningKey& key, ByteView input) {
  sodium_ready();
  const auto input_point = point_of_input(key.public_key(), input);
  SPATTER_ASSERT(input_point.has_value());
  const Expanded expanded = expand(key.seed());
  const curve::SecretMultiples multiples(input_point->point);
  const Point gamma = multiples.times(expanded.x);

  Encoded h;
  curve::encode({&input_point->point, 1}, {&h, 1});
  Scalar k;
  make_nonce(k, expanded, h);
  Encoded u;
  SPATTER_ASSERT(crypto_scalarmult_ed25519_base_noclamp(u.data(), k.data()) == 0);
  const Point points[] = {gamma, multiples.times(k), curve::times_cofactor(gamma)};
  std::array<Encoded, 3> encoded;
  curve::encode(points, encoded);
  const auto& [gamma_bytes, v, eight_gamma] = encoded;

  const Challenge c = challenge_of(key.public_key(), h, gamma_bytes, u, v);
  Scalar s;
  crypto_core_ed25519_scalar_mul(s.data(), widened(c).data(), expanded.x.data());
  crypto_core_ed25519_scalar_add(s.data(), s.data(), k.data());
  wipe(k);

  VrfResult result;
  auto out = std::copy(gamma_bytes.begin(), gamma_bytes.end(), result.proof.begin());
  out = std::copy(c.begin(), c.end(), out);
  std::copy(s.begin(), s.end(), out);
  result.output = output_of(eight_gamma);
  return result;
}

Result<VrfOutput> vrf_verify(ByteView public_key, ByteView input, ByteView proof, VrfSteps* steps) {
  sodium_ready();
  TRY(const Point y, decode_key(public_key));
  TRY(const DecodedProof decoded, decode_proof(proof));
  TRY(const InputPoint h, point_of_input(public_key, input));
  const Scalar c = widened(decoded.c);
  const Point points[] = {h.point, curve::base_minus(decoded.s, c, y),
                          curve::combine(decoded.s, h.point, c, decoded.gamma),
                          curve::times_cofactor(decoded.gamma)};
  std::array<Encoded, 4> encoded;
  curve::encode(points, encoded);
  const auto& [h_bytes, u, v, eight_gamma] = encoded;
  const Challenge expected = challenge_of(public_key, h_bytes, proof.first(32), u, v);
  if (steps) *steps = {h_bytes, h.tries, u, v, expected};
  if (expected != decoded.c)
    return fail(Errc::corrupt, "the proof is not of this key for this input: its challenge is {}, computed {}",
                to_hex(decoded.c), to_hex(expected));
  return output_of(eight_gamma);
}

Result<VrfOutput> vrf_output(ByteView proof) {
  sodium_ready();
  TRY(const DecodedProof decoded, decode_proof(proof));
  const Point eight_gamma = curve::times_cofactor(decoded.gamma);
  Encoded bytes;
  curve::encode({&eight_gamma, 1}, {&bytes, 1});
  return output_of(bytes);
}

Result<void> vrf_check_key(ByteView public_key) {
  TRY_VOID(decode_key(public_key));
  return {};
}

}  // namespace spatter
