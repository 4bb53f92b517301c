// What a byte costs: leaf hashing with each kernel beside OpenSSL's single-message rate
// (OpensslLeaves), Merkle trees and proofs, AES-256-GCM, BLAKE2b, chunk ids, signatures.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "crypto/volume_keys.h"

namespace spatter {
namespace {

Bytes some_bytes(std::size_t size) {
  Bytes bytes(size);
  SeededRandom(1).fill(bytes);
  return bytes;
}

void count_bytes(benchmark::State& state, std::size_t each) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(each));
}

/// The yardstick: the same 256 leaves, one EVP context, one message at a time.
void OpensslLeaves(benchmark::State& state) {
  const Bytes shard = some_bytes(4 << 20);
  EVP_MD* md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::uint8_t digest[32];
  const std::uint8_t prefix = 0;
  for (auto _ : state)
    for (std::size_t at = 0; at < shard.size(); at += leaf_bytes) {
      EVP_DigestInit_ex2(context, md, nullptr);
      EVP_DigestUpdate(context, &prefix, 1);
      EVP_DigestUpdate(context, shard.data() + at, leaf_bytes);
      EVP_DigestFinal_ex(context, digest, nullptr);
      benchmark::DoNotOptimize(digest);
    }
  EVP_MD_CTX_free(context);
  EVP_MD_free(md);
  count_bytes(state, shard.size());
}
BENCHMARK(OpensslLeaves);

void Sha256Many(benchmark::State& state, ShaLanes lanes) {
  const Bytes shard = some_bytes(static_cast<std::size_t>(state.range(0)) * leaf_bytes);
  std::vector<ByteView> leaves;
  for (std::size_t at = 0; at < shard.size(); at += leaf_bytes)
    leaves.push_back(ByteView(shard).subspan(at, leaf_bytes));
  std::vector<Digest> digests(leaves.size());
  for (auto _ : state) {
    sha256_many_with(lanes, leaves, digests, std::uint8_t{0});
    benchmark::DoNotOptimize(digests.data());
  }
  count_bytes(state, shard.size());
}

const bool registered = [] {
  benchmark::AddCustomContext("sha256_many uses", std::string(to_string(sha256_lanes_chosen())));
  for (ShaLanes lanes : sha256_lanes_available())
    benchmark::RegisterBenchmark(
        ("Sha256Many/" + std::string(to_string(lanes)) + "/leaves").c_str(),
        [lanes](benchmark::State& state) { Sha256Many(state, lanes); })
        ->Arg(4)
        ->Arg(16)
        ->Arg(64)
        ->Arg(256);
  return true;
}();

void MerkleRoot(benchmark::State& state) {
  std::vector<Digest> leaves(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(merkle_root(leaves));
}
BENCHMARK(MerkleRoot)->Arg(4)->Arg(256);

void VerifyRange(benchmark::State& state) {
  const std::vector<Digest> leaves(256);
  const Digest root = merkle_root(leaves);
  const auto count = static_cast<std::size_t>(state.range(0));
  const Bytes proof = range_proof(leaves, 77, count);
  for (auto _ : state)
    if (!verify_range(root, 256 * leaf_bytes, 77, std::span(leaves).first(count), proof))
      state.SkipWithError("refused");
}
BENCHMARK(VerifyRange)->Arg(1)->Arg(16);

void AeadSeal(benchmark::State& state) {
  const Bytes plain = some_bytes(static_cast<std::size_t>(state.range(0)));
  Bytes sealed(plain.size() + aead_tag_bytes);
  for (auto _ : state) seal(Key(), {}, {}, plain, sealed);
  count_bytes(state, plain.size());
}
BENCHMARK(AeadSeal)->Arg(256)->Arg(16 << 10)->Arg(1 << 20)->Arg(4 << 20);

void AeadOpen(benchmark::State& state) {
  Bytes plain = some_bytes(static_cast<std::size_t>(state.range(0)));
  Bytes sealed(plain.size() + aead_tag_bytes);
  seal(Key(), {}, {}, plain, sealed);
  for (auto _ : state)
    if (!open(Key(), {}, {}, sealed, plain)) state.SkipWithError("refused");
  count_bytes(state, plain.size());
}
BENCHMARK(AeadOpen)->Arg(16 << 10)->Arg(1 << 20);

void Blake2b(benchmark::State& state) {
  const Bytes data = some_bytes(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(blake2b(Key().view(), data));
  count_bytes(state, data.size());
}
BENCHMARK(Blake2b)->Arg(64)->Arg(1 << 20);

VolumeKeys some_keys() {
  return VolumeKeys::derive(PersonSecret::from_bytes(Key()), VolumeId{});
}

void ChunkIds(benchmark::State& state) {
  const ChunkKeys keys = some_keys().chunks;
  const Bytes data = some_bytes(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(keys.id(data));
  count_bytes(state, data.size());
}
BENCHMARK(ChunkIds)->Arg(16 << 10)->Arg(1 << 20);

void RecordSeal(benchmark::State& state) {
  const RecordKeys keys = some_keys().metadata;
  const Bytes record = some_bytes(200);
  for (auto _ : state) benchmark::DoNotOptimize(keys.seal({}, record));
}
BENCHMARK(RecordSeal);

void Sign(benchmark::State& state) {
  const SigningKey key = SigningKey::from_seed(Key());
  const Bytes message = some_bytes(300);
  for (auto _ : state) benchmark::DoNotOptimize(key.sign(message));
}
BENCHMARK(Sign);

void Verify(benchmark::State& state) {
  const SigningKey key = SigningKey::from_seed(Key());
  const Bytes message = some_bytes(300);
  const Signature signature = key.sign(message);
  for (auto _ : state)
    if (!verify(key.public_key(), message, signature)) state.SkipWithError("refused");
}
BENCHMARK(Verify);

}  // namespace
}  // namespace spatter
