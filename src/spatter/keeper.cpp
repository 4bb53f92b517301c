#include "spatter/keeper.h"

#include <asio/post.hpp>

#include "keeper_state.h"

namespace spatter {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration look_again = seconds(60);
constexpr Duration view_lives = milliseconds(250);
constexpr Duration inventory_pause = seconds(5);

}  // namespace

Keeper::State::State(SpatterContext context, OwnedVolume volume, PackStore& packs,
                     StripeReader& reader, KeeperOptions options)
    : context(context),
      volume(volume),
      packs(packs),
      reader(reader),
      options(options),
      source(packs),
      writer(context, volume, source),
      link(context),
      tasks(context.runtime.executor()),
      work(context.runtime.executor()),
      changed(context.runtime.executor()),
      started_ms(context.runtime.wall_ms()) {}

/// Computed anew when members changed, and now and then because grace and avoidance run out.
const NetworkView& Keeper::State::view() {
  const auto now = context.runtime.now();
  if (now < view_until) return view_;
  NetworkView fresh;
  fresh.own = context.identity.server;
  grace_ends = TimePoint::max();
  for (const auto& member : context.members.others()) {
    if (!member.may_hold) continue;
    if (!member.up && now - member.since > options.grace) continue;
    if (!member.up) grace_ends = std::min(grace_ends, member.since + options.grace);
    const bool present = member.up && member.capacity_bytes > 0;
    fresh.holders.push_back(candidate_of(member, present && !writer.is_avoided(member.id)));
    if (present) ++fresh.width;
  }
  const auto key = [](const NetworkView& view) {
    std::vector<std::tuple<ServerId, std::uint32_t, bool>> result;
    for (const auto& holder : view.holders)
      result.emplace_back(holder.server, holder.weight, holder.accepts);
    return result;
  };
  if (key(fresh) != key(view_) || fresh.width != view_.width) {
    in_shape.clear();
    scan_wanted = true;
    packs.set_target_bytes(stripe_bytes_max(fresh.shape().k));
    work.set();
  }
  view_ = std::move(fresh);
  view_until = now + view_lives;
  return view_;
}

Task<void> Keeper::State::run() {
  co_await remove_garbage();
  while (true) {
    work.reset();
    const auto next = co_await sweep();
    changed.wake_all();
    using namespace asio::experimental::awaitable_operators;
    co_await (work.wait() || context.runtime.sleep_until(next));
    // Many reasons to look at once cost one look.
    co_await context.runtime.sleep(milliseconds(4));
  }
}

/// Stripes of packs that were removed while a crash came between. Those of packs that the volume never
/// knew stay: then it is the volume's index that is wrong. No packs at all means that the volume is
/// not there yet; nothing is concluded from that.
Task<void> Keeper::State::remove_garbage() {
  std::set<PackId> ids;
  for (const auto& pack : packs.list()) ids.insert(pack.id);
  if (ids.empty()) co_return;
  std::vector<StripeId> garbage;
  std::vector<StripeId> doubtful;
  for (const auto& stripe : context.table.all()) {
    if (!ids.contains(stripe->pack)) garbage.push_back(stripe->id);
    if (const auto pack = packs.find(stripe->pack); !pack || stripe->end() > pack->length)
      doubtful.push_back(stripe->id);
  }
  for (const auto& id : doubtful) {
    const auto bytes = co_await context.table.descriptor(id);
    wire::Signed descriptor;
    if (!bytes || !descriptor.ParseFromArray(bytes->data(), static_cast<int>(bytes->size()))) co_return;
    if (!check_pack_known(descriptor)) co_return;
  }
  co_await remove_stripes(std::move(garbage));
}

/// Starts what is due, within the bounds; each task pokes when it ends. Returns when to look again
/// if nothing happens.
Task<TimePoint> Keeper::State::sweep() {
  view();
  // When somebody's grace runs out nothing else happens.
  auto next = std::min(context.runtime.now() + look_again,
                       grace_ends == TimePoint::max() ? grace_ends : grace_ends + milliseconds(1));
  start_ships(next);
  start_tail(next);
  if (context.runtime.now() >= scan_at) scan_wanted = true;
  if (scan_wanted && !scanning) co_await scan();
  start_mends(next);
  end_round();
  start_releases(next);
  start_inventory(next);
  co_return next;
}

StripeLabel Keeper::State::label_of(const PackInfo& pack, ByteRange range) const {
  return {.pack = pack.id,
          .offset = range.begin,
          .length = range.length(),
          .pack_sequence = pack.sequence,
          .pack_length = pack.sealed ? pack.length : 0,
          .has_log = pack.has_log(),
          .has_snapshot = pack.has_snapshot()};
}

Task<void> Keeper::State::remove_stripes(std::vector<StripeId> ids) {
  if (ids.empty()) co_return;
  const auto removed = co_await context.table.remove(std::move(ids));
  if (!removed)
    context.runtime.log().warning("stripes could not be removed: {}", removed.error().message);
}

Keeper::Keeper(SpatterContext context, OwnedVolume volume, PackStore& packs, StripeReader& reader,
               KeeperOptions options)
    : state_(std::make_unique<State>(context, std::move(volume), packs, reader, options)) {}

Keeper::~Keeper() = default;

Task<void> Keeper::State::remove_pack(PackId pack) {
  co_await remove_all_of(pack);
  --removing;
  poke();
}

