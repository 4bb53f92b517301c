// Many messages at once: deals them to the lanes of a kernel, message after message as lanes fall
// free, and finishes the stragglers two by two or one by one when too few lanes are busy to be
// worth it.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <cpuid.h>
#include <openssl/sha.h>

#include <array>
#include <cstring>
#include <vector>

#include "crypto/hash.h"
#include "sha256_lanes.h"

namespace spatter {

namespace sha256_internal {

const std::array<std::uint32_t, 64> round_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

const std::array<std::uint32_t, 8> initial_state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

}  // namespace sha256_internal

namespace {

using namespace sha256_internal;

void store_be32(std::uint8_t* out, std::uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(out, &value, 4);
}

struct Kernel {
  Transform transform;
  std::size_t lanes;
  std::size_t too_few;  ///< so many busy lanes or fewer are faster one by one
};

/// Whether the processor has SHA instructions (CPUID leaf 7, EBX bit 29): with them even one
/// message at a time is as fast as eight AVX2 lanes.
bool has_sha_instructions() {
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b >> 29 & 1) != 0 &&
           __builtin_cpu_supports("sse4.1");
  }();
  return has;
}

Kernel kernel_of(ShaLanes lanes) {
  switch (lanes) {
    case ShaLanes::sixteen_avx512:
      return {transform_16_avx512, 16, has_sha_instructions() ? 13U : 2U};
    case ShaLanes::eight_avx2:
      return {transform_8_avx2, 8, has_sha_instructions() ? 7U : 2U};
    default:
      return {transform_2_sha, 2, 1};
  }
}

/// A run of whole blocks lying together in memory.
struct Run {
  const std::uint8_t* at = nullptr;
  std::size_t blocks = 0;
};

/// One message on its way through a lane, as up to three runs of blocks: a first block that holds
/// the prefix, the message's own memory, and the padded end.
struct Lane {
  bool busy = false;
  std::size_t message = 0;
  std::array<Run, 3> runs;
  unsigned run = 0;
  std::array<std::uint8_t, block_bytes> first;
  std::array<std::uint8_t, 2 * block_bytes> last;

  void begin(std::size_t index, ByteView body, std::optional<std::uint8_t> prefix) {
    busy = true;
    message = index;
    run = 0;
    const std::uint64_t bits = (body.size() + prefix.has_value()) * 8;
    runs = {};
    std::size_t in_last = 0;
    if (prefix) {
      if (body.size() >= block_bytes - 1) {
        first[0] = *prefix;
        std::memcpy(first.data() + 1, body.data(), block_bytes - 1);
        runs[0] = {first.data(), 1};
        body = body.subspan(block_bytes - 1);
      } else {
        last[in_last++] = *prefix;
      }
    }
    const std::size_t whole = body.size() / block_bytes;
    runs[1] = {body.data(), whole};
    body = body.subspan(whole * block_bytes);
    if (!body.empty()) std::memcpy(last.data() + in_last, body.data(), body.size());
    in_last += body.size();
    last[in_last++] = 0x80;
    const std::size_t end = in_last <= block_bytes - 8 ? block_bytes : 2 * block_bytes;
    std::memset(last.data() + in_last, 0, end - in_last);
    store_be32(last.data() + end - 8, static_cast<std::uint32_t>(bits >> 32));
    store_be32(last.data() + end - 4, static_cast<std::uint32_t>(bits));
    runs[2] = {last.data(), end / block_bytes};
    skip_empty_runs();
  }

  void advance(std::size_t blocks) {
    runs[run].at += blocks * block_bytes;
    runs[run].blocks -= blocks;
    skip_empty_runs();
  }
  bool at_end() const { return run == runs.size(); }

 private:
  void skip_empty_runs() {
    while (run < runs.size() && runs[run].blocks == 0) ++run;
  }
};

class Dealer {
 public:
  Dealer(const Kernel& kernel, std::span<const ByteView> messages, std::span<Digest> out,
         std::optional<std::uint8_t> prefix)
      : kernel_(kernel), messages_(messages), out_(out), prefix_(prefix) {}

