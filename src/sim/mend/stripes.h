// Who holds which shard, what is true of it, and what the network believes.
//
// True: a shard is `good` until it rots, its disk fails or its holder leaves. Believed: it is
// `standing` until its holder has been away longer than the grace or an audit has found it rotten.
// Both are counted per stripe, and which good ones are at servers that are on.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace spatter::sim::mend {

class Stripes {
 public:
  static constexpr std::uint32_t nobody = ~std::uint32_t{0};
  struct Shard {
    std::uint32_t holder = nobody;
    std::uint32_t place = 0;  ///< in the list of its holder
    bool good = false;
    bool standing = false;
  };
  struct Stripe {
    std::uint16_t good = 0, standing = 0, reachable = 0;
    bool lost = false;  ///< fewer than k good ones were left once; it is given up
  };
  using Number = std::uint32_t;  ///< of a shard: stripe * n + index

  /// `changed` is called with a stripe whose good or standing shards have become other ones.
  Stripes(std::uint32_t stripes, unsigned k, unsigned n, std::function<void(std::uint32_t)> changed);

  std::uint32_t size() const { return static_cast<std::uint32_t>(stripes_.size()); }
  unsigned n() const { return n_; }
  const Stripe& operator[](std::uint32_t stripe) const { return stripes_[stripe]; }
  const Shard& shard(std::uint32_t stripe, unsigned index) const { return shards_[stripe * n_ + index]; }
  std::uint32_t held(std::uint32_t server) const { return static_cast<std::uint32_t>(held_[server].size()); }
  std::uint32_t unreadable() const { return unreadable_; }  ///< stripes with fewer than k reachable
  bool holds(std::uint32_t stripe, std::uint32_t server) const;

  void add_server() { held_.emplace_back(); }
  /// A new shard, at a server that is on or off; in place of one that stood no more, whose holder
  /// lets go of it.
  void put(std::uint32_t stripe, unsigned index, std::uint32_t server, bool on);
  /// Returns how many shards stand again that no longer did.
  std::uint32_t came(std::uint32_t server);
  void went(std::uint32_t server);
  /// Away longer than the grace. Returns how many shards stood until now.
  std::uint32_t missed(std::uint32_t server);
  /// Left for good. Returns how many good shards went with it.
  std::uint32_t left(std::uint32_t server, bool on);
  /// False when there was nothing good.
  bool rot(Number shard, bool on);
  /// What an audit does to a shard that is not good.
  void found(Number shard);
  /// The numbers of all shards of a server.
  const std::vector<Number>& of(std::uint32_t server) const { return held_[server]; }
  std::uint32_t holder(Number shard) const { return shards_[shard].holder; }
  bool good(Number shard) const { return shards_[shard].good; }
  /// A stripe given up: all its shards are dropped.
  void give_up(std::uint32_t stripe);

 private:
  void reach(Stripe& stripe, int by);
  void drop(Number shard);

  unsigned k_, n_;
  std::vector<Stripe> stripes_;
  std::vector<Shard> shards_;
  std::vector<std::vector<Number>> held_;
  std::function<void(std::uint32_t)> changed_;
  std::uint32_t unreadable_;
};

}  // namespace spatter::sim::mend
