#include "node/server.h"

#include "net/methods.h"
#include "node/drive_parts.h"
#include "node/mend_timing.h"
#include "root_check.h"
#include "serverhalf/service.h"
#include "server_state.h"
#include "spatter/roots.h"
#include "userhalf/local_packs.h"
#include "proto/holder.pb.h"

namespace spatter {
namespace {

bool is_wildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }
bool is_loopback(const std::string& host) {
  return host.starts_with("127.") || host == "::1" || host == "localhost";
}

}  // namespace

std::vector<Address> Server::State::addresses() const {
  if (!drive.config.advertise.empty()) return drive.config.advertise;
  if (!is_wildcard(listening.host)) return {listening};
  std::vector<Address> result;
  std::vector<Address> loopback;
  const auto add = [&](const std::string& host) {
    if (listening.host == "0.0.0.0" && host.find(':') != std::string::npos) return;  // IPv4 only
    auto& list = is_loopback(host) ? loopback : result;
    const Address address{host, listening.port};
    if (std::ranges::find(list, address) == list.end()) list.push_back(address);
  };
  if (mapping && mapping->external()) result.push_back(*mapping->external());
  for (const auto& host : options.local_hosts) add(host);
  // Behind a NAT the others see an address that we cannot.
  if (!members->observed_host().empty()) add(members->observed_host());
  return result.empty() ? loopback : result;
}

Server::Server(Runtime& runtime, Transport& transport, Drive drive, ServerOptions options)
    : state_(std::make_unique<State>(runtime, transport, std::move(drive), std::move(options))) {}

Server::~Server() = default;

Task<Result<void>> Server::State::open_network() {
  CO_TRY(member_store, co_await MemberStore::open(runtime, drive_path::members));
  CO_TRY(auto contents, co_await member_store->load());
  if (!contents.genesis)
    co_return fail(Errc::corrupt, "the drive's members database holds no genesis record");
  CO_TRY(genesis, check_genesis(*contents.genesis));
  identity.emplace(make_identity(genesis.network, drive.keyring.person.newest().signing_key(),
                                 drive.keyring.server_key, runtime.wall_ms(), drive.person()));
  rpc = std::make_unique<Rpc>(runtime, transport, identity->network, options.rpc);
  CO_TRY(members, co_await GossipMembers::open(runtime, *rpc, *identity, *member_store,
                                               options.gossip));
  CO_TRY(trust, co_await TrustExchange::open({runtime, *rpc, *identity, *members}, genesis, drive_path::trust));
  if (!members->roster().is_admitted(identity->person))
    co_return fail(Errc::corrupt, "person {} of this drive is not in network {}", identity->person,
                   identity->network);
  settle_key();
  if (options.offline) co_return Result<void>{};
  trust->on_keys_changed = [this] { keys_changed(); };
  clips = std::make_unique<ClipStore>(runtime, *rpc, *members, drive_path::clips);
  CO_TRY(auto sealing, members_key(*contents.genesis));
  desk = std::make_unique<TrustDesk>(TrustDesk::Parts{runtime, *identity, drive.keyring.person.recovery(), *members, *trust,
                                                      *clips, std::move(sealing)});
  directory = std::make_unique<DirectoryDesk>(DirectoryDesk::Parts{runtime, *rpc, *identity, *members, *trust},
                                              options.directory);
  co_return Result<void>{};
}

Task<Result<void>> Server::State::open_halves() {
  auto space = co_await runtime.blocking([&] { return runtime.disk().space(); });
  if (!space) co_return fail(std::move(space).error());
  CO_TRY(halves, halves_of(drive.config, *space));
  ShardStoreOptions shard_options;
  shard_options.folder = drive_path::server;
  shard_options.budget_bytes = halves.server_bytes;
  CO_TRY(shards, co_await ShardStore::open(runtime, identity->server_key, shard_options));
  co_return Result<void>{};
}