  void run() {
    while (true) {
      deal();
      if (busy_ <= kernel_.too_few) break;  // deal() left lanes free: no message is waiting
      step();
    }
    finish_stragglers();
  }

 private:
  void deal() {
    for (std::size_t l = 0; l < kernel_.lanes && next_ < messages_.size(); ++l) {
      if (lanes_[l].busy) continue;
      lanes_[l].begin(next_, messages_[next_], prefix_);
      ++next_;
      ++busy_;
      for (std::size_t w = 0; w < 8; ++w) state_[w * kernel_.lanes + l] = initial_state[w];
    }
  }

  /// As many blocks as every busy lane has in one piece.
  void step() {
    std::size_t blocks = SIZE_MAX;
    const std::uint8_t* readable = nullptr;
    for (std::size_t l = 0; l < kernel_.lanes; ++l) {
      if (!lanes_[l].busy) continue;
      const Run& run = lanes_[l].runs[lanes_[l].run];
      blocks = std::min(blocks, run.blocks);
      readable = run.at;
    }
    std::array<const std::uint8_t*, lanes_max> at;
    for (std::size_t l = 0; l < kernel_.lanes; ++l)  // a free lane computes along, for nothing
      at[l] = lanes_[l].busy ? lanes_[l].runs[lanes_[l].run].at : readable;
    kernel_.transform(state_.data(), at.data(), blocks);
    for (std::size_t l = 0; l < kernel_.lanes; ++l) {
      if (!lanes_[l].busy) continue;
      lanes_[l].advance(blocks);
      if (lanes_[l].at_end()) complete(l);
    }
  }

  void complete(std::size_t l) {
    std::uint8_t* digest = out_[lanes_[l].message].bytes.data();
    for (std::size_t w = 0; w < 8; ++w) store_be32(digest + 4 * w, state_[w * kernel_.lanes + l]);
    lanes_[l].busy = false;
    --busy_;
  }

  /// Two by two while there are two, where the processor can.
  void finish_stragglers() {
    std::optional<std::size_t> waiting;
    for (std::size_t l = 0; l < kernel_.lanes; ++l) {
      if (!lanes_[l].busy) continue;
      if (waiting && has_sha_instructions()) {
        step_together(*waiting, l);
        if (lanes_[l].at_end()) complete(l);
        if (!lanes_[*waiting].at_end()) continue;
        complete(*waiting);
        waiting.reset();
        if (lanes_[l].busy) waiting = l;
      } else {
        if (waiting) finish_alone(*waiting);
        waiting = l;
      }
    }
    if (waiting) finish_alone(*waiting);
  }

  /// Until one of the two is at its end.
  void step_together(std::size_t one, std::size_t two) {
    std::array<std::uint32_t, 16> pair;
    for (std::size_t w = 0; w < 8; ++w) {
      pair[2 * w] = state_[w * kernel_.lanes + one];
      pair[2 * w + 1] = state_[w * kernel_.lanes + two];
    }
    while (!lanes_[one].at_end() && !lanes_[two].at_end()) {
      const Run a = lanes_[one].runs[lanes_[one].run], b = lanes_[two].runs[lanes_[two].run];
      const std::array<const std::uint8_t*, 2> at = {a.at, b.at};
      const std::size_t blocks = std::min(a.blocks, b.blocks);
      transform_2_sha(pair.data(), at.data(), blocks);
      lanes_[one].advance(blocks);
      lanes_[two].advance(blocks);
    }
    for (std::size_t w = 0; w < 8; ++w) {
      state_[w * kernel_.lanes + one] = pair[2 * w];
      state_[w * kernel_.lanes + two] = pair[2 * w + 1];
    }
  }

