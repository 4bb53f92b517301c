// The part of Server that has to do with the network's mode: what it reports, and what follows from it.
#include <asio/post.hpp>
#include <bitset>

#include <map>
#include <set>

#include "mend/danger.h"
#include "node/mode_words.h"
#include "server_state.h"

namespace spatter {
namespace {

constexpr unsigned repairs_at_once = 1;       ///< while the network serves
constexpr unsigned repairs_at_once_alone = 3; ///< while it does nothing else
constexpr std::size_t stripes_at_a_time = 512;
constexpr std::uint64_t holders_max = 48;     ///< of a stripe, commonly

}  // namespace

Task<Result<void>> Server::State::start_mode(std::function<void(bool, const std::string&)> announce) {
  ModeDesk::Parts parts{runtime, *rpc, *members, *identity, genesis, drive.keyring.person.numbered(1).signing_key(),
                        [this] {
                          std::vector<PersonId> trusted;
                          for (const PersonId& person : members->roster().persons())
                            if (members->is_trusted(person)) trusted.push_back(person);
                          return trusted;
                        },
                        [this](const ServerId& server) { return mender->away(server); },
                        [this] { return mode_facts(); }};
  mode = std::make_unique<ModeDesk>(std::move(parts));
  mode->on_change = [this, announce = std::move(announce)] {
    mode_changed();
    const bool on = mode->repair_only();
    const auto text = on ? spatter::mode_notice(mode->status()) : mode_over(mode->status());
    runtime.log().warning("{}", text);
    if (announce) announce(on, text);
  };
  CO_TRY_VOID(co_await mode->start());
  mode_changed();
  if (mode->repair_only()) runtime.log().warning("{}", spatter::mode_notice(mode->status()));
  co_return Result<void>{};
}

/// Sets the mender to the rate of now.
void Server::State::turn_dial() {
  if (!mender) return;
  const auto now = runtime.wall_ms();
  const auto minute = options.minute_of_day ? options.minute_of_day(now)
                                            : static_cast<unsigned>(std::max<WallMs>(now, 0) / 60'000 % 1440);
  const bool alone = mode && mode->repair_only();
  const auto rate = alone ? 0 : repair_rate_at(repair_hours, repair_bytes_per_s, minute);
  if (rate == std::exchange(dial, rate)) return;
  mender->set_rate(rate);
}

/// While the network only mends, nothing holds that back.
void Server::State::mode_changed() {
  const bool on = mode->repair_only();
  turn_dial();
  mender->set_at_once(on ? repairs_at_once_alone : repairs_at_once);
  if (on && keeper) keeper->poke();
  if (!options.runner) return;
  // What was promised goes into mending first, and what mines would only be in its way.
  if (on) options.runner->hold("the network only mends");
  else options.runner->let_go();
}

Task<ModeFacts> Server::State::mode_facts() {
  const MendReport report = mender->report();
  ModeFacts facts{.stripes = report.stripes, .tidy = report.tidy, .due = report.due, .urgent = report.urgent,
                  .lost = report.lost, .stuck = report.stuck, .left_bytes = report.left_bytes - report.stuck_bytes,
                  .repair_bytes_per_s = static_cast<std::uint64_t>(report.bytes_per_s), .helpers = 1};
  for (const auto& member : members->others()) facts.helpers += member.up && member.may_hold;
  facts.helpers = std::min(facts.helpers, holders_max);
  std::set<ServerId> partners = mender->counterparts();
  // That others have taken its place already makes nobody's going undone.
  const Duration of_late = std::chrono::seconds(genesis.epoch_seconds) * (genesis.mend.grace_epochs + departure_epochs);
  for (const ServerId& server : mender->former_counterparts())
    if (mender->away(server).value_or(Duration::max()) <= of_late) partners.insert(server);
  co_await add_own_stripes(facts, partners);
  add_partners(facts, partners);
  co_return facts;
}

/// Of those on whom something here depends, persons of whom nothing is left, and something was there of late.
void Server::State::add_partners(ModeFacts& facts, const std::set<ServerId>& servers) {
  const Duration epoch = std::chrono::seconds(genesis.epoch_seconds);
  const Duration grace = epoch * genesis.mend.grace_epochs;
  std::map<PersonId, Duration> away;  ///< the one who was there last
  for (const ServerId& server : servers) {
    if (server == identity->server) continue;
    const auto person = members->once_person_of(server).value_or(PersonId{server.bytes});
    const Duration one = mender->away(server).value_or(Duration{});
    const auto at = away.try_emplace(person, one).first;
    at->second = std::min(at->second, one);
  }
  facts.partners = away.size();
  for (const auto& [person, time] : away) facts.departed += time > grace && time <= grace + epoch * departure_epochs;
}

/// As Mender judges those of others. What is on this machine can be sent anew, however little the others have, if
/// anybody has room. Adds who keeps them.
Task<void> Server::State::add_own_stripes(ModeFacts& facts, std::set<ServerId>& holders) {
  std::set<ServerId> gone;
  std::set<ServerId> up{identity->server};
  std::map<ServerId, std::uint64_t> room;
  unsigned machines = 1;
  for (const auto& member : members->others()) {
    if (member.up) up.insert(member.id);
    if (member.up && member.may_hold) room[member.id] = member.free_bytes;
    if (mender->is_gone(member.id)) gone.insert(member.id);
    else machines += member.may_hold;
  }
  std::set<PackId> local;
  for (const auto& pack : volume->packs().list())
    if (pack.local) local.insert(pack.id);
  std::size_t looked = 0;
  for (const auto& stripe : stripes->all()) {
    if (++looked % stripes_at_a_time == 0) co_await asio::post(runtime.executor(), asio::use_awaitable);
    std::bitset<256> standing, there;
    std::map<ServerId, unsigned> held;
    for (const auto& shard : stripe->shards) {
      holders.insert(shard.holder);
      if (shard.lost || shard.index >= standing.size() || gone.contains(shard.holder)) continue;
      standing.set(shard.index);
      ++held[shard.holder];
      if (up.contains(shard.holder)) there.set(shard.index);
    }
    const auto left = stripe->k == 1 ? std::min<std::size_t>(held.size(), stripe->n) : standing.count();
    ++facts.stripes;
    if (stripe->k == 1 && !held.empty() && held.size() >= machines) continue;
    const bool here = local.contains(stripe->pack);
    const auto bytes = 2 * std::uint64_t{stripe->k} * stripe->shard_size;
    const auto has_taker = [&] {
      const auto most = room.empty() ? 0 : (stripe->n + room.size() - 1) / room.size();
      return std::ranges::any_of(room, [&](const auto& one) {
        const auto at = held.find(one.first);
        return one.second > 2 * stripe->shard_size && (at == held.end() || (stripe->k > 1 && at->second < most));
      });
    };
    const auto danger = danger_of(stripe->k, static_cast<unsigned>(left));
    if (danger == Danger::tidy) ++facts.tidy;
    if (danger == Danger::lost && !here) ++facts.lost;
    if (danger == Danger::due) ++facts.due;
    bool waits = danger == Danger::due;
    if (danger == Danger::urgent || (danger == Danger::lost && here)) {
      ++facts.urgent;
      waits = (here || there.count() >= stripe->k) && has_taker();
      facts.stuck += !waits;
    }
    if (waits) facts.left_bytes += bytes;
  }
}

bool Server::is_repair_only() const { return state_->mode && state_->mode->repair_only(); }

Result<void> Server::may_serve() const {
  if (!is_repair_only()) return {};
  return fail(Errc::unavailable, "{}", mode_refusal(state_->mode->status()));
}

ModeStatus Server::mode() const { return state_->mode ? state_->mode->status() : ModeStatus{}; }

std::string Server::mode_notice() const { return is_repair_only() ? spatter::mode_notice(mode()) : std::string(); }

std::uint64_t Server::mode_changes() const { return state_->mode->changes(); }
Task<void> Server::wait_mode_change(std::uint64_t seen) { return state_->mode->wait_change(seen); }

void Server::set_repair_rate(std::uint64_t bytes_per_s) {
  state_->repair_bytes_per_s = bytes_per_s;
  state_->turn_dial();
}

void Server::set_repair_hours(std::vector<RepairHours> hours) {
  state_->repair_hours = std::move(hours);
  state_->turn_dial();
}

std::uint64_t Server::repair_rate() const { return state_->repair_bytes_per_s; }
const std::vector<RepairHours>& Server::repair_hours() const { return state_->repair_hours; }

}  // namespace spatter
