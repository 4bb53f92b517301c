// The part of the keeper that people wait for: levels reached, and slices of the open pack.
#include "keeper_state.h"

namespace spatter {

namespace {

constexpr std::size_t cuts_at_once = 8;
/// Slices below this that only need to be safe go out with k = 1: three shards, one round trip,
/// and a fraction of the signatures. They are merged into wide stripes soon after.
constexpr std::uint64_t narrow_slice_bytes = 1 << 20;
constexpr unsigned tries = 3;
constexpr Duration look_at_least = std::chrono::seconds(1);
constexpr Duration stuck_after = std::chrono::seconds(3);

}  // namespace

bool Keeper::State::counts(const Stripe& stripe, Level level) {
  const auto& now = view();
  return level == Level::safe ? is_safe(stripe, now)
                              : is_complete(stripe, now) && has_present_k(stripe, now);
}

/// Moves the level's mark as far as it goes and compares.
bool Keeper::State::reached(const PackPosition& position, Level level) {
  auto& mark = marks[level];
  const auto beyond = [&] {
    return std::tie(mark.sequence, mark.offset) >= std::tie(position.sequence, position.offset);
  };
  while (!beyond()) {
    const auto pack = packs.find(mark.pack);
    if (pack) {
      const auto enough = [&](const Stripe& stripe) {
        return pack->sequence <= old_packs_until || counts(stripe, level);
      };
      mark.offset = covered_until(context.table.of_pack(pack->id), mark.offset, enough);
      if (beyond()) return true;
      if (!pack->sealed || mark.offset < pack->length) return false;
    }
    // This pack is behind us (or gone): on to the next one.
    const auto list = packs.list();
    const auto next = std::find_if(list.begin(), list.end(), [&](const PackInfo& info) {
      return info.sequence > mark.sequence;
    });
    if (next == list.end() || next->sequence > position.sequence) return true;
    mark = {.sequence = next->sequence, .pack = next->id, .offset = 0};
  }
  return true;
}

/// Whether a sealed pack that somebody waits for stands short of the level, and nothing is under way or
/// due that would change it: nobody takes what is missing.
bool Keeper::State::is_stuck(Level level) {
  const auto& mark = marks[level];
  const auto pack = packs.find(mark.pack);
  if (!pack || !pack->sealed || !in_shape.contains(pack->id) || shipping.contains(pack->id)) return false;
  const auto& stripes = context.table.of_pack(pack->id);
  return std::ranges::any_of(stripes, [&](const StripePtr& stripe) {
    return stripe->offset <= mark.offset && stripe->end() > mark.offset && !counts(*stripe, level) &&
           !mending.contains(stripe->id) && !mend_queued.contains(stripe->id) &&
           upkeep_of(*stripe, view()).add.empty();
  });
}

Task<Result<void>> Keeper::State::wait_for(PackPosition position, Level level) {
  if (level == Level::local || position.sequence == 0) co_return Result<void>{};
  const auto place = waiters.insert(waiters.end(), {position, level});
  struct Leave {
    std::list<Waiter>& list;
    std::list<Waiter>::iterator place;
    ~Leave() { list.erase(place); }
  } leave{waiters, place};

  const auto failures_before = failures;
  std::optional<TimePoint> stuck_since;
  while (!reached(position, level)) {
    if (stopping) co_return fail(Errc::cancelled, "the server is stopping");
    if (failures >= failures_before + tries) co_return fail(last_failure);
    cut_if_wanted();
    const auto open = packs.end();
    if (open.sequence > position.sequence) poke();
    const auto now = context.runtime.now();
    if (!is_stuck(level)) {
      stuck_since.reset();
    } else if (now - stuck_since.value_or(now) >= stuck_after) {
      co_return fail(writer.why_missing());
    } else {
      stuck_since = stuck_since.value_or(now);
    }
    co_await wait_until(context.runtime, changed, now + look_at_least);
  }
  co_return Result<void>{};
}

void Keeper::State::failed(Error error) {
  ++failures;
  last_failure = std::move(error);
  changed.wake_all();
}

/// Where the next slice of the open pack has to begin: after what stands or is on its way.
std::uint64_t Keeper::State::cut_from(const PackId& pack, Level level) {
  const auto& stripes = context.table.of_pack(pack);
  const auto& mark = marks[level];
  std::uint64_t from = mark.pack == pack ? mark.offset : 0;
  while (true) {
    const auto before = from;
    from = covered_until(stripes, from, [&](const Stripe& stripe) { return counts(stripe, level); });
    for (const auto& cut : cuts)
      if (cut.pack == pack && cut.range.begin <= from && (cut.wide || level == Level::safe))
        from = std::max(from, cut.range.end);
    if (from == before) return from;
  }
}

void Keeper::State::cut_if_wanted() {
  if (deciding || stopping || waiters.empty() || cuts.size() >= cuts_at_once) return;
  const auto open = packs.end();
  const auto info = packs.find(open.pack);
  if (!info || info->sealed) return;
  for (const auto& waiter : waiters) {
    if (waiter.position.sequence != open.sequence) continue;
    if (cut_from(open.pack, waiter.level) >= waiter.position.offset) continue;
    deciding = true;
    tasks.spawn(cut());
    return;
  }
}

/// One slice for all who wait now. A waiter for full gets it as wide as the network is; waiters for
/// safe alone share a narrow one.
Task<void> Keeper::State::cut() {
  struct Decided {
    bool& deciding;
    ~Decided() { deciding = false; }
  };
  std::list<Cut>::iterator place;
  PackInfo pack;
  Shape shape;
  {
    const Decided decided{deciding};
    const auto end = packs.end();
    if (end.offset % pack_align_bytes != 0) {
      const auto padded = co_await packs.cut();
      if (!padded) {
        failed(padded.error());
        co_return;
      }
    }
    const auto open = packs.end();
    const auto info = packs.find(open.pack);
    if (!info || info->sealed) {
      poke();
      co_return;
    }
    pack = *info;
    std::optional<Level> level;
    for (const auto& waiter : waiters) {
      if (waiter.position.sequence != pack.sequence ||
          cut_from(pack.id, waiter.level) >= waiter.position.offset)
        continue;
      if (!level || waiter.level == Level::full) level = waiter.level;
    }
    if (!level) co_return;
    ByteRange range{cut_from(pack.id, *level), pack.length};
    shape = view().shape();
    if (*level == Level::safe && range.length() < narrow_slice_bytes && shape.k > 1)
      shape = shape_for(3);
    range.end = std::min(range.end, range.begin + stripe_bytes_max(shape.k));
    if (range.length() == 0) co_return;
    place = cuts.insert(cuts.end(), {pack.id, range, shape.k == view().shape().k});
  }
  auto written = co_await write_range(pack, place->range, shape);
  cuts.erase(place);
  const bool narrow = shape.k == 1 && view().shape().k > 1;
  if (!written) {
    // Those who wait try again, or give up; without them nobody would stop trying what fails at once.
    failed(std::move(written).error());
    poke();
    co_return;
  }
  if (!narrow) co_await tidy(pack.id);
  changed.wake_all();
  cut_if_wanted();
  poke();
}

}  // namespace spatter