  void finish_alone(std::size_t l) {
    SHA256_CTX context;
    SHA256_Init(&context);
    for (std::size_t w = 0; w < 8; ++w) context.h[w] = state_[w * kernel_.lanes + l];
    for (Lane& lane = lanes_[l]; !lane.at_end();) {
      const Run run = lane.runs[lane.run];
      SHA256_Update(&context, run.at,
                    run.blocks * block_bytes);  // whole blocks: nothing is held back
      lane.advance(run.blocks);
    }
    for (std::size_t w = 0; w < 8; ++w) state_[w * kernel_.lanes + l] = context.h[w];
    complete(l);
  }

  Kernel kernel_;
  std::span<const ByteView> messages_;
  std::span<Digest> out_;
  std::optional<std::uint8_t> prefix_;
  std::size_t next_ = 0;
  std::size_t busy_ = 0;
  LaneState state_;
  std::array<Lane, lanes_max> lanes_;
};

void one_by_one(std::span<const ByteView> messages, std::span<Digest> out,
                std::optional<std::uint8_t> prefix) {
  Sha256 hash;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (prefix) hash.update({&*prefix, 1});
    out[i] = hash.update(messages[i]).finish();
  }
}

std::vector<ShaLanes> find_available() {
  std::vector<ShaLanes> found = {ShaLanes::one};
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) found.push_back(ShaLanes::eight_avx2);
  if (has_sha_instructions()) found.push_back(ShaLanes::two_sha);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
    found.push_back(ShaLanes::sixteen_avx512);
  return found;
}

/// By a race of a millisecond, because no rule holds: two lanes of SHA instructions and
/// sixteen of AVX-512 are within a tenth of each other on Zen 4, and elsewhere either may win by
/// far. The processor's cycle counter is read, not the clock: nothing but speed depends on it.
ShaLanes find_fastest() {
  constexpr std::size_t messages_total = 16, message_bytes = 16384;  // leaves, as they come
  const Bytes data(messages_total * message_bytes);
  std::vector<ByteView> messages;
  for (std::size_t i = 0; i < messages_total; ++i)
    messages.push_back(ByteView(data).subspan(i * message_bytes, message_bytes));
  std::vector<Digest> digests(messages_total);
  ShaLanes fastest = ShaLanes::one;
  std::uint64_t fewest_cycles = UINT64_MAX;
  for (ShaLanes lanes : sha256_lanes_available())
    for (int attempt = 0; attempt < 4; ++attempt) {
      const std::uint64_t begin = __builtin_ia32_rdtsc();
      sha256_many_with(lanes, messages, digests, std::uint8_t{0});
      const std::uint64_t cycles = __builtin_ia32_rdtsc() - begin;
      if (cycles >= fewest_cycles) continue;
      fewest_cycles = cycles;
      fastest = lanes;
    }
  return fastest;
}

}  // namespace

std::string_view to_string(ShaLanes lanes) {
  switch (lanes) {
    case ShaLanes::one:
      return "one message at a time";
    case ShaLanes::two_sha:
      return "2 lanes, SHA";
    case ShaLanes::eight_avx2:
      return "8 lanes, AVX2";
    case ShaLanes::sixteen_avx512:
      return "16 lanes, AVX-512";
  }
  return "?";
}

std::span<const ShaLanes> sha256_lanes_available() {
  static const std::vector<ShaLanes> available = find_available();
  return available;
}

ShaLanes sha256_lanes_chosen() {
  static const ShaLanes chosen = find_fastest();
  return chosen;
}

void sha256_many_with(ShaLanes lanes, std::span<const ByteView> messages, std::span<Digest> out,
                      std::optional<std::uint8_t> prefix) {
  SPATTER_ASSERT(messages.size() == out.size());
  if (lanes == ShaLanes::one) return one_by_one(messages, out, prefix);
  if (messages.size() == 1) return one_by_one(messages, out, prefix);
  Dealer(kernel_of(lanes), messages, out, prefix).run();
}

void sha256_many(std::span<const ByteView> messages, std::span<Digest> out,
                 std::optional<std::uint8_t> prefix) {
  sha256_many_with(sha256_lanes_chosen(), messages, out, prefix);
}

}  // namespace spatter