Task<Result<void>> Server::State::open_volume(std::uint64_t number, std::uint64_t version) {
  VolumeOptions volume_options;
  CO_TRY(volume_options.volume, co_await volume_of(*database));
  const bool made_now = volume_options.volume.is_zero();
  if (made_now) volume_options.volume = runtime.entropy().id<VolumeId>();
  volume_options.packs.folder = drive_path::packs;
  volume_options.packs.limit_bytes = halves.user_bytes;
  volume_options.at_rest = options.offline;
  std::optional<wire::RootRecord> own_root;
  if (number == 0) {
    CO_TRY(own_root, co_await load_root(runtime));
    const bool same = own_root && own_root->volume() == volume_options.volume.raw();
    number = same ? own_root->number() : 1;
    version = same ? own_root->version() : 0;
  }
  if (made_now) {
    keys.emplace(VolumeKeys::derive(signing_secret(), volume_options.volume));
  } else if (!keys) {
    CO_TRY(keys, co_await own_volume_keys(volume_options.volume, own_root));
  }
  CO_TRY(volume, co_await Volume::open(runtime, *database, *keys, volume_options));
  if (!reader) reader = std::make_unique<StripeReader>(context());
  volume->packs().set_remote(reader.get());
  auto keeping = options.keeper;
  keeping.grace = mend_timing(genesis).mend.grace;  // the owner gives up nobody whom the others do not
  keeper = std::make_unique<Keeper>(context(),
                                    OwnedVolume{volume->id(), number, keys->labels},
                                    volume->packs(), *reader, keeping);
  roots = std::make_unique<RootKeeper>(context(), *volume, *keys, number, version);
  roots->disown(disowned_keys());
  keeper->set_may_release([this](ServerId holder) { return roots->may_release(holder); });
  keeper->on_behind([this](Error why) { roots->refuse(std::move(why)); });
  // What this server last told the others lies beside the index: a part of the drive that was set
  // back shows here already.
  if (own_root) {
    const OwnIndex own{volume->id(), identity->server, number, volume->log_state()};
    if (auto good = check_index(*own_root, own, keys->metadata); !good) {
      if (!options.offline) co_return good;
      roots->refuse(good.error());
    }
  }
  co_return Result<void>{};
}

const PersonSecret& Server::State::signing_secret() const {
  const auto& held = drive.keyring.person;
  return held.numbered(held.number_of(person_id(identity->person_key.public_key())).value_or(held.count()));
}

/// An index that was lost, or no root record yet: then the packs here tell which it is.
Task<Result<VolumeKeys>> Server::State::own_volume_keys(VolumeId of,
                                                        const std::optional<wire::RootRecord>& own_root) {
  const auto& held = drive.keyring.person;
  if (own_root && own_root->volume() == of.raw())
    if (auto found = keys_of_volume(held, *own_root)) co_return std::move(*found);
  for (auto number = held.count(); number > 1; --number) {
    auto candidate = VolumeKeys::derive(held.numbered(number), of);
    CO_TRY(const auto packs, co_await find_local_packs(runtime, drive_path::packs, candidate, of));
    if (!packs.empty()) co_return candidate;
  }
  co_return VolumeKeys::derive(held.numbered(1), of);
}

DirectoryDesk::OwnData Server::State::own_data() {
  DirectoryDesk::OwnData data;
  data.stripes = [this] {
    std::vector<DirectoryDesk::PublishedStripe> result;
    for (const StripePtr& stripe : stripes->all()) {
      std::map<ServerId, std::vector<std::uint8_t>> held;
      for (const PlacedShard& shard : stripe->shards)
        if (!shard.lost) held[shard.holder].push_back(static_cast<std::uint8_t>(shard.index));
      DirectoryDesk::PublishedStripe one{stripe->id, stripe->k, stripe->n, stripe->created_ms, {}};
      for (auto& [holder, indices] : held) {
        std::ranges::sort(indices);
        one.holders.push_back({holder, std::move(indices)});
      }
      result.push_back(std::move(one));
    }
    return result;
  };
  data.stripes_version = [this] { return stripes->version(); };
  data.health = [this] {
    const SafetyReport report = keeper->report();
    HealthFacts facts;
    facts.stripes = report.total;
    facts.full = report.full;
    facts.safe = report.safe;
    facts.at_risk = report.at_risk;
    facts.lost = report.lost;
    return facts;
  };
  return data;
}

/// Whether anybody here keeps a root record of the person.
Task<Result<void>> Server::State::check_recovery(PersonId person) {
  if (!shards || !stripes) co_return fail(Errc::unavailable, "this server is not serving yet");
  const auto own = co_await shards->roots(person);
  if (own && !own->empty()) co_return Result<void>{};
  std::size_t asked = 1;
  std::size_t silent = 0;
  for (const auto& member : members->others()) {
    Result<KnownRoots> known = fail(Errc::unavailable, "it is not up");
    if (member.up) known = co_await ask_roots(context(), member.id, person);
    if (!known) {
      ++silent;
      continue;
    }
    ++asked;
    if (!known->roots.empty()) co_return Result<void>{};
  }
  co_return fail(Errc::not_found, "none of the {} servers that answer keeps a volume of the person of "
                 "these words ({}): are they the right words, and the right network?{}", asked, person,
                 silent == 0 ? "" : fmt::format(" {} servers could not be asked", silent));
}

