// What a server says of itself: status, contracts, fsck.
#include "server_state.h"
#include "node/drive_parts.h"
#include "spatter/recover.h"
#include "spatter/writer.h"
#include "trust/contract.h"

namespace spatter {

std::string_view to_string(ServerFinding::Where where) {
  switch (where) {
    case ServerFinding::Where::drive: return "drive";
    case ServerFinding::Where::user_half: return "user half";
    case ServerFinding::Where::server_half: return "server half";
    case ServerFinding::Where::network: return "network";
  }
  return "drive";
}

Task<Result<ServerStatus>> Server::status() {
  auto& state = *state_;
  CO_TRY(auto stats, co_await state.volume->stats());
  ServerStatus status;
  status.network = state.identity->network;
  status.person = state.identity->person;
  status.server = state.identity->server;
  status.name = state.drive.config.name;
  status.listening = state.listening;
  const auto all = state.members->all();
  status.servers_total = all.size();
  status.view_complete = state.members->is_complete();
  status.servers_up = static_cast<std::size_t>(std::ranges::count_if(all, &Member::up));
  status.user_half = {stats.used_bytes, stats.limit_bytes};
  const auto usage = state.shards->usage();
  status.server_half = {usage.used, usage.budget};
  status.files = stats.files;
  status.file_bytes = stats.file_bytes;
  for (const auto& pack : state.volume->packs().list()) {
    ++status.packs_total;
    status.packs_local += pack.local;
  }
  status.departures_per_server_day = state.departures_per_server_day();
  status.safety = state.keeper->report(status.departures_per_server_day);
  if (state.mender) {
    const auto mending = state.mender->report();
    status.repairs_waiting = mending.waiting;
    status.repair_seconds_left = mending.seconds_left;
  }
  status.repair_seconds_left = std::max(status.repair_seconds_left, status.safety.backlog_seconds);
  status.idle = state.keeper->idle();
  status.settled = status.idle && status.safety.at_risk == 0 && status.safety.lost == 0;
  status.note = state.note;
  if (status.note.empty() && !state.members->is_trusted(status.person))
    status.note = "you are a guest in this network: nobody keeps anything of yours until reviewers have vouched for "
                  "you (spatter announce)";
  if (state.reachability) {
    status.reach = state.reachability->state();
    status.relays = state.reachability->reach().relays;
    status.links_carried = state.relay->usage().links;
  }
  if (state.salvage && !state.salvage->is_done()) {
    status.idle = status.settled = false;
    status.note = state.salvage->note();
  }
  status.mode = state.options.offline ? "offline" : "serving";
  if (is_repair_only()) {
    status.mode = "repair-only";
    status.note = mode_notice();
  }
  if (auto writes = may_write(); !writes) {
    status.mode = state.members->retired_by(status.server) ? "retired"
                  : !state.members->own_key_counts()       ? "outdated"
                  : state.roots->index_is_behind()         ? "behind"
                                                           : "fenced";
    status.note = writes.error().message;
  }
  co_return status;
}

/// Of those that were members in the last month, as far as this machine has been there to see it.
double Server::State::departures_per_server_day() const {
  if (!mender) return spatter::departures_per_server_day(0, 0, 0);
  constexpr auto month = std::chrono::days(30);
  const Duration absent = std::chrono::seconds(genesis.epoch_seconds) * genesis.mend.absent_epochs;
  std::uint64_t departed = 0, servers = 0;
  for (const auto& member : members->others()) {
    const auto away = member.up ? std::nullopt : mender->away(member.id);
    const bool gone = away && *away > absent;
    if (gone && *away > absent + month) continue;  // that was before
    ++servers;
    departed += gone;
  }
  const auto seen = std::chrono::milliseconds(std::max<WallMs>(runtime.wall_ms() - drive.keyring.created_ms, 0));
  const double days = std::chrono::duration<double, std::ratio<86400>>(std::min<Duration>(seen, month)).count();
  return spatter::departures_per_server_day(departed, servers, days);
}

Task<Result<std::optional<FileSafety>>> Server::safety_of(std::string path) {
  CO_TRY(const auto pieces, co_await state_->volume->pieces_of(std::move(path)));
  co_return state_->keeper->safety_of(pieces, state_->departures_per_server_day());
}

Server::HoldersCheck Server::check_holders(const StripeHoldersFacts& stripe) const {
  const Members& members = *state_->members;
  std::vector<Candidate> candidates;
  for (const Member& member : members.all())
    if (member.id != stripe.owner && member.capacity_bytes > 0 &&
        (members.is_trusted(member.person) || member.person == stripe.person))
      candidates.push_back(candidate_of(member, true));
  std::vector<ServerId> others;
  for (const HeldShards& held : stripe.holders)
    if (held.holder != stripe.owner) others.push_back(held.holder);
  return {check_placement(stripe.stripe, candidates, others), members.is_complete()};
}

Task<Result<std::vector<ServerContract>>> Server::contracts(std::size_t limit) {
  auto& state = *state_;
  std::vector<ServerContract> result;
  const auto add = [&](const wire::Contract& contract, bool mine) {
    auto terms = check_contract(contract);
    if (!terms) {
      state.runtime.log().warning("contracts: {}", terms.error().message);
      return;
    }
    result.push_back({mine, terms->stripe, terms->index, terms->size, terms->person,
                      server_id(terms->owner_key), terms->holder, terms->signed_ms,
                      terms->until_ms});
  };
  CO_TRY(auto contracted, co_await state.stripes->contracts(limit));
  for (const auto& row : contracted) {
    wire::Contract contract;
    if (contract.ParseFromArray(row.contract.data(), static_cast<int>(row.contract.size())))
      add(contract, true);
  }
  ShardQuery query;
  query.limit = 1024;
  for (std::size_t taken = 0; taken < limit;) {
    CO_TRY(auto page, co_await state.shards->list(query));
    for (const auto& shard : page.shards) {
      if (taken++ >= limit) break;
      add(shard.contract, false);
    }
    if (!page.more || page.shards.empty()) break;
    query.after = page.shards.back().key;
  }
  const auto order = [](const ServerContract& contract) {
    return std::tuple(!contract.mine, contract.stripe, contract.index, contract.holder);
  };
  std::ranges::sort(result, {}, order);
  co_return result;
}

Task<Result<std::vector<ServerVolume>>> Server::volumes() {
  CO_TRY(const auto known, co_await find_volumes(state_->context()));
  std::vector<ServerVolume> result;
  for (const auto& volume : known.volumes)
    result.push_back({volume.volume, volume.writer,
                      volume.has_server() || volume.writer == state_->identity->server,
                      static_cast<WallMs>(volume.root.made_ms())});
  co_return result;
}

Task<Result<ServerCheckup>> Server::fsck(bool deep, bool mend, Progress progress) {
  auto& state = *state_;
  ServerCheckup checkup;
  using Where = ServerFinding::Where;

  CO_TRY(checkup.findings, co_await check_databases(state.runtime, state.drive, false));
  if (state.roots->index_is_behind()) {
    if (mend) CO_TRY_VOID(co_await mark_for_recovery(state.runtime));
    checkup.findings.push_back({Where::user_half, state.roots->may_write().error().message, mend, true});
  }

  // The user half first: what it mends may come from the network, and from the own server half.
  std::vector<Finding> findings;
  if (mend) {
    CO_TRY(findings, co_await state.volume->mend(deep));
  } else {
    CO_TRY(findings, co_await state.volume->check(deep));
  }
  for (auto& finding : findings) {
    auto what = std::move(finding.what);
    if (!finding.path.empty()) what += fmt::format(" ({})", finding.path);
    checkup.findings.push_back({Where::user_half, std::move(what), finding.mended, finding.fatal});
  }
  for (const auto& pack : state.volume->packs().list()) checkup.packs += pack.local;

  CO_TRY(auto shards, co_await state.shards->fsck(deep, mend, std::move(progress)));
  checkup.shards = shards.shards;
  checkup.bytes = shards.bytes;
  std::set<PersonId> told;
  if (mend && state.loss_notice) told = co_await state.loss_notice->tell();
  for (auto& damage : shards.damage) {
    const bool harmless = damage.kind == ShardDamage::Kind::orphan ||
                          damage.kind == ShardDamage::Kind::leftover;
    ServerFinding finding{Where::server_half, std::move(damage.text), damage.mended, !harmless};
    if (!damage.person.is_zero())
      finding.done = told.contains(damage.person)
                         ? "dropped; its owner has been told and sends it anew"
                         : "dropped; its owner will be told as soon as he can be reached";
    checkup.findings.push_back(std::move(finding));
  }

  if (!state.options.offline) {
    const auto report = state.keeper->report();
    for (const auto& stripe : report.unreadable)
      checkup.findings.push_back({Where::network,
                                  fmt::format("stripe {} cannot be read from the others now: fewer "
                                              "than k of its shards can be reached", stripe),
                                  false, false});
  }
  co_return checkup;
}

}  // namespace spatter
