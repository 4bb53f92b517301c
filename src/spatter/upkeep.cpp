#include "spatter/upkeep.h"

#include <algorithm>
#include <bitset>
#include <tuple>

#include "spatter/safety.h"
#include "trust/contract.h"

namespace spatter {

bool NetworkView::keeps(const ServerId& server) const {
  return server == own || std::any_of(holders.begin(), holders.end(),
                                      [&](const Candidate& c) { return c.server == server; });
}

std::uint64_t stripe_bytes_max(unsigned k) { return k * shard_bytes_max; }

namespace {

/// A copy in the own server half counts while the network is so small that it should be there.
unsigned standing(const Stripe& stripe, const NetworkView& view) {
  const bool own_counts = standing_shape(stripe, view.width).own_copy;
  std::bitset<256> indices;
  std::vector<const ServerId*> holders;  // of k = 1: a handful
  for (const auto& shard : stripe.shards) {
    if (shard.lost || !view.keeps(shard.holder)) continue;
    if (shard.holder == view.own && !own_counts) continue;
    indices.set(shard.index & 255);
    if (stripe.k == 1 && std::none_of(holders.begin(), holders.end(), [&](const ServerId* holder) {
          return *holder == shard.holder;
        }))
      holders.push_back(&shard.holder);
  }
  return static_cast<unsigned>(stripe.k == 1 ? holders.size() : indices.count());
}

}  // namespace

bool is_complete(const Stripe& stripe, const NetworkView& view) {
  return standing(stripe, view) >= standing_shape(stripe, view.width).full_at();
}

bool is_safe(const Stripe& stripe, const NetworkView& view) {
  return standing(stripe, view) >= standing_shape(stripe, view.width).safe_at();
}

bool has_present_k(const Stripe& stripe, const NetworkView& view) {
  const unsigned target = view.shape().k;
  return target < 2u * stripe.k && !(stripe.k == 1 && target > 1);
}

std::uint64_t covered_until(const std::vector<StripePtr>& stripes, std::uint64_t begin,
                            const std::function<bool(const Stripe&)>& counts) {
  // By offset already; but one pass may not do when a stripe that ends farther begins earlier.
  for (const auto& stripe : stripes)
    if (stripe->offset <= begin && stripe->end() > begin && counts(*stripe)) begin = stripe->end();
  return begin;
}

std::vector<ByteRange> ranges_to_write(std::uint64_t pack_length,
                                       const std::vector<StripePtr>& stripes,
                                       const NetworkView& view) {
  const auto fits = [&](const Stripe& stripe) {
    return has_present_k(stripe, view) &&
           stripe.length >= std::min(pack_length - std::min(pack_length, stripe.offset),
                                     stripe_bytes_max(stripe.k));
  };
  std::vector<ByteRange> result;
  if (covered_until(stripes, 0, fits) >= pack_length) return result;
  const auto most = stripe_bytes_max(view.shape().k);
  for (std::uint64_t begin = 0; begin < pack_length; begin += most) {
    const ByteRange range{begin, std::min(begin + most, pack_length)};
    const bool there = std::any_of(stripes.begin(), stripes.end(), [&](const StripePtr& stripe) {
      return fits(*stripe) && stripe->offset <= range.begin && stripe->end() >= range.end;
    });
    if (!there) result.push_back(range);
  }
  return result;
}

std::optional<ByteRange> tail_to_write(std::uint64_t end, const std::vector<StripePtr>& stripes,
                                       const NetworkView& view) {
  const auto shape = view.shape();
  const auto covered =
      std::min(end, covered_until(stripes, 0, [](const Stripe&) { return true; }));
  ByteRange tail{covered, end};
  const auto most = stripe_bytes_max(shape.k);
  // From the end backward over what is too small or too narrow beside what comes after it.
  while (tail.begin > 0) {
    const Stripe* before = nullptr;
    for (const auto& stripe : stripes) {
      if (stripe->offset >= tail.begin || stripe->end() < tail.begin) continue;
      if (!before || stripe->offset < before->offset) before = stripe.get();
    }
    if (!before || end - before->offset > most) break;
    const bool narrow = !has_present_k(*before, view);
    if (!narrow && before->length > 2 * tail.length()) break;
    tail.begin = before->offset;
  }
  if (tail.length() == 0) return std::nullopt;
  if (tail.length() > most) tail.end = tail.begin + most;
  // A single stripe that is merely repeated gains nothing.
  for (const auto& stripe : stripes)
    if (stripe->offset <= tail.begin && stripe->end() >= tail.end && has_present_k(*stripe, view))
      return std::nullopt;
  return tail;
}

std::vector<StripeId> superseded(const std::vector<StripePtr>& stripes, const NetworkView& view) {
  auto order = stripes;
  std::sort(order.begin(), order.end(), [](const StripePtr& a, const StripePtr& b) {
    return std::tuple(b->length, b->k, b->created_ms, b->id) <
           std::tuple(a->length, a->k, a->created_ms, a->id);
  });
  std::vector<StripePtr> better;  // complete ones, by offset
  std::vector<StripeId> result;
  for (const auto& stripe : order) {
    const bool covered =
        covered_until(better, stripe->offset, [](const Stripe&) { return true; }) >= stripe->end();
    if (covered) {
      result.push_back(stripe->id);
    } else if (is_complete(*stripe, view)) {
      better.insert(std::upper_bound(better.begin(), better.end(), stripe,
                                     [](const StripePtr& a, const StripePtr& b) {
                                       return a->offset < b->offset;
                                     }),
                    stripe);
    }
  }
  return result;
}

Upkeep upkeep_of(const Stripe& stripe, const NetworkView& view) {
  Upkeep result;
  const auto standing_now = standing_shape(stripe, static_cast<unsigned>(view.holders.size()));
  const bool single = stripe.k == 1;

  Assignment present(stripe.n);
  bool own_stands = false;
  unsigned others_standing = 0;
  for (const auto& shard : stripe.shards) {
    if (shard.holder == view.own) {
      if (!shard.lost) own_stands = true;
      continue;
    }
    if (shard.lost || !view.keeps(shard.holder)) continue;
    // An index that stands twice was moved: the newer place counts, so that nothing moves again,
    // and the older one is dropped.
    if (!present[shard.index] || single) ++others_standing;
    present[shard.index] = shard.holder;
  }
  // Narrow stripes of a wide network are about to be encoded anew: complete ones are left alone.
  const bool waiting_for_new_k = !has_present_k(stripe, view);
  Assignment wanted = present;
  if (!(waiting_for_new_k && others_standing >= standing_now.placed))
    wanted = place(stripe.id, stripe.n, standing_now.placed, view.holders, present);
  unsigned wanted_count = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i]) ++wanted_count;
    const bool stands = std::any_of(
        stripe.shards.begin(), stripe.shards.end(), [&](const PlacedShard& shard) {
          return shard.index == i && wanted[i] == shard.holder && !shard.lost;
        });
    if (wanted[i] && !stands)
      result.add.emplace_back(static_cast<std::uint16_t>(i), *wanted[i]);
  }
  if (single && standing_now.own_copy && !own_stands)
    result.add.emplace_back(static_cast<std::uint16_t>(stripe.n - 1), view.own);

  for (const auto& shard : stripe.shards) {
    const ReleasedShard drop{stripe.id, shard.index, shard.holder};
    if (shard.holder == view.own) {
      if (!standing_now.own_copy && wanted_count >= standing_now.placed) result.drop.push_back(drop);
      continue;
    }
    const auto& keeper = wanted[shard.index];
    if (keeper == shard.holder) continue;
    // With k = 1 another index serves as well; otherwise only a standing one of the same index.
    if (keeper || (single && wanted_count >= standing_now.placed)) result.drop.push_back(drop);
  }
  return result;
}

}  // namespace spatter
