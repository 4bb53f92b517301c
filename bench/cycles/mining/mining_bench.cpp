// Hashes a second of one core: each kernel, with one version and with four, beside loops over OpenSSL's
// ordinary functions. "items_per_second" is double hashes.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/random.h"
#include "cycles/double_sha256.h"

namespace spatter::mining {
namespace {

BlockHeader some_header() {
  BlockHeader header;
  SeededRandom(1).fill(header);
  return header;
}

constexpr std::uint64_t nonces = 1 << 14;

/// The yardstick: SHA256 over 80 bytes, SHA256 over 32, with OpenSSL 3's one-call function.
void OpensslSha256(benchmark::State& state) {
  BlockHeader header = some_header();
  std::uint8_t once[32], twice[32];
  std::uint32_t nonce = 0;
  for (auto _ : state) {
    header = with_nonce(header, nonce++);
    SHA256(header.data(), header.size(), once);
    SHA256(once, sizeof once, twice);
    benchmark::DoNotOptimize(twice);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(OpensslSha256);

/// The quickest way through OpenSSL's documented interface: one context, one fetched digest.
void OpensslEvp(benchmark::State& state) {
  BlockHeader header = some_header();
  EVP_MD* md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::uint8_t once[32], twice[32];
  std::uint32_t nonce = 0;
  for (auto _ : state) {
    header = with_nonce(header, nonce++);
    EVP_DigestInit_ex2(context, md, nullptr);
    EVP_DigestUpdate(context, header.data(), header.size());
    EVP_DigestFinal_ex(context, once, nullptr);
    EVP_DigestInit_ex2(context, md, nullptr);
    EVP_DigestUpdate(context, once, sizeof once);
    EVP_DigestFinal_ex(context, twice, nullptr);
    benchmark::DoNotOptimize(twice);
  }
  EVP_MD_CTX_free(context);
  EVP_MD_free(md);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(OpensslEvp);

void Scan(benchmark::State& state, ScanKernel kernel) {
  constexpr std::uint32_t versions[] = {0x20000000, 0x20002000, 0x20004000, 0x20006000};
  const auto count = static_cast<std::size_t>(state.range(0));
  const HeaderScan header(some_header(), {versions, count}, target_of_difficulty(1e6), kernel);
  std::vector<Hit> hits;
  std::uint32_t first = 0;
  for (auto _ : state) {
    header.scan(first, nonces, hits);
    first += nonces;
    benchmark::DoNotOptimize(hits.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(nonces * count));
}

const bool registered = [] {
  for (ScanKernel kernel : scan_kernels_available())
    benchmark::RegisterBenchmark(fmt::format("Scan {}, versions", to_string(kernel)).c_str(), Scan,
                                 kernel)
        ->Arg(1)
        ->Arg(4);
  return true;
}();

}  // namespace
}  // namespace spatter::mining
