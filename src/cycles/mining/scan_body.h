// The search over nonces, written once for every width of vector. Each kernel's file gives its
// `Vector` (in an anonymous namespace, so that nothing of this can be linked into another):
//
//   Word               lanes of 32 bits
//   lanes              how many
//   add, xor3, choose, majority, ror<n>, shr<n>
//   all(value), load(value in memory)   the same word in every lane
//   nonces(first)      word 3 of the second block for nonces first, first + 1, ...
//   not_above(w, top)  a bit for each lane of which the bytes of w, reversed, are <= top
//
// What is saved against hashing 80 bytes twice: the first block (midstate); four rounds and the parts
// of the schedule that the nonce does not reach; for all but the first version the whole schedule of
// the second block; in the second hash the first round, the rounds after the one that yields its last
// word, and the half of the four that end with that one.
#pragma once

#include "scan_plan.h"

namespace spatter::mining_internal {
namespace {

#define SPATTER_INLINE __attribute__((always_inline)) inline

template <class V>
struct Lanes {
  using Word = typename V::Word;

  static SPATTER_INLINE Word big_sigma0(Word a) {
    return V::xor3(V::template ror<2>(a), V::template ror<13>(a), V::template ror<22>(a));
  }
  static SPATTER_INLINE Word big_sigma1(Word e) {
    return V::xor3(V::template ror<6>(e), V::template ror<11>(e), V::template ror<25>(e));
  }
  static SPATTER_INLINE Word small_sigma0(Word w) {
    return V::xor3(V::template ror<7>(w), V::template ror<18>(w), V::template shr<3>(w));
  }
  static SPATTER_INLINE Word small_sigma1(Word w) {
    return V::xor3(V::template ror<17>(w), V::template ror<19>(w), V::template shr<10>(w));
  }

  /// Round i of a state whose variables' names rotate instead of moving; `input` is the word plus the
  /// round's constant. Without `with_a` only the new e is made.
  static SPATTER_INLINE void round(Word* s, int i, Word input, bool with_a = true) {
    const Word a = s[(64 - i) % 8], b = s[(65 - i) % 8], c = s[(66 - i) % 8];
    const Word e = s[(68 - i) % 8], f = s[(69 - i) % 8], g = s[(70 - i) % 8];
    Word& d = s[(67 - i) % 8];
    Word& h = s[(71 - i) % 8];
    const Word t = V::add(V::add(V::add(h, input), V::choose(e, f, g)), big_sigma1(e));
    d = V::add(d, t);
    if (with_a) h = V::add(V::add(t, V::majority(a, b, c)), big_sigma0(a));
  }

  /// Word i of a schedule kept in a ring of sixteen.
  static SPATTER_INLINE Word next_word(Word* w, int i) {
    return w[i % 16] = V::add(V::add(w[i % 16], small_sigma0(w[(i + 1) % 16])),
                              V::add(w[(i + 9) % 16], small_sigma1(w[(i + 14) % 16])));
  }

  /// Words 16 to 63 of the header's second block, each plus its round's constant.
  static SPATTER_INLINE void header_schedule(const ScanPlan& plan, Word nonce, Word* inputs) {
    Word w[16];
    w[0] = V::load(plan.word16);
    w[1] = V::load(plan.word17);
    w[2] = V::add(V::load(plan.word18_part), small_sigma0(nonce));
    w[3] = V::add(V::load(plan.word19_part), nonce);
    w[4] = V::add(V::all(0x80000000), small_sigma1(w[2]));
    w[5] = small_sigma1(w[3]);
    w[6] = V::add(V::all(640), small_sigma1(w[4]));
#pragma clang loop unroll(full)
    for (int i = 7; i < 14; ++i) w[i] = V::add(w[i - 7], small_sigma1(w[i - 2]));
    w[14] = V::add(V::add(w[7], small_sigma1(w[12])), V::all(small_sigma0_of_640));
    w[15] = V::add(V::add(w[8], small_sigma1(w[13])), V::load(plan.word31_part));
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) inputs[i] = V::add(w[i], V::load(round_constants[16 + i]));
    w[0] = V::add(V::add(w[9], small_sigma1(w[14])), V::load(plan.word32_part));
    inputs[16] = V::add(w[0], V::load(round_constants[32]));
#pragma clang loop unroll(full)
    for (int i = 1; i < 16; ++i)
      inputs[16 + i] = V::add(next_word(w, i), V::load(round_constants[32 + i]));
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i)
      inputs[32 + i] = V::add(next_word(w, i), V::load(round_constants[48 + i]));
  }

