#include "cycles/double_sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "crypto/hash.h"
#include "scan_plan.h"

namespace spatter::mining {
namespace {

using namespace mining_internal;

std::uint32_t big_endian(const std::uint8_t* at) {
  std::uint32_t value;
  std::memcpy(&value, at, 4);
  return __builtin_bswap32(value);
}
void store_little_endian(std::uint8_t* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint32_t small_sigma0(std::uint32_t w) { return std::rotr(w, 7) ^ std::rotr(w, 18) ^ w >> 3; }
std::uint32_t small_sigma1(std::uint32_t w) { return std::rotr(w, 17) ^ std::rotr(w, 19) ^ w >> 10; }

/// One round on a to h. `input` is the word plus the round's constant.
void round(std::uint32_t (&s)[8], std::uint32_t input) {
  const auto [a, b, c, d, e, f, g, h] = s;
  const std::uint32_t t = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                          ((e & f) ^ (~e & g)) + input;
  const std::uint32_t u = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) +
                          ((a & b) ^ (a & c) ^ (b & c));
  const std::uint32_t next[8] = {t + u, a, b, c, d + t, e, f, g};
  std::copy(std::begin(next), std::end(next), s);
}

void first_block(const BlockHeader& header, std::uint32_t (&state)[8]) {
  std::uint32_t w[64], s[8];
  for (int i = 0; i < 16; ++i) w[i] = big_endian(header.data() + 4 * i);
  for (int i = 16; i < 64; ++i)
    w[i] = w[i - 16] + small_sigma0(w[i - 15]) + w[i - 7] + small_sigma1(w[i - 2]);
  std::copy(std::begin(initial_state), std::end(initial_state), s);
  for (int i = 0; i < 64; ++i) round(s, w[i] + round_constants[i]);
  for (int i = 0; i < 8; ++i) state[i] = initial_state[i] + s[i];
}

ScanPlan plan_of(const BlockHeader& header, std::span<const std::uint32_t> versions,
                 const Uint256& target) {
  ScanPlan plan{};
  std::uint32_t tail[3];
  for (int i = 0; i < 3; ++i) tail[i] = big_endian(header.data() + 64 + 4 * i);
  plan.versions = versions.size();
  for (std::size_t v = 0; v < versions.size(); ++v) {
    VersionPlan& version = plan.version[v];
    first_block(with_version(header, versions[v]), version.midstate);
    std::uint32_t s[8];
    std::copy(std::begin(version.midstate), std::end(version.midstate), s);
    for (int i = 0; i < 3; ++i) round(s, tail[i] + round_constants[i]);
    round(s, round_constants[3]);  // what this leaves out, the nonce, is a term of both a and e
    std::copy(std::begin(s), std::end(s), version.after_nonce);
  }
  plan.word16 = tail[0] + small_sigma0(tail[1]);
  plan.word17 = tail[1] + small_sigma0(tail[2]) + small_sigma1(640);
  plan.word18_part = tail[2] + small_sigma1(plan.word16);
  plan.word19_part = small_sigma0(0x80000000) + small_sigma1(plan.word17);
  plan.word31_part = 640 + small_sigma0(plan.word16);
  plan.word32_part = plan.word16 + small_sigma0(plan.word17);
  plan.target_top = static_cast<std::uint32_t>(target.words[3] >> 32);
  return plan;
}

struct KernelOf {
  Kernel search;
  std::size_t lanes;
};

KernelOf kernel_of(ScanKernel kernel) {
  switch (kernel) {
    case ScanKernel::sixteen_avx512:
      return {search_avx512, lanes_avx512};
    case ScanKernel::eight_avx2:
      return {search_avx2, lanes_avx2};
    case ScanKernel::two_sha:
      return {search_sha, lanes_sha};
    case ScanKernel::scalar:
      break;
  }
  return {search_scalar, lanes_scalar};
}

std::vector<ScanKernel> find_available() {
  std::vector<ScanKernel> found = {ScanKernel::scalar};
#if defined(__x86_64__)
  __builtin_cpu_init();
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b >> 29 & 1) != 0 &&
      __builtin_cpu_supports("sse4.1"))
    found.push_back(ScanKernel::two_sha);
  if (__builtin_cpu_supports("avx2")) found.push_back(ScanKernel::eight_avx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
    found.push_back(ScanKernel::sixteen_avx512);
#endif
  return found;
}

/// The processor's cycle counter is read, not the clock: nothing but speed depends on it.
ScanKernel find_fastest() {
  ScanKernel fastest = ScanKernel::scalar;
#if defined(__x86_64__)
  constexpr std::uint64_t nonces = 8192;
  constexpr std::uint32_t versions[] = {0, 1, 2, 3};
  std::uint64_t fewest_cycles = UINT64_MAX;
  std::vector<Hit> hits;
  for (ScanKernel kernel : scan_kernels_available())
    for (int attempt = 0; attempt < 3; ++attempt) {
      const HeaderScan header(BlockHeader{}, versions, Uint256{}, kernel);
      const std::uint64_t begin = __builtin_ia32_rdtsc();
      header.scan(0, nonces, hits);
      const std::uint64_t cycles = __builtin_ia32_rdtsc() - begin;
      if (cycles >= fewest_cycles) continue;
      fewest_cycles = cycles;
      fastest = kernel;
    }
#endif
  return fastest;
}

}  // namespace