/// A holder says that it lost shards of ours.
Task<Result<RpcReply>> Server::State::take_loss_notice(Caller caller) {
  if (!members->person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  if (!keeper) co_return fail(Errc::unavailable, "this server is stopping");
  keeper->holder_lost_some(caller.server);
  co_return RpcReply{wire::ShardLostReply().SerializeAsString(), {}};
}

Result<void> Server::State::open_to_others() {
  const auto person_of = [members = members.get()](const ServerId& id) {
    return members->person_of(id);
  };
  const auto may_keep = [members = members.get(),
                         own = identity->person](const PersonId& person) -> Result<void> {
    if (person == own || members->is_trusted(person)) return {};
    return fail(Errc::denied, "person {} is not trusted yet: nobody keeps anything of his until reviewers "
                "have vouched for him", person);
  };
  serve_shards(*rpc, *shards, person_of, may_keep,
               [members = members.get()](const PersonId& person) { return members->key_of(person); });
  auto bound = rpc->listen(drive.config.listen);
  // A machine without IPv6 has all its addresses in IPv4.
  if (!bound && drive.config.listen.host == "::")
    bound = rpc->listen({"0.0.0.0", drive.config.listen.port});
  TRY(listening, std::move(bound));
  RelayOptions relay_options = options.relay;
  relay_options.carry = drive.config.relay;
  relay_options.bytes_per_s = drive.config.relay_bytes_per_s;
  relay_options.bytes_per_s_per_person = drive.config.relay_bytes_per_s / 2;
  const auto knows =
      [members = members.get()](const ServerId& id) -> std::optional<RelayService::Known> {
    const auto person = members->person_of(id);
    if (!person) return std::nullopt;
    return RelayService::Known{*person, members->is_trusted(*person)};
  };
  relay = std::make_unique<RelayService>(runtime, transport, *rpc, knows, relay_options);
  relay->start();
  reachability = std::make_unique<Reachability>(
      Reachability::Parts{runtime, transport, *rpc, *members, drive.config.relay});
  members->check_recovery = [this](PersonId person) { return check_recovery(person); };
  members->start();
  members->publish_own(addresses(), halves.server_bytes, shards->usage().free);
  trust->start();
  clips->start();
  desk->start();
  directory->start();
  reachability->start();
  find_others();
  if (options.public_dht) {
    rendezvous = std::make_unique<Rendezvous>(runtime, *rpc, *members, *identity, options.public_dht,
                                              options.rendezvous);
    rendezvous->start();
  }
  return {};
}

/// What needs no other server's help. A server that only this machine can reach looks for nobody.
void Server::State::find_others() {
  if (is_loopback(listening.host)) return;
  if (options.port_mapping && drive.config.port_mapping && drive.config.advertise.empty()) {
    options.port_mapping->start(listening.port, [this] { publish(); });
    mapping = options.port_mapping;
  }
  if (options.lan && drive.config.lan) {
    lan = std::make_unique<LanFinder>(runtime, *rpc, *members, *identity, options.lan, listening.port);
    lan->start();
  }
}

void Server::State::publish() {
  if (housekeeper)
    housekeeper->publish();
  else
    members->publish_own(addresses(), halves.server_bytes, shards->usage().free);
}

void Server::State::watch() {
  const auto relays = reachability ? reachability->reach().relays : std::vector<ServerId>();
  members->watch(watch_list(relays, *stripes, shards->balances(),
                            mender ? mender->counterparts() : std::set<ServerId>(), *members));
}

Task<void> Server::State::watch_loop() {
  constexpr Duration at_the_latest = std::chrono::minutes(1);  // others change, too
  std::uint64_t seen = 0;
  TimePoint last{};
  for (;;) {
    co_await runtime.sleep(options.housekeeping_every);
    turn_dial();
    // Looking through all stripes takes its time; where all servers are known it is not urgent.
    const bool changed = stripes->version() != seen && !members->is_complete();
    if (!changed && runtime.now() - last < at_the_latest) continue;
    seen = stripes->version();
    last = runtime.now();
    watch();
  }
}

Task<void> Server::State::close_to_others() {
  if (rendezvous) co_await rendezvous->stop();
  if (lan) co_await lan->stop();
  if (auto taken = std::exchange(mapping, nullptr)) co_await taken->stop();
  if (reachability) co_await reachability->stop();
  if (relay) co_await relay->stop();
}

Task<Result<void>> Server::start() {
  auto& state = *state_;
  const auto run = [this](Server::State& state) -> Task<Result<void>> {
    CO_TRY(const auto missing, co_await check_databases(state.runtime, state.drive, false));
    if (!missing.empty()) co_return fail(Errc::corrupt, "{}", missing.front().what);
    CO_TRY_VOID(co_await state.open_network());
    if (state.options.records_only) co_return Result<void>{};
    CO_TRY_VOID(co_await state.open_halves());

    if (!state.options.offline) {
      CO_TRY_VOID(state.open_to_others());
    }

    CO_TRY(const auto recovering, co_await state.wanted_recovery());
    if (recovering && state.options.offline)
      co_return fail(Errc::unavailable, "this drive's volume has not been brought back yet: start "
                     "it with `spatter up` first");
    std::uint64_t number = 0;
    std::uint64_t version = 0;
    if (recovering) {
      CO_TRY(number, co_await state.recover_volume(*recovering));
    } else {
      CO_TRY(state.database,
             co_await Database::open(state.runtime, drive_path::volume, volume_migrations()));
      CO_TRY(state.stripes, co_await StripeTable::open(state.runtime, drive_path::stripes));
    }
    CO_TRY_VOID(co_await state.open_volume(number, version));
    if (!state.options.offline) state.roots->start();
    if (recovering) {
      // From here on the volume is this server's; the mark goes when the others know it.
      using namespace asio::experimental::awaitable_operators;
      const auto first =
          co_await (state.roots->ensure_known(Level::full) || state.interrupted.wait());
      if (first.index() == 1)
        co_return fail(Errc::cancelled, "stopped before the others knew that the volume is back here");
      if (const auto& known = std::get<0>(first); !known)
        state.runtime.log().warning("root record: {}", known.error().message);
      CO_TRY_VOID(co_await state.runtime.blocking([&]() -> Result<void> {
        TRY_VOID(state.runtime.disk().remove(drive_path::recovering));
        return state.runtime.disk().sync_directory("user");
      }));
    }
    if (state.options.offline) co_return Result<void>{};

    state.housekeeper = std::make_unique<Housekeeper>(Housekeeper::Parts{
        state.runtime, *state.members, *state.shards, *state.volume, *state.keeper, *state.roots,
        [&state] { return state.addresses(); }, state.halves.server_bytes,
        state.options.housekeeping_every});
    state.members->on_observed_host = [&state] { state.housekeeper->publish(); };
    state.watch();
    state.watching.spawn(state.watch_loop());
    state.keeper->start();
    state.housekeeper->start();
    CO_TRY(auto lost, co_await Salvage::load(state.runtime));
    state.salvage = std::make_unique<Salvage>(
        Salvage::Parts{state.context(), state.drive.keyring.person, *state.volume,
                       [this] { return may_write(); },
                       [this](PackPosition position) { return wait_for(position, Level::safe); }},
        std::move(lost));
    state.salvage->start();
    state.expiry = std::make_unique<Expiry>(
        Expiry::Parts{state.runtime, *state.members, *state.shards});
    state.expiry->start();
    state.rpc->serve(method::shard_lost, [&state](Caller caller, RpcRequest) {
      return state.take_loss_notice(std::move(caller));
    });
    state.loss_notice = std::make_unique<LossNotice>(
        LossNotice::Parts{state.runtime, *state.rpc, *state.members, *state.shards, [&state] {
                            state.keeper->holder_lost_some(state.identity->server);
                          }});
    state.loss_notice->start();
    state.directory->set_own_data(state.own_data());
    // The key may have become another while this server was off, or when it was interrupted.
    if (key_state().number > 1 && state.members->own_key_counts()) CO_TRY_VOID(co_await state.key_is_new());
    CO_TRY_VOID(co_await state.start_mending());
    CO_TRY_VOID(co_await state.start_mode(on_mode_change));
    co_return co_await state.start_cycles();
  };
  auto started = co_await run(state);
  if (!started) co_await stop();
  co_return started;
}

void Server::interrupt_start() { state_->interrupted.set(); }

Task<void> Server::stop() {
  auto& state = *state_;
  if (state.members) {
    state.members->on_observed_host = nullptr;
    state.members->check_recovery = nullptr;
  }
  if (state.directory) {
    state.directory->set_own_data(std::nullopt);
    co_await state.directory->stop();
  }
  co_await state.watching.stop();
  co_await state.stop_cycles();
  co_await state.stop_mending();
  if (state.loss_notice) co_await state.loss_notice->stop();
  if (state.expiry) co_await state.expiry->stop();
  if (state.salvage) co_await state.salvage->stop();
  if (state.housekeeper) co_await state.housekeeper->stop();
  if (state.roots) co_await state.roots->stop();
  if (state.keeper) co_await state.keeper->stop();
  if (state.trust) state.trust->on_keys_changed = nullptr;
  co_await state.key_tasks.stop();
  if (state.desk && !state.options.offline) co_await state.desk->stop();
  if (state.trust) co_await state.trust->stop();
  co_await state.close_to_others();
  if (state.members && !state.options.offline) co_await state.members->stop();
  if (state.rpc) co_await state.rpc->stop();
  if (state.volume) {
    state.volume->packs().set_remote(nullptr);
    co_await state.volume->stop();
  }
  if (state.reader) co_await state.reader->stop();
  state.jobs.reset();
  state.work.reset();
  state.wire.reset();
  state.mode.reset();
  state.auditor.reset();
  state.owner_lists.reset();
  state.mender.reset();
  state.loss_notice.reset();
  state.expiry.reset();
  state.salvage.reset();
  state.housekeeper.reset();
  state.roots.reset();
  state.keeper.reset();
  state.volume.reset();
  state.reader.reset();
  if (auto stripes = std::move(state.stripes)) co_await stripes->close();
  if (auto database = std::move(state.database)) co_await database->close();
  if (auto shards = std::move(state.shards)) co_await shards->stop();
  state.directory.reset();
  state.rendezvous.reset();
  state.lan.reset();
  state.reachability.reset();
  state.relay.reset();
  state.desk.reset();
  state.clips.reset();
  state.trust.reset();
  state.members.reset();
  state.rpc.reset();
  if (auto store = std::move(state.member_store)) co_await store->close();
}

const Identity& Server::identity() const { return *state_->identity; }
const GenesisFacts& Server::genesis() const { return state_->genesis; }
Address Server::listening() const { return state_->listening; }
const Drive& Server::drive() const { return state_->drive; }
Volume& Server::volume() { return *state_->volume; }
Members& Server::members() { return *state_->members; }
ShardStore& Server::shards() { return *state_->shards; }
StripeTable& Server::stripes() { return *state_->stripes; }
StripeReader& Server::reader() { return *state_->reader; }
Keeper& Server::keeper() { return *state_->keeper; }
Mender& Server::mender() { return *state_->mender; }
OwnerLists& Server::owner_lists() { return *state_->owner_lists; }
Auditor& Server::auditor() { return *state_->auditor; }
Rpc& Server::rpc() { return *state_->rpc; }
TrustDesk& Server::trust_desk() { return *state_->desk; }
DirectoryDesk& Server::directory() { return *state_->directory; }
TrustExchange& Server::trust() { return *state_->trust; }

Result<void> Server::may_write() const {
  if (state_->members->retired_by(state_->identity->server))
    return fail(Errc::fenced, "this server was retired by its person and belongs to no network any "
                "more; here files can only be read");
  if (!state_->members->own_key_counts()) return fail(Errc::denied, "{}", outdated_words);
  return state_->roots->may_write();
}

Task<Result<ServerId>> Server::forget(std::string which, bool even_if_up) {
  std::vector<Member> matching;
  for (auto& member : state_->members->all())
    if (member.id.hex().starts_with(which)) matching.push_back(std::move(member));
  const auto connected = state_->rpc->connected();
  for (const auto& [id, entry] : state_->members->roster().outdated()) {
    const bool is_there = std::ranges::find(matching, id, &Member::id) != matching.end();
    if (is_there || !id.hex().starts_with(which)) continue;
    matching.push_back(entry.member);
    matching.back().up = std::ranges::find(connected, id) != connected.end();
  }
  if (which.empty() || matching.empty())
    co_return fail(Errc::not_found, "no server of this network has an id that begins with \"{}\"",
                   which);
  if (matching.size() > 1)
    co_return fail(Errc::invalid, "{} servers have ids that begin with {}", matching.size(), which);
  const auto& member = matching.front();
  if (member.person == state_->identity->person && member.id != state_->identity->server &&
      member.up && !even_if_up)
    co_return fail(Errc::busy, "server {} is up: stop it first, or retire it all the same if its key "
                   "is in wrong hands", member.id);
  CO_TRY_VOID(co_await state_->members->retire(member.id));
  co_return member.id;
}

Task<Result<void>> Server::wait_for(PackPosition position, Level level) {
  if (level == Level::local) co_return co_await state_->keeper->wait_for(position, level);
  CO_TRY_VOID(may_write());
  CO_TRY_VOID(co_await state_->keeper->wait_for(position, level));
  co_return co_await state_->roots->ensure_known(level);
}

Task<Result<std::string>> Server::invite(Duration valid_for) {
  return state_->members->invite(valid_for);
}

}  // namespace spatter
