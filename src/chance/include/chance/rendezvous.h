// Weighted rendezvous hashing: everyone who knows a stripe's id and the servers computes the same
// order of preference, a server is preferred in proportion to its weight, and when a server comes
// or goes only the places it gains or loses change (straw2, as in Ceph's CRUSH).
//
// Verifiers must agree bit for bit, so the logarithm is in fixed point; there is no floating point.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace spatter {

/// -log2(u / 2^64) in units of 2^-32; `u` of 0 counts as 1. Between 1 and 64 << 32.
///
/// Exactly: let e be the place of u's highest set bit and x = u << (63 - e). Thirty-two times:
/// x = x * x >> 63 (in 128 bits); if that is 2^64 or more the next bit of f (from the top) is 1
/// and x is halved, else it is 0. The result is (64 << 32) - (e << 32) - f.
std::uint64_t negative_log2(std::uint64_t u);

/// floor(negative_log2(u) * 2^25 / weight). For u drawn evenly from all 64-bit numbers these are
/// exponential waiting times at a rate of `weight`: among several, each is the least with a
/// probability of its share of the weights, and so on among those that remain. `weight` must not be 0.
std::uint64_t weighted_distance(std::uint64_t u, std::uint32_t weight);

/// The distance of `server` from `stripe`: the servers with the least distances are drawn first
/// (equal distances: the lower server id first). `weight` must not be 0; only ratios matter, and
/// those of up to 2^20 : 1 are kept exactly enough to be fair.
///
/// distance = weighted_distance(u, weight), where u is the first eight bytes, big-endian, of
/// SHA-256("spatter/1 draw\0" stripe server).
std::uint64_t rendezvous_distance(const StripeId& stripe, const ServerId& server,
                                  std::uint32_t weight);

}  // namespace spatter