Digest double_sha256(ByteView message) { return sha256(sha256(message).bytes); }

BlockHeader with_nonce(BlockHeader header, std::uint32_t nonce) {
  store_little_endian(header.data() + 76, nonce);
  return header;
}
BlockHeader with_version(BlockHeader header, std::uint32_t version) {
  store_little_endian(header.data(), version);
  return header;
}

std::string_view to_string(ScanKernel kernel) {
  switch (kernel) {
    case ScanKernel::scalar:
      return "scalar";
    case ScanKernel::two_sha:
      return "2 lanes, SHA";
    case ScanKernel::eight_avx2:
      return "8 lanes, AVX2";
    case ScanKernel::sixteen_avx512:
      return "16 lanes, AVX-512";
  }
  return "?";
}

std::span<const ScanKernel> scan_kernels_available() {
  static const std::vector<ScanKernel> available = find_available();
  return available;
}

ScanKernel scan_kernel_chosen() {
  static const ScanKernel chosen = find_fastest();
  return chosen;
}

HeaderScan::HeaderScan(const BlockHeader& header, std::span<const std::uint32_t> versions,
                       const Uint256& target, ScanKernel kernel)
    : header_(header),
      versions_(versions.begin(), versions.end()),
      target_(target),
      kernel_(kernel),
      plan_(sizeof(ScanPlan)) {
  static_assert(HeaderScan::versions_max == mining_internal::versions_max);
  SPATTER_ASSERT(!versions.empty() && versions.size() <= versions_max);
  SPATTER_ASSERT(std::ranges::count(scan_kernels_available(), kernel) == 1);
  const ScanPlan plan = plan_of(header, versions, target);
  std::memcpy(plan_.data(), &plan, sizeof plan);
}

void HeaderScan::scan(std::uint32_t first, std::uint64_t count, std::vector<Hit>& hits) const {
  SPATTER_ASSERT(first + count <= std::uint64_t{1} << 32);
  ScanPlan plan;
  std::memcpy(&plan, plan_.data(), sizeof plan);
  const auto [search, lanes] = kernel_of(kernel_);
  // The last group may have lanes past the end, whose findings are not looked at.
  const std::uint64_t groups = (count + lanes - 1) / lanes;
  std::uint32_t masks[mining_internal::versions_max];
  for (std::uint64_t group = 0; group < groups; ++group) {
    const auto at = static_cast<std::uint32_t>(first + group * lanes);
    group += search(plan, at, groups - group, masks);
    if (group >= groups) return;
    for (std::size_t lane = 0; lane < lanes && group * lanes + lane < count; ++lane)
      for (std::size_t v = 0; v < versions_.size(); ++v) {
        if ((masks[v] >> lane & 1) == 0) continue;
        const auto nonce = static_cast<std::uint32_t>(first + group * lanes + lane);
        const Digest hash = double_sha256(with_nonce(with_version(header_, versions_[v]), nonce));
        if (number_of(hash) <= target_) hits.push_back({nonce, versions_[v], hash});
      }
  }
}

std::vector<Hit> scan(const BlockHeader& header, std::uint32_t first, std::uint64_t count,
                      const Uint256& target, ScanKernel kernel) {
  std::uint32_t version;
  std::memcpy(&version, header.data(), 4);
  std::vector<Hit> hits;
  HeaderScan(header, {&version, 1}, target, kernel).scan(first, count, hits);
  return hits;
}

}  // namespace spatter::mining
