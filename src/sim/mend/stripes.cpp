#include "stripes.h"

#include "base/error.h"

namespace spatter::sim::mend {

Stripes::Stripes(std::uint32_t stripes, unsigned k, unsigned n, std::function<void(std::uint32_t)> changed)
    : k_(k), n_(n), stripes_(stripes), shards_(std::size_t{stripes} * n), changed_(std::move(changed)),
      unreadable_(stripes) {}

void Stripes::reach(Stripe& stripe, int by) {
  const bool readable = stripe.reachable >= k_;
  stripe.reachable = static_cast<std::uint16_t>(stripe.reachable + by);
  if (readable && stripe.reachable < k_) ++unreadable_;
  if (!readable && stripe.reachable >= k_) --unreadable_;
}

void Stripes::drop(Number number) {
  Shard& shard = shards_[number];
  auto& list = held_[shard.holder];
  list[shard.place] = list.back();
  shards_[list.back()].place = shard.place;
  list.pop_back();
  shard = {};
}

bool Stripes::holds(std::uint32_t stripe, std::uint32_t server) const {
  for (unsigned index = 0; index < n_; ++index)
    if (shard(stripe, index).holder == server) return true;
  return false;
}

void Stripes::put(std::uint32_t stripe, unsigned index, std::uint32_t server, bool on) {
  const Number number = stripe * n_ + index;
  Shard& shard = shards_[number];
  SPATTER_ASSERT(!shard.standing);
  if (shard.good) --stripes_[stripe].good;  // of one who is away: he will find it is no longer his
  if (shard.holder != nobody) drop(number);
  shard = {server, held(server), true, true};
  held_[server].push_back(number);
  ++stripes_[stripe].good;
  ++stripes_[stripe].standing;
  if (on) reach(stripes_[stripe], 1);
}

std::uint32_t Stripes::came(std::uint32_t server) {
  std::uint32_t again = 0;
  for (const Number number : held_[server]) {
    Shard& shard = shards_[number];
    Stripe& stripe = stripes_[number / n_];
    if (shard.good) reach(stripe, 1);
    if (shard.standing) continue;
    shard.standing = true;
    ++stripe.standing;
    ++again;
    changed_(number / n_);
  }
  return again;
}

void Stripes::went(std::uint32_t server) {
  for (const Number number : held_[server])
    if (shards_[number].good) reach(stripes_[number / n_], -1);
}

std::uint32_t Stripes::missed(std::uint32_t server) {
  std::uint32_t stood = 0;
  for (const Number number : held_[server]) {
    Shard& shard = shards_[number];
    if (!shard.standing) continue;
    shard.standing = false;
    --stripes_[number / n_].standing;
    ++stood;
    changed_(number / n_);
  }
  return stood;
}

std::uint32_t Stripes::left(std::uint32_t server, bool on) {
  std::uint32_t gone = 0;
  // A copy: giving a stripe up takes its shard from the list.
  for (const Number number : std::vector(held_[server])) {
    Shard& shard = shards_[number];
    if (!shard.good) continue;
    shard.good = false;
    --stripes_[number / n_].good;
    if (on) reach(stripes_[number / n_], -1);
    ++gone;
    changed_(number / n_);
  }
  return gone;
}

bool Stripes::rot(Number number, bool on) {
  Shard& shard = shards_[number];
  if (!shard.good) return false;
  shard.good = false;
  --stripes_[number / n_].good;
  if (on) reach(stripes_[number / n_], -1);
  changed_(number / n_);
  return true;
}

void Stripes::found(Number number) {
  const Shard shard = shards_[number];
  if (shard.holder == nobody || shard.good) return;
  if (shard.standing) --stripes_[number / n_].standing;
  drop(number);
  changed_(number / n_);
}

void Stripes::give_up(std::uint32_t stripe) {
  Stripe& given = stripes_[stripe];
  if (given.reachable >= k_) ++unreadable_;
  for (unsigned index = 0; index < n_; ++index)
    if (shard(stripe, index).holder != nobody) drop(stripe * n_ + index);
  given = {.lost = true};
}

}  // namespace spatter::sim::mend