  /// Of the second hash: words 0 to 60 of the schedule, each plus its round's constant, but 8 to 15.
  static SPATTER_INLINE void hash_schedule(Word* w, Word* inputs) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; ++i) inputs[i] = V::add(w[i], V::load(round_constants[i]));
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) {
      early_word(w, i);
      inputs[16 + i] = V::add(w[i], V::load(round_constants[16 + i]));
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i)
      inputs[32 + i] = V::add(next_word(w, i), V::load(round_constants[32 + i]));
#pragma clang loop unroll(full)
    for (int i = 0; i < 13; ++i)
      inputs[48 + i] = V::add(next_word(w, i), V::load(round_constants[48 + i]));
  }

  /// Word 16 + i of the second hash's schedule, without what the padding makes zero.
  static SPATTER_INLINE void early_word(Word* w, int i) {
    if (i == 0) {
      w[0] = V::add(w[0], small_sigma0(w[1]));
    } else if (i == 1) {
      w[1] = V::add(V::add(w[1], small_sigma0(w[2])), V::all(small_sigma1_of_256));
    } else if (i < 6) {
      w[i] = V::add(V::add(w[i], small_sigma0(w[i + 1])), small_sigma1(w[i - 2]));
    } else if (i == 6) {
      w[6] = V::add(V::add(w[6], small_sigma0(w[7])), V::add(small_sigma1(w[4]), V::all(256)));
    } else if (i == 7) {
      w[7] = V::add(V::add(w[7], V::all(small_sigma0_of_padding)), V::add(small_sigma1(w[5]), w[0]));
    } else if (i == 8) {
      w[8] = V::add(V::add(small_sigma1(w[6]), w[1]), V::all(0x80000000));
    } else if (i < 14) {
      w[i] = V::add(small_sigma1(w[i - 2]), w[i - 7]);
    } else if (i == 14) {
      w[14] = V::add(V::add(small_sigma1(w[12]), w[7]), V::all(small_sigma0_of_256));
    } else {
      w[15] = V::add(V::add(small_sigma1(w[13]), w[8]), V::add(small_sigma0(w[0]), V::all(256)));
    }
  }

  /// One header under way in each lane.
  struct Stream {
    const VersionPlan* version;
    Word nonce;
    const Word* inputs;  ///< its header_schedule
  };

  /// The last words of the hashes' hashes, for `side` streams interleaved: one alone would wait for
  /// each instruction's result.
  template <int side>
  static SPATTER_INLINE void hash_twice(const Stream* streams, Word* last) {
    Word s[side][8], inputs[side][64];
#pragma clang loop unroll(full)
    for (int v = 0; v < side; ++v) {
#pragma clang loop unroll(full)
      for (int i = 0; i < 8; ++i) s[v][(i + 4) % 8] = V::load(streams[v].version->after_nonce[i]);
      s[v][4] = V::add(s[v][4], streams[v].nonce);
      s[v][0] = V::add(s[v][0], streams[v].nonce);
    }
#pragma clang loop unroll(full)
    for (int i = 4; i < 16; ++i)
#pragma clang loop unroll(full)
      for (int v = 0; v < side; ++v) round(s[v], i, V::load(padded_header_inputs.words[i]));
#pragma clang loop unroll(disable)
    for (int sixteen = 0; sixteen < 48; sixteen += 16)
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i)
#pragma clang loop unroll(full)
        for (int v = 0; v < side; ++v) round(s[v], i, streams[v].inputs[sixteen + i]);

#pragma clang loop unroll(full)
    for (int v = 0; v < side; ++v) {
      Word w[16];
#pragma clang loop unroll(full)
      for (int i = 0; i < 8; ++i) w[i] = V::add(s[v][i], V::load(streams[v].version->midstate[i]));
      hash_schedule(w, inputs[v]);
    }
#pragma clang loop unroll(full)
    for (int v = 0; v < side; ++v) {
      // Round 0 of a state that is constant: its variables, already at the places of round 1.
      s[v][7] = V::add(inputs[v][0], V::all(first_a));
      s[v][3] = V::add(inputs[v][0], V::all(first_e));
      s[v][0] = V::all(initial_state[0]);
      s[v][1] = V::all(initial_state[1]);
      s[v][2] = V::all(initial_state[2]);
      s[v][4] = V::all(initial_state[4]);
      s[v][5] = V::all(initial_state[5]);
      s[v][6] = V::all(initial_state[6]);
    }
#pragma clang loop unroll(full)
    for (int i = 1; i < 16; ++i)
#pragma clang loop unroll(full)
      for (int v = 0; v < side; ++v)
        round(s[v], i, i < 8 ? inputs[v][i] : V::load(padded_hash_inputs.words[i]));
#pragma clang loop unroll(disable)
    for (int sixteen = 16; sixteen < 48; sixteen += 16)
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i)
#pragma clang loop unroll(full)
        for (int v = 0; v < side; ++v) round(s[v], i, inputs[v][sixteen + i]);
