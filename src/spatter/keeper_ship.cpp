// The part of the keeper that brings packs into the network without being asked: sealed ones as
// wide stripes, and the tail of the open one when it has been quiet for a while.
#include "keeper_state.h"

namespace spatter {

namespace {

using std::chrono::seconds;

constexpr Duration again_after_failure = seconds(3);
/// So many narrow slices of the open pack are merged even while it is busy.
constexpr std::size_t narrow_slices_max = 256;

}  // namespace

void Keeper::State::start_ships(TimePoint& next) {
  if (shipping.size() >= options.writes_at_once) return;
  const auto now = context.runtime.now();
  std::vector<PackInfo> due;  // what is not in the network at all goes first
  std::vector<PackInfo> reshape;
  for (const auto& pack : packs.list()) {
    if (!pack.sealed || in_shape.contains(pack.id) || shipping.contains(pack.id)) continue;
    const auto& stripes = context.table.of_pack(pack.id);
    if (ranges_to_write(pack.length, stripes, view()).empty()) {
      in_shape.insert(pack.id);
      continue;
    }
    if (const auto again = ship_again_at.find(pack.id);
        again != ship_again_at.end() && again->second > now) {
      next = std::min(next, again->second);
      continue;
    }
    const bool safe = covered_until(stripes, 0, [](const Stripe&) { return true; }) >= pack.length;
    (safe ? reshape : due).push_back(pack);
  }
  due.insert(due.end(), reshape.begin(), reshape.end());
  for (const auto& pack : due) {
    if (shipping.size() >= options.writes_at_once) break;
    shipping.insert(pack.id);
    tasks.spawn(ship(pack));
  }
}

Task<void> Keeper::State::ship(PackInfo pack) {
  struct Done {
    State& state;
    PackId pack;
    ~Done() {
      state.shipping.erase(pack);
      state.poke();
      state.changed.wake_all();
    }
  } done{*this, pack.id};
  const auto started = context.runtime.now();
  while (true) {
    const auto ranges =
        ranges_to_write(pack.length, context.table.of_pack(pack.id), view());
    if (ranges.empty()) break;
    auto written = co_await write_range(pack, ranges.front(), view().shape());
    if (!written) {
      ship_again_at[pack.id] = context.runtime.now() + again_after_failure;
      context.runtime.log().warning("pack {} is not in the network yet: {}", pack.id,
                                    written.error().message);
      failed(std::move(written).error());
      co_return;
    }
    changed.wake_all();
  }
  ship_again_at.erase(pack.id);
  const double took =
      std::chrono::duration<double>(context.runtime.now() - started).count() + 1e-6;
  const double rate = static_cast<double>(pack.length) / took *
                      static_cast<double>(std::max<std::size_t>(1, shipping.size()));
  shipped_per_second = shipped_per_second == 0 ? rate : 0.8 * shipped_per_second + 0.2 * rate;
  co_await tidy(pack.id);
  co_await packs.forget_cached(pack.id);
}

/// One new stripe. Not complete is no error here (mending goes on with it), but who waits for full
/// learns why it isn't.
Task<Result<void>> Keeper::State::write_range(PackInfo pack, ByteRange range, Shape shape) {
  // What stands already is about to be replaced: not by bytes that have rotted on this disk since.
  const auto& stripes = context.table.of_pack(pack.id);
  if (covered_until(stripes, range.begin, [](const Stripe&) { return true; }) > range.begin)
    CO_TRY_VOID(co_await packs.make_whole(pack.id));
  const auto written = co_await writer.write(label_of(pack, range), shape, [this] {
    changed.wake_all();
  });
  view_changed();
  if (!written) co_return fail(written.error());
  shipped_bytes += range.length();
  if (!written->full) {
    mend_again_at[written->stripe] = context.runtime.now() + again_after_failure;
    if (mend_queued.insert(written->stripe).second) to_mend.push_back(written->stripe);
    failed(written->missing.during(fmt::format("stripe {} has only {} of {} shards", written->stripe,
                                               written->receipts, shape.full_at())));
  }
  if (!context.table.find(written->stripe) || !packs.find(pack.id)) {
    // The pack was removed while we wrote.
    co_await remove_all_of(pack.id);
  }
  co_return Result<void>{};
}

/// Releases stripes that better ones have made superfluous.
Task<void> Keeper::State::tidy(PackId pack) {
  co_await remove_stripes(superseded(context.table.of_pack(pack), view()));
}

void Keeper::State::start_tail(TimePoint& next) {
  if (writing_tail) return;
  const auto now = context.runtime.now();
  const auto end = packs.end();
  const auto pack = packs.find(end.pack);
  if (!pack || pack->sealed || pack->length == 0) return;
  if (end != tail_seen) {
    tail_seen = end;
    tail_seen_at = now;
  }
  const auto& stripes = context.table.of_pack(pack->id);
  std::size_t narrow = 0;
  for (const auto& stripe : stripes)
    if (!has_present_k(*stripe, view())) ++narrow;
  const auto due = std::max(tail_again_at, narrow > narrow_slices_max
                                               ? now
                                               : tail_seen_at + options.fold_after);
  if (due > now) {
    next = std::min(next, due);
    return;
  }
  const auto tail = tail_to_write(end.offset, stripes, view());
  if (!tail) return;
  // Slices being cut would overlap with it.
  if (!cuts.empty() && narrow <= narrow_slices_max) {
    next = std::min(next, now + seconds(1));
    return;
  }
  writing_tail = true;
  tasks.spawn(write_tail(*pack, *tail));
}

Task<void> Keeper::State::write_tail(PackInfo pack, ByteRange range) {
  struct Done {
    State& state;
    ~Done() {
      state.writing_tail = false;
      state.poke();
      state.changed.wake_all();
    }
  } done{*this};
  if (range.end == pack.length && range.end % pack_align_bytes != 0) {
    const auto padded = co_await packs.cut();
    if (padded && padded->pack == pack.id) range.end = padded->offset;
    tail_seen = packs.end();
  }
  const auto info = packs.find(pack.id);
  if (!info || info->length < range.end) co_return;
  auto written = co_await write_range(*info, range, view().shape());
  if (!written) {
    tail_again_at = context.runtime.now() + again_after_failure;
    failed(std::move(written).error());
    co_return;
  }
  co_await tidy(pack.id);
}

std::uint64_t Keeper::State::backlog() const {
  std::uint64_t result = 0;
  for (const auto& pack : packs.list()) {
    if (in_shape.contains(pack.id)) continue;
    std::uint64_t at = 0;
    for (const auto& stripe : context.table.of_pack(pack.id)) {
      if (stripe->offset > at) result += std::min(stripe->offset, pack.length) - at;
      at = std::max(at, std::min(stripe->end(), pack.length));
    }
    result += pack.length - std::min(at, pack.length);
  }
  return result;
}

}  // namespace spatter