Task<void> Keeper::State::remove_all_of(PackId pack) {
  std::vector<StripeId> ids;
  for (const auto& stripe : context.table.of_pack(pack)) ids.push_back(stripe->id);
  co_await remove_stripes(std::move(ids));
}

void Keeper::set_may_release(MayRelease call) { state_->may_release = std::move(call); }
void Keeper::on_behind(std::function<void(Error)> call) { state_->on_behind = std::move(call); }

void Keeper::ask_all_again() {
  state_->writer.avoid_nobody();
  poke();
}

void Keeper::start() {
  auto& state = *state_;
  for (const auto& pack : state.packs.list())
    if (pack.sealed) state.old_packs_until = std::max(state.old_packs_until, pack.sequence);
  state.packs.set_target_bytes(stripe_bytes_max(state.view().shape().k));
  state.packs.on_sealed = [&state](PackId) { state.poke(); };
  state.packs.on_removed = [&state](PackId pack) {
    ++state.removing;
    state.tasks.spawn(state.remove_pack(pack));
  };
  state.packs.on_progress = [&state] { state.cut_if_wanted(); };
  state.subscription = state.context.members.subscribe([&state] {
    state.view_changed();
    state.poke();
  });
  state.reader.on_bad_shard([&state](StripeId stripe, std::uint16_t index, ServerId holder) {
    state.tasks.spawn(state.mark_lost(stripe, index, holder));
  });
  state.tasks.spawn(state.run());
}

Task<void> Keeper::stop() {
  auto& state = *state_;
  state.stopping = true;
  state.packs.on_sealed = {};
  state.packs.on_removed = {};
  state.packs.on_progress = {};
  state.reader.on_bad_shard({});
  if (state.subscription) state.context.members.unsubscribe(*state.subscription);
  state.subscription.reset();
  co_await state.tasks.stop();
  co_await state.writer.stop();
  state.failed({Errc::cancelled, "the server is stopping"});
}

Task<Result<void>> Keeper::wait_for(PackPosition position, Level level) {
  return state_->wait_for(position, level);
}

void Keeper::holder_lost_some(ServerId holder) {
  auto& state = *state_;
  // Not more often than after a failure, whatever it says.
  const auto begun = state.inventory_begun.find(holder);
  const auto now = state.context.runtime.now();
  state.inventory_at[holder] =
      begun == state.inventory_begun.end() ? now : std::max(now, begun->second + inventory_pause);
  state.poke();
}

void Keeper::shard_failed(StripeId stripe, std::uint16_t index, ServerId holder) {
  if (!state_->stopping) state_->tasks.spawn(state_->mark_lost(stripe, index, holder));
}

void Keeper::poke() {
  state_->view_changed();
  state_->scan_wanted = true;
  state_->poke();
}

SafetyReport Keeper::report(double each_gone) const {
  auto& state = *state_;
  auto report = judge_all(
      state.context.table.all(), state.context.identity.server,
      [&](const ServerId& server) { return state.context.members.is_up(server); },
      state.view().width, each_gone);
  report.backlog_bytes = state.backlog();
  if (report.backlog_bytes > 0) {
    report.can_lose = 0;  // some of it is with nobody else
    report.backlog_seconds = state.shipped_per_second > 0
                                 ? static_cast<double>(report.backlog_bytes) /
                                       state.shipped_per_second
                                 : std::numeric_limits<double>::infinity();
  }
  return report;
}

std::optional<FileSafety> Keeper::safety_of(std::span<const PackPiece> pieces, double each_gone) const {
  auto& state = *state_;
  return judge_file(
      pieces, [&](const PackId& pack) -> const std::vector<StripePtr>& { return state.context.table.of_pack(pack); },
      state.context.identity.server,
      [&](const ServerId& server) { return state.context.members.is_up(server); }, state.view().width, each_gone);
}

bool Keeper::is_full(const PackId& pack) const {
  auto& state = *state_;
  const auto info = state.packs.find(pack);
  if (!info) return false;
  const auto& view = state.view();
  const auto& table = state.context.table;
  return covered_until(table.of_pack(pack), 0, [&](const Stripe& stripe) {
           return is_complete(stripe, view) && table.is_recorded(stripe.id);
         }) >= info->length;
}

bool Keeper::idle() const {
  auto& state = *state_;
  state.view();
  if (state.work.is_set() || state.scan_wanted || state.scanning || state.writing_tail ||
      !state.shipping.empty() || !state.cuts.empty() || !state.to_mend.empty() ||
      !state.mending.empty() || !state.releasing.empty() || state.deciding || state.removing > 0)
    return false;
  if (state.backlog() > 0) return false;
  for (const auto& pack : state.packs.list()) {
    const auto& stripes = state.context.table.of_pack(pack.id);
    if (pack.sealed ? !state.in_shape.contains(pack.id)
                    : tail_to_write(pack.length, stripes, state.view()).has_value())
      return false;
  }
  for (const auto& [holder, count] : state.context.table.releases_waiting())
    if (count > 0 && (holder == state.context.identity.server || state.context.members.is_up(holder)))
      return false;
  return true;
}

Task<void> Keeper::wait_idle() {
  auto& state = *state_;
  while (!idle() && !state.stopping)
    co_await wait_until(state.context.runtime, state.changed,
                        state.context.runtime.now() + milliseconds(20));
}

}  // namespace spatter