#pragma clang loop unroll(full)
    for (int i = 0; i < 13; ++i)
#pragma clang loop unroll(full)
      for (int v = 0; v < side; ++v) round(s[v], i, inputs[v][48 + i], i < 9);
#pragma clang loop unroll(full)
    for (int v = 0; v < side; ++v) last[v] = V::add(s[v][(67 - 12) % 8], V::all(initial_state[7]));
  }

  /// Nonces from `first` on, with all versions: `side` of these interleaved, or `side` groups of
  /// nonces where there is one version only.
  template <int side>
  static SPATTER_INLINE std::uint64_t search(const ScanPlan& plan, std::uint32_t first,
                                             std::uint64_t groups, std::uint32_t* masks) {
    Word inputs[side][48], last[side];
    Stream streams[side];
    std::uint64_t group = 0;
    if (plan.versions == 1) {
      for (; group + side <= groups; group += side) {
#pragma clang loop unroll(full)
        for (int g = 0; g < side; ++g) {
          const std::uint64_t at = (group + static_cast<unsigned>(g)) * V::lanes;
          streams[g] = {plan.version, V::nonces(first + static_cast<std::uint32_t>(at)), inputs[g]};
          header_schedule(plan, streams[g].nonce, inputs[g]);
        }
        hash_twice<side>(streams, last);
#pragma clang loop unroll(full)
        for (int g = 0; g < side; ++g) {
          masks[0] = V::not_above(last[g], plan.target_top);
          if (masks[0] != 0) return group + static_cast<unsigned>(g);
        }
      }
    }
    for (; group < groups; ++group) {
      const Word nonce = V::nonces(first + static_cast<std::uint32_t>(group * V::lanes));
      header_schedule(plan, nonce, inputs[0]);
      std::uint32_t found = 0;
      for (std::size_t v = 0; v < plan.versions; v += side) {
#pragma clang loop unroll(full)
        for (int at = 0; at < side; ++at) {  // past the last version: the last one again
          const std::size_t version = v + static_cast<unsigned>(at);
          streams[at] = {plan.version + (version < plan.versions ? version : plan.versions - 1),
                         nonce, inputs[0]};
        }
        hash_twice<side>(streams, last);
#pragma clang loop unroll(full)
        for (int at = 0; at < side; ++at) {
          const std::size_t version = v + static_cast<unsigned>(at);
          if (version < plan.versions)
            found |= masks[version] = V::not_above(last[at], plan.target_top);
        }
      }
      if (found != 0) return group;
    }
    return groups;
  }

 private:
  static constexpr std::uint32_t turn(std::uint32_t x, int n) { return x >> n | x << (32 - n); }
  static constexpr std::uint32_t sigma0_of(std::uint32_t x) { return turn(x, 7) ^ turn(x, 18) ^ x >> 3; }
  static constexpr std::uint32_t sigma1_of(std::uint32_t x) {
    return turn(x, 17) ^ turn(x, 19) ^ x >> 10;
  }
  static constexpr std::uint32_t small_sigma0_of_640 = sigma0_of(640);
  static constexpr std::uint32_t small_sigma0_of_256 = sigma0_of(256);
  static constexpr std::uint32_t small_sigma1_of_256 = sigma1_of(256);
  static constexpr std::uint32_t small_sigma0_of_padding = sigma0_of(0x80000000);

  static constexpr std::uint32_t first_t =
      initial_state[7] +
      (turn(initial_state[4], 6) ^ turn(initial_state[4], 11) ^ turn(initial_state[4], 25)) +
      ((initial_state[4] & initial_state[5]) ^ (~initial_state[4] & initial_state[6]));
  static constexpr std::uint32_t first_e = initial_state[3] + first_t;
  static constexpr std::uint32_t first_a =
      first_t +
      (turn(initial_state[0], 2) ^ turn(initial_state[0], 13) ^ turn(initial_state[0], 22)) +
      ((initial_state[0] & initial_state[1]) ^ (initial_state[0] & initial_state[2]) ^
       (initial_state[1] & initial_state[2]));

  struct Inputs {
    std::uint32_t words[16];
  };
  /// The constants of rounds 4 to 15 (header) and 8 to 15 (hash) with the padding's words added.
  static constexpr Inputs padded(int marker, std::uint32_t bits) {
    Inputs inputs{};
    for (int i = 0; i < 16; ++i) inputs.words[i] = round_constants[i];
    inputs.words[marker] += 0x80000000;
    inputs.words[15] += bits;
    return inputs;
  }
  static constexpr Inputs padded_header_inputs = padded(4, 640);
  static constexpr Inputs padded_hash_inputs = padded(8, 256);
};

}  // namespace
}  // namespace spatter::mining_internal
