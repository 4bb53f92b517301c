#include "directory/gossip.h"

#include <asio/post.hpp>

#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "directory/revocation.h"
#include "net/methods.h"
#include "wire/proto/trust.pb.h"

namespace spatter {
namespace {

/// Records in one message: well below what an RPC body may hold.
constexpr std::size_t batch_bytes_max = 256 * 1024;
constexpr std::size_t invite_addresses_max = 4;
/// Of a third of a KiB each; comparing trust records brings what is left out.
constexpr int rotations_at_once = 400;

/// Adds records until the batch is full; false when this one had no room.
class Batch {
 public:
  bool add(google::protobuf::RepeatedPtrField<wire::Signed>* list, const wire::Signed& record) {
    const auto size = record.ByteSizeLong() + 8;
    if (used_ + size > batch_bytes_max) return false;
    used_ += size;
    *list->Add() = record;
    return true;
  }

 private:
  std::size_t used_ = 0;
};

/// All of them, beginning at a place of the listener's own: what does not fit is not the same for everybody.
template <class Call>
void each_from(const ServerId& listener, const std::map<ServerId, Roster::Entry>& servers, Call call) {
  const auto first = servers.lower_bound(listener);
  for (auto at = first; at != servers.end(); ++at) call(at->first, at->second);
  for (auto at = servers.begin(); at != first; ++at) call(at->first, at->second);
}

constexpr auto key_was_changed = "your key was changed on another machine: run `spatter key take` here, with the "
                                 "recovery words";
constexpr auto retired_words = "this server was retired by its person: it belongs to no network";

Digest secret_hash(ByteView secret) { return sha256(secret); }

}  // namespace

Task<Result<std::unique_ptr<GossipMembers>>> GossipMembers::open(Runtime& runtime, Rpc& rpc,
                                                                 const Identity& identity,
                                                                 MemberStore& store,
                                                                 GossipOptions options) {
  CO_TRY(auto contents, co_await store.load());
  if (!contents.genesis)
    co_return fail(Errc::corrupt, "the drive's members database holds no genesis record");
  CO_TRY(auto genesis, check_genesis(*contents.genesis));
  if (genesis.network != identity.network)
    co_return fail(Errc::corrupt, "the drive's genesis record is of network {}, not of {}",
                   genesis.network, identity.network);
  Roster roster(genesis, {options.view_max, 2 * options.view_max, identity.server, identity.person,
                          derive_key(identity.server_key.seed(), "members view")});
  std::unique_ptr<GossipMembers> members(
      new GossipMembers(runtime, rpc, identity, store, options, std::move(roster)));
  members->unplaced_ = std::move(contents);
  members->place_again();
  if (!members->roster_.is_admitted(identity.person) && members->unplaced_.admissions.empty())
    co_return fail(Errc::corrupt, "person {} of this drive is not in network {}", identity.person,
                   identity.network);
  co_return members;
}

bool GossipMembers::place_again() {
  bool placed = false;
  const auto place = [&](std::vector<wire::Signed>& list, Result<bool> (Roster::*put)(const wire::Signed&)) {
    std::erase_if(list, [&](const wire::Signed& record) {
      const bool done = (roster_.*put)(record).has_value();
      placed |= done;
      return done || roster_.outdated().contains(server_id(as_bytes(record.key())));
    });
  };
  place(unplaced_.admissions, &Roster::admit);
  place(unplaced_.revocations, &Roster::revoke);
  place(unplaced_.records, &Roster::accept);
  roster_.use_of = [this](const Member& member) { return use_of(member); };
  // Until somebody says what is to be watched, anything in the view may be.
  for (const auto& [id, entry] : roster_.servers()) watched_.insert(id);
  take_own_entry();
  return placed;
}

void GossipMembers::take_own_entry() {
  const auto old = roster_.outdated().find(identity_.server);
  const auto* entry = roster_.find(identity_.server);
  const bool counts = entry != nullptr;
  if (!counts && old != roster_.outdated().end()) entry = &old->second;
  if (!entry) return;
  place_ = place_in(entry->record.body());
  wanted_reach_ = published_reach_ = {entry->member.relays, entry->member.carries};
  published_own_ = {};
  if (counts)
    published_own_ = {entry->member.addresses, entry->member.capacity_bytes,
                      entry->member.free_bytes, place_};
}

// Keys of persons ----------------------------------------------------------------------------

void GossipMembers::set_keys(Keys keys) {
  keys_ = std::move(keys);
  roster_.set_keys(keys_.history);
}

bool GossipMembers::own_key_counts() const {
  return key_of(identity_.person) == person_id(identity_.person_key.public_key());
}

std::optional<PersonId> GossipMembers::once_person_of(const ServerId& id) const {
  const auto outdated = roster_.outdated().find(id);
  if (outdated != roster_.outdated().end()) return outdated->second.member.person;
  return Members::once_person_of(id);
}

bool GossipMembers::is_connected(const ServerId& id) const {
  const auto peer = peers_.find(id);
  return peer != peers_.end() && peer->second.up;
}

void GossipMembers::keys_changed() {
  for (const auto& id : roster_.judge_keys()) {
    runtime_.log().info("server {} is no member any more: its person has changed his key", id);
    if (id == identity_.server) renew_own();  // the record that was published counts no more
    const auto outdated = roster_.outdated().find(id);
    if (outdated != roster_.outdated().end() && is_connected(id)) tell_of_rotation(id, outdated->second.member.person);
  }
  notify();
}

void GossipMembers::add_rotations(Records& list, std::set<PersonId>& done, const PersonId& person) const {
  if (!keys_.rotations_of || !done.insert(person).second) return;
  for (auto& rotation : keys_.rotations_of(person)) {
    if (list.size() >= rotations_at_once) return;
    *list.Add() = std::move(rotation);
  }
}

/// Those without which what the message brings could not be judged.
void GossipMembers::add_rotations(wire::PushRequest& push) const {
  std::set<PersonId> done;
  auto& list = *push.mutable_rotations();
  for (const auto& admission : push.admissions()) {
    wire::Admission message;
    if (!message.ParseFromString(admission.body()) || message.inviter() == admission.key()) continue;
    if (const auto inviter = PersonId::from(message.inviter())) add_rotations(list, done, *inviter);
  }
  for (const auto& record : push.records()) {
    const auto* entry = roster_.find(server_id(as_bytes(record.key())));
    if (entry && entry->certified_by != entry->member.person) add_rotations(list, done, entry->member.person);
  }
  for (const auto& revocation : push.revocations()) {
    const auto facts = check_revocation(revocation, identity_.network);
    if (facts && facts->signed_by != facts->person) add_rotations(list, done, facts->person);
  }
}

/// A server of a person who has changed his key would hear of it from nobody: it is no member.
void GossipMembers::tell_of_rotation(const ServerId& outdated, const PersonId& person) {
  wire::PushRequest push;
  std::set<PersonId> done;
  add_rotations(*push.mutable_rotations(), done, person);
  if (push.rotations_size() > 0) tasks_.spawn(push_to(outdated, push.SerializeAsString()));
}

Task<Result<void>> GossipMembers::own_key_changed() {
  // What the person has retired stays so for those who will know the new key alone.
  std::vector<wire::Signed> anew;
  std::vector<MemberStore::RevocationRow> rows;
  const auto own_key = person_id(identity_.person_key.public_key());
  for (const auto& [id, revoked] : roster_.revoked()) {
    wire::Revocation message;
    if (revoked.person != identity_.person || revoked.signed_by == own_key ||
        !message.ParseFromString(revoked.record.body()))
      continue;
    anew.push_back(make_revocation(identity_.person_key, identity_.network, message.record(), runtime_.wall_ms()));
    rows.push_back({id, anew.back()});
  }
  if (!rows.empty()) CO_TRY_VOID(co_await store_.save({}, {}, std::move(rows)));
  for (const auto& record : anew) CO_TRY_VOID(roster_.revoke(record));
  if (!anew.empty()) records_changed({{}, {}, std::move(anew)}, std::nullopt);
  renew_own();
  // What is asked of others next is refused by those who have not seen it.
  using namespace asio::experimental::awaitable_operators;
  const auto counts = [&] {
    const auto* entry = roster_.find(identity_.server);
    return entry && entry->certified_by == own_key;
  };
  if (!counts()) co_await (own_published_.wait() || runtime_.sleep(options_.call_timeout));
  co_return Result<void>{};
}

GossipMembers::GossipMembers(Runtime& runtime, Rpc& rpc, const Identity& identity,
                             MemberStore& store, GossipOptions options, Roster roster)
    : runtime_(runtime), rpc_(rpc), identity_(identity), store_(store), options_(options),
      roster_(std::move(roster)), started_(runtime.now()),
      allowances_(static_cast<double>(options.push_burst), static_cast<double>(options.push_per_s)),
      prefix_allowances_(static_cast<double>(options.push_burst) / 8, static_cast<double>(options.push_per_s) / 8),
      publish_wanted_(runtime.executor()), own_published_(runtime.executor()),
      save_wanted_(runtime.executor()), notify_pending_(std::make_shared<bool>(false)),
      tasks_(runtime.executor()) {}

GossipMembers::~GossipMembers() = default;

void GossipMembers::start() {
  rpc_.serve(method::join, [this](Caller caller, RpcRequest request) {
    return handle_join(std::move(caller), std::move(request));
  });
  rpc_.serve(method::members_sync, [this](Caller caller, RpcRequest request) {
    return handle_sync(std::move(caller), std::move(request));
  });
  rpc_.serve(method::members_push, [this](Caller caller, RpcRequest request) {
    return handle_push(std::move(caller), std::move(request));
  });
  rpc_.on_reachability = [this](ServerId id, bool up) { reachability_changed(id, up); };
  rpc_.on_barred = [this](ServerId id, std::string proof) { barred_by(id, std::move(proof)); };
  for (const auto& [id, revoked] : roster_.revoked()) {
    if (id != identity_.server)
      rpc_.bar(id, retired_words, revoked.record.SerializeAsString());
  }
  for (const auto& id : rpc_.connected()) reachability_changed(id, true);
  if (!retired_by(identity_.server)) {
    for (const auto& [id, entry] : roster_.servers()) {
      if (id != identity_.server) rpc_.set_addresses(id, entry.member.addresses, entry.member.relays);
    }
  }
  // Servers with a certificate by an old key may come with a new one.
  if (!retired_by(identity_.server)) {
    for (const auto& [id, entry] : roster_.outdated())
      if (id != identity_.server) rpc_.set_addresses(id, entry.member.addresses, entry.member.relays);
  }
  if (const auto left = unplaced_.admissions.size() + unplaced_.records.size() + unplaced_.revocations.size())
    runtime_.log().warning("members: {} stored records are left out", left);
  unplaced_ = {};
  for (const auto& [id, entry] : roster_.servers()) {
    const auto peer = peers_.try_emplace(id, Peer{.since = runtime_.now()}).first;
    peer->second.seen = true;
  }
  settle_view();
  tasks_.spawn(sync_loop());
  tasks_.spawn(save_loop());
  tasks_.spawn(publish_loop());
}

Task<void> GossipMembers::stop() {
  rpc_.on_reachability = nullptr;
  rpc_.on_barred = nullptr;
  co_await tasks_.stop();
  if (!unsaved_servers_.empty() || !unsaved_admissions_.empty() || !unsaved_revocations_.empty() ||
      !unsaved_losses_.empty()) {
    std::vector<MemberStore::ServerRow> servers;
    for (auto& [id, row] : unsaved_servers_) servers.push_back(std::move(row));
    unsaved_servers_.clear();
    auto saved = co_await store_.save(std::exchange(unsaved_admissions_, {}), std::move(servers),
                                      std::exchange(unsaved_revocations_, {}),
                                      {unsaved_losses_.begin(), unsaved_losses_.end()});
    unsaved_losses_.clear();
    if (!saved) runtime_.log().warning("members: not saved: {}", saved.error().message);
  }
}

// What is asked of it ------------------------------------------------------------------------

Member GossipMembers::own() const {
  Member member;
  if (const auto* entry = roster_.find(identity_.server)) {
    member = entry->member;
  } else {
    member.id = identity_.server;
    member.person = identity_.person;
    const auto& key = identity_.server_key.public_key();
    member.key.assign(key.begin(), key.end());
  }
  if (wanted_own_) {
    member.addresses = wanted_own_->addresses;
    member.capacity_bytes = wanted_own_->capacity_bytes;
    member.free_bytes = wanted_own_->free_bytes;
  }
  member.up = true;
  member.since = started_;
  member.may_hold = true;
  return member;
}

std::optional<Member> GossipMembers::find(const ServerId& id) const {
  if (id == identity_.server) return own();
  const auto* entry = roster_.find(id);
  if (!entry) return std::nullopt;
  auto member = entry->member;
  const auto peer = peers_.find(id);
  member.up = peer != peers_.end() && peer->second.up;
  member.since = peer == peers_.end() ? started_ : peer->second.since;
  member.may_hold = member.person == identity_.person ||
                    (is_trusted(member.person) && is_trusted(identity_.person));
  return member;
}

bool GossipMembers::is_trusted(const PersonId& person) const {
  return roster_.is_admitted(person) && (!trust_in || trust_in(person).trusted);
}

unsigned GossipMembers::allowance_percent(const PersonId& person) const {
  if (!roster_.is_admitted(person)) return 0;
  return trust_in ? trust_in(person).allowance_percent : 100;
}

std::vector<Member> GossipMembers::others() const {
  std::vector<Member> result;
  for (const auto& [id, entry] : roster_.servers()) {
    if (id != identity_.server) result.push_back(*find(id));
  }
  return result;
}

std::vector<Member> GossipMembers::all() const {
  auto result = others();
  const auto mine = own();
  const auto before = [](const Member& a, const Member& b) { return a.id < b.id; };
  result.insert(std::ranges::upper_bound(result, mine, before), mine);
  return result;
}

bool GossipMembers::is_complete() const {
  // A full neighbour may know servers that nobody has told us of.
  return !roster_.is_full() && std::ranges::none_of(peers_, [&](const auto& one) {
    return one.second.up && one.second.full && roster_.find(one.first);
  });
}

std::vector<Member> GossipMembers::connected() const {
  std::vector<Member> result;
  for (const auto& [id, peer] : peers_) {
    if (!peer.up || id == identity_.server) continue;
    if (auto member = find(id)) result.push_back(std::move(*member));
  }
  return result;
}

std::optional<PersonId> GossipMembers::person_of(const ServerId& id) const {
  if (id == identity_.server) return identity_.person;
  const auto* entry = roster_.find(id);
  if (!entry) return std::nullopt;
  return entry->member.person;
}

bool GossipMembers::is_up(const ServerId& id) const {
  if (id == identity_.server) return true;
  const auto peer = peers_.find(id);
  return peer != peers_.end() && peer->second.up && roster_.find(id);
}

std::optional<PersonId> GossipMembers::retired_by(const ServerId& id) const {
  const auto revoked = roster_.revoked().find(id);
  if (revoked == roster_.revoked().end()) return std::nullopt;
  return revoked->second.person;
}

Members::Subscription GossipMembers::subscribe(std::function<void()> changed) {
  subscribers_.emplace(next_subscription_, std::move(changed));
  return next_subscription_++;
}

void GossipMembers::unsubscribe(Subscription id) { subscribers_.erase(id); }

/// Once per turn of the executor, however much changed in it.
void GossipMembers::notify() {
  if (*notify_pending_) return;
  *notify_pending_ = true;
  asio::post(runtime_.executor(), [this, alive = std::weak_ptr<bool>(notify_pending_)] {
    const auto pending = alive.lock();
    if (!pending) return;
    *pending = false;
    const auto subscribers = subscribers_;  // one may unsubscribe while it runs
    for (const auto& [id, changed] : subscribers) {
      if (subscribers_.contains(id)) changed();
    }
  });
}

// The view -----------------------------------------------------------------------------------

Use GossipMembers::use_of(const Member& member) const {
  if (watched_.contains(member.id)) return Use::watched;
  const auto peer = peers_.find(member.id);
  if (peer == peers_.end()) return Use::none;
  const bool near_enough = peer->second.seen && runtime_.now() - peer->second.since < options_.away_max;
  return peer->second.up || near_enough ? Use::reachable : Use::none;
}

void GossipMembers::watch(std::vector<ServerId> servers) {
  // Room is left for whoever comes.
  servers.resize(std::min(servers.size(), options_.view_max - options_.view_max / 4));
  watched_ = {servers.begin(), servers.end()};
  const auto promoted = roster_.promote_visitors();
  for (const auto& id : promoted) keep(id);
  settle_view();
  if (!promoted.empty()) notify();
}

/// What belongs to having a server in the view.
void GossipMembers::keep(const ServerId& id) {
  const auto at = roster_.servers().find(id);
  if (at == roster_.servers().end()) return;
  const auto& entry = at->second;
  unsaved_servers_[id] = {id, entry.version, entry.record};
  unsaved_losses_.erase(id);
  save_wanted_.set();
  if (id == identity_.server) return;
  rpc_.set_addresses(id, entry.member.addresses, entry.member.relays);
  peers_.try_emplace(id, Peer{.since = runtime_.now()});
}

/// Servers that have no place in the view are dialled no more. Those that are connected stay known.
void GossipMembers::settle_view() {
  for (auto& [entry, was_held] : roster_.take_let_go()) {
    const auto id = entry.member.id;
    if (roster_.holds(id)) continue;
    if (was_held) {
      rpc_.set_addresses(id, {});
      unsaved_servers_.erase(id);
      unsaved_losses_.insert(id);
      save_wanted_.set();
      notify();
    }
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) continue;
    if (peer->second.up) roster_.add_visitor(std::move(entry));
    else peers_.erase(peer);
  }
}

Task<Result<Member>> GossipMembers::look_up(ServerId id) {
  if (auto known = find(id)) co_return std::move(*known);
  if (retired_by(id)) co_return fail(Errc::not_found, "server {} was retired by its person", id);
  if (!search) co_return fail(Errc::not_found, "no server {} is known here", id);
  CO_TRY(const auto record, co_await search(id));
  CO_TRY(auto entry, check_server_record(record, identity_.network));
  if (entry.member.id != id) co_return fail(Errc::invalid, "the record of server {} is that of {}", id, entry.member.id);
  CO_TRY_VOID(learn_record(record));
  if (auto known = find(id)) co_return std::move(*known);
  entry.member.may_hold = is_trusted(entry.member.person) && is_trusted(identity_.person);
  co_return std::move(entry.member);
}

Task<bool> GossipMembers::introduce(ServerId id) {
  constexpr Duration again_after = std::chrono::seconds(10);
  constexpr std::size_t remembered_max = 4096;
  if (const auto at = introductions_.find(id); at != introductions_.end()) {
    if (const auto running = at->second.running) {
      co_await running->wait();
      const auto after = introductions_.find(id);
      co_return after != introductions_.end() && after->second.taken;
    }
    if (runtime_.now() - at->second.at < again_after) co_return at->second.taken;
  }
  if (introductions_.size() >= remembered_max)
    std::erase_if(introductions_, [](const auto& one) { return !one.second.running; });
  const auto running = std::make_shared<Event>(runtime_.executor());
  introductions_[id] = {runtime_.now(), false, running};
  /// Also when it is cancelled: those who wait go on.
  struct End {
    std::map<ServerId, Introduction>& all;
    ServerId id;
    std::shared_ptr<Event> running;
    ~End() {
      if (const auto at = all.find(id); at != all.end() && at->second.running == running) at->second.running.reset();
      running->set();
    }
  } end{introductions_, id, running};
  const auto shown = co_await show_own_record(id);
  if (!shown) runtime_.log().debug("members: server {} does not know this one: {}", id, shown.error().message);
  introductions_[id].taken = shown.has_value();
  co_return shown.has_value();
}

// Own record ---------------------------------------------------------------------------------

void GossipMembers::publish_own(std::vector<Address> addresses, std::uint64_t capacity_bytes,
                                std::uint64_t free_bytes) {
  if (addresses.size() > Roster::addresses_max) addresses.resize(Roster::addresses_max);
  OwnFacts facts{std::move(addresses), capacity_bytes, std::min(free_bytes, capacity_bytes), {}};
  if (wanted_own_ == facts) return;
  wanted_own_ = std::move(facts);
  publish_wanted_.set();
}

void GossipMembers::set_place(PlaceDraw place) {
  if (place_ == place) return;
  place_ = std::move(place);
  publish_wanted_.set();
}

void GossipMembers::renew_own() {
  published_own_ = {};
  publish_wanted_.set();
}

Result<bool> GossipMembers::learn_record(const wire::Signed& record) {
  TRY(const bool fresh, roster_.accept(record));
  settle_view();
  if (fresh) records_changed({{}, {server_id(as_bytes(record.key()))}, {}}, std::nullopt);
  return fresh;
}

void GossipMembers::publish_reach(Reach reach) {
  if (reach.relays.size() > Roster::relays_max) reach.relays.resize(Roster::relays_max);
  if (wanted_reach_ == reach) return;
  wanted_reach_ = std::move(reach);
  publish_wanted_.set();
}

std::uint64_t GossipMembers::next_own_version() const {
  const auto now = static_cast<std::uint64_t>(std::max<WallMs>(runtime_.wall_ms(), 1));
  auto last = std::uint64_t{0};
  if (const auto* entry = roster_.find(identity_.server)) last = entry->version;
  if (const auto old = roster_.outdated().find(identity_.server); old != roster_.outdated().end())
    last = std::max(last, old->second.version);
  return std::max(now, last + 1);
}

Task<void> GossipMembers::publish_loop() {
  using namespace asio::experimental::awaitable_operators;
  TimePoint not_before = runtime_.now();
  for (;;) {
    co_await publish_wanted_.wait();
    publish_wanted_.reset();
    if (!wanted_own_ || retired_by(identity_.server) || !own_key_counts()) continue;
    const auto& was = published_own_;
    OwnFacts now = *wanted_own_;
    now.place = place_;
    const bool urgent = was.addresses != now.addresses || was.capacity_bytes != now.capacity_bytes ||
                        was.place != now.place || published_reach_ != wanted_reach_;
    const auto change = was.free_bytes > now.free_bytes ? was.free_bytes - now.free_bytes
                                                        : now.free_bytes - was.free_bytes;
    const bool matters = change > now.capacity_bytes / 50 ||
                         (was.free_bytes == 0) != (now.free_bytes == 0);
    if (!urgent && !matters) continue;
    if (!urgent && runtime_.now() < not_before) {
      // Something urgent may come while we wait; otherwise look again when the time has come.
      co_await (runtime_.sleep_until(not_before) || publish_wanted_.wait());
      publish_wanted_.set();
      continue;
    }
    const auto facts = now;
    const auto reach = wanted_reach_;
    const auto version = next_own_version();
    auto record = make_server_record(identity_, facts.addresses, facts.capacity_bytes,
                                     facts.free_bytes, version, facts.place ? &*facts.place : nullptr, reach);
    // Saved before anybody sees it, so that no restart ever falls back behind its version.
    std::vector<MemberStore::ServerRow> rows;
    rows.push_back({identity_.server, version, record});
    auto saved = co_await store_.save({}, std::move(rows));
    if (!saved) {
      runtime_.log().warning("members: own record not saved: {}", saved.error().message);
      co_await runtime_.sleep(options_.publish_every_min);
      publish_wanted_.set();
      continue;
    }
    if (auto accepted = roster_.accept(record); !accepted || !*accepted) {
      publish_wanted_.set();  // a higher version of ours came in meanwhile
      co_await runtime_.sleep(std::chrono::milliseconds(100));
      continue;
    }
    published_own_ = facts;
    published_reach_ = reach;
    not_before = runtime_.now() + options_.publish_every_min;
    records_changed({{}, {identity_.server}, {}}, std::nullopt);
    std::erase_if(introductions_, [](const auto& one) { return !one.second.running && !one.second.taken; });
    own_published_.wake_all();
  }
}

// Taking records in --------------------------------------------------------------------------

bool GossipMembers::take_allowance(const ServerId& from, std::size_t records, NetworkPrefix prefix) {
  const auto count = static_cast<double>(records);
  if (person_of(from)) return allowances_.take(from, count, runtime_.now());
  // Strangers share one allowance: there may be any number of them. One network must not use it all up.
  if (!prefix.is_none() && !prefix_allowances_.take(prefix.value, count, runtime_.now())) return false;
  return allowances_.take(ServerId{}, count, runtime_.now());
}

void GossipMembers::learn(const Records& admissions, const Records& records,
                          const Records& revocations, const Records& rotations, const ServerId& from) {
  std::optional<Error> refused;
  std::vector<wire::Signed> new_admissions;
  // An admission needs the rotations of its inviter, and those the admission in which he committed to the
  // recovery key. Each is looked at once, for inviters come before those whom they let in.
  std::map<PersonId, Records> by_person;
  for (const auto& record : rotations) {
    wire::Rotation message;
    if (!keys_.take || !message.ParseFromString(record.body())) continue;
    if (const auto person = PersonId::from(message.person())) *by_person[*person].Add() = record;
  }
  const auto take_rotations_of = [&](const PersonId& person) {
    const auto found = by_person.find(person);
    if (found == by_person.end() || !roster_.is_admitted(person)) return;
    keys_.take(found->second, from);
    by_person.erase(found);
  };
  for (const auto& admission : admissions) {
    wire::Admission message;
    if (!by_person.empty() && message.ParseFromString(admission.body())) {
      if (const auto inviter = PersonId::from(message.inviter())) take_rotations_of(*inviter);
    }
    auto done = roster_.admit(admission);
    if (!done) refused = std::move(done).error();
    else if (*done) new_admissions.push_back(admission);
  }
  Records rest;
  for (const auto& [person, his] : by_person)
    if (roster_.is_admitted(person)) rest.MergeFrom(his);
  if (!rest.empty()) keys_.take(rest, from);
  std::vector<wire::Signed> new_revocations;
  for (const auto& revocation : revocations) {
    auto done = roster_.revoke(revocation);
    if (!done) refused = std::move(done).error();
    else if (*done) new_revocations.push_back(revocation);
  }
  std::vector<ServerId> changed;
  for (const auto& record : records) {
    auto done = roster_.accept(record);
    if (!done) refused = std::move(done).error();
    else if (*done) changed.push_back(server_id(as_bytes(record.key())));
  }
  settle_view();
  std::erase_if(changed, [&](const ServerId& id) { return !roster_.holds(id); });
  if (refused)
    runtime_.log().warning("members: a record from {} is refused: {}", from, refused->message);
  if (std::ranges::find(changed, identity_.server) != changed.end()) {
    // A newer record of our own: this drive was set back. Say anew what is true now.
    published_own_ = {};
    publish_wanted_.set();
  }
  if (!new_admissions.empty() || !changed.empty() || !new_revocations.empty())
    records_changed({std::move(new_admissions), std::move(changed), std::move(new_revocations)},
                    from);
}

/// A peer refused us, and says that we are retired.
void GossipMembers::barred_by(const ServerId& id, std::string proof) {
  Records revocations;
  if (!revocations.Add()->ParseFromString(proof)) return;
  if (take_allowance(id, 1)) learn({}, {}, revocations, {}, id);
}

Task<Result<void>> GossipMembers::retire(ServerId id) {
  const auto* entry = roster_.find(id);
  const auto outdated = roster_.outdated().find(id);
  if (!entry && outdated != roster_.outdated().end()) entry = &outdated->second;
  if (!entry) co_return fail(Errc::not_found, "no server {} is known", id);
  if (entry->member.person != identity_.person)
    co_return fail(Errc::denied, "server {} belongs to person {}: only that person can retire it",
                   id, entry->member.person);
  if (id == identity_.server)
    co_return fail(Errc::invalid, "server {} is the one that is asked: ask another server of the "
                   "person", id);
  if (!own_key_counts()) co_return fail(Errc::denied, "{}", key_was_changed);
  const auto record = make_revocation(identity_.person_key, identity_.network, entry->record,
                                      runtime_.wall_ms());
  Roster trial = roster_;
  CO_TRY_VOID(trial.revoke(record));
  // Saved before anybody sees it: what the others were told must not be forgotten here.
  std::vector<MemberStore::RevocationRow> rows;
  rows.push_back({id, record});
  CO_TRY_VOID(co_await store_.save({}, {}, std::move(rows)));
  CO_TRY(const bool fresh, roster_.revoke(record));
  if (fresh) records_changed({{}, {}, {record}}, std::nullopt);
  co_return Result<void>{};
}

/// The server is told why, if it can be; then there are no connections with it any more.
Task<void> GossipMembers::part_with(ServerId id, std::string push, std::string proof) {
  if (const auto peer = peers_.find(id); peer != peers_.end() && peer->second.up)
    co_await push_to(id, std::move(push));
  rpc_.bar(id, retired_words, std::move(proof));
  peers_.erase(id);
}

void GossipMembers::records_changed(News news, std::optional<ServerId> from) {
  auto& [admissions, servers, revocations] = news;
  wire::PushRequest push;
  Batch batch;
  for (auto& record : admissions) {
    auto facts = check_admission(record, identity_.network);
    batch.add(push.mutable_admissions(), record);
    unsaved_admissions_.push_back({facts->person, std::move(record)});
  }
  for (const auto& record : revocations) batch.add(push.mutable_revocations(), record);
  for (const auto& id : servers) {
    if (!roster_.holds(id)) continue;  // retired in the same breath
    batch.add(push.mutable_records(), roster_.find(id)->record);
    keep(id);
  }
  save_wanted_.set();
  notify();
  add_rotations(push);

  std::vector<ServerId> targets;
  for (const auto& [id, peer] : peers_) {
    if (peer.up && id != from && roster_.find(id)) targets.push_back(id);
  }
  // Everyone passes on what is new to him, so a part of the others is enough. But a server of which not
  // everybody knows tells all who are connected, for they are the ones who do.
  const bool own_alone = servers == std::vector{identity_.server} && push.admissions_size() == 0 &&
                         push.revocations_size() == 0;
  const std::size_t fanout = own_alone && !is_complete() ? targets.size() : options_.push_fanout;
  for (std::size_t i = 0; i < targets.size() && i < fanout; ++i)
    std::swap(targets[i], targets[i + runtime_.chance().below(targets.size() - i)]);
  if (targets.size() > fanout) targets.resize(fanout);
  const auto body = push.SerializeAsString();
  counts_.records += targets.size() * static_cast<std::uint64_t>(push.records_size());
  for (const auto& id : targets) tasks_.spawn(push_to(id, body));

  for (auto& record : revocations) {
    const auto facts = check_revocation(record, identity_.network);
    const auto& id = facts->server;
    runtime_.log().info("server {} was retired by its person {}", id, facts->person);
    unsaved_servers_.erase(id);
    auto proof = record.SerializeAsString();
    unsaved_revocations_.push_back({id, std::move(record)});
    if (id != identity_.server) {
      tasks_.spawn(part_with(id, body, std::move(proof)));
      continue;
    }
    for (const auto& [other, entry] : roster_.servers()) rpc_.set_addresses(other, {});  // all refuse us
  }
}

Task<void> GossipMembers::push_to(ServerId id, std::string body) {
  auto reply = co_await rpc_.call(id, {method::members_push, std::move(body), {}},
                                  {.timeout = options_.call_timeout});
  // Whoever missed it gets it when the two compare.
  if (!reply) runtime_.log().debug("members: push to {}: {}", id, reply.error().message);
}

Task<void> GossipMembers::save_loop() {
  for (;;) {
    co_await save_wanted_.wait();
    co_await runtime_.sleep(std::chrono::milliseconds(200));  // what comes together is saved together
    save_wanted_.reset();
    std::vector<MemberStore::ServerRow> servers;
    for (const auto& [id, row] : unsaved_servers_) servers.push_back(row);
    auto admissions = unsaved_admissions_;
    const auto admission_count = admissions.size();
    auto revocations = unsaved_revocations_;
    const auto revocation_count = revocations.size();
    const auto losses = std::exchange(unsaved_losses_, {});
    auto saved = co_await store_.save(std::move(admissions), servers, std::move(revocations),
                                      {losses.begin(), losses.end()});
    if (!saved) {
      runtime_.log().warning("members: not saved: {}", saved.error().message);
      for (const auto& id : losses)
        if (!roster_.holds(id)) unsaved_losses_.insert(id);
      save_wanted_.set();
      co_await runtime_.sleep(std::chrono::seconds(10));
      continue;
    }
    unsaved_admissions_.erase(unsaved_admissions_.begin(),
                              unsaved_admissions_.begin() +
                                  static_cast<std::ptrdiff_t>(admission_count));
    unsaved_revocations_.erase(unsaved_revocations_.begin(),
                               unsaved_revocations_.begin() +
                                   static_cast<std::ptrdiff_t>(revocation_count));
    for (const auto& row : servers) {
      const auto at = unsaved_servers_.find(row.id);
      if (at != unsaved_servers_.end() && at->second.version == row.version)
        unsaved_servers_.erase(at);
    }
  }
}

// Talking to the others ----------------------------------------------------------------------

void GossipMembers::reachability_changed(const ServerId& id, bool up) {
  if (!up) {
    introductions_.erase(id);
    roster_.forget_visitor(id);
  }
  const bool member = roster_.find(id) != nullptr;
  if (!member && !up) {
    peers_.erase(id);
    return;
  }
  auto& peer = peers_[id];
  if (peer.up == up) return;
  peer.up = up;
  peer.seen = true;
  peer.since = runtime_.now();
  const auto outdated = roster_.outdated().find(id);
  if (!member && outdated != roster_.outdated().end()) tell_of_rotation(id, outdated->second.member.person);
  if (member) {
    notify();
    if (up) tasks_.spawn(sync_with(id));
  }
}

void GossipMembers::observed(const std::string& host) {
  if (host.empty() || host.size() > 255 || host == observed_host_) return;
  if (host.find('%') != std::string::npos) return;  // means something on one link only
  if (auto address = Address::parse(Address{host, 1}.text()); !address) return;
  observed_host_ = host;
  if (on_observed_host) on_observed_host();
}

Task<void> GossipMembers::sync_loop() {
  for (;;) {
    const auto jitter = 0.5 + runtime_.chance().unit();
    co_await runtime_.sleep(std::chrono::duration_cast<Duration>(options_.sync_every * jitter));
    std::vector<ServerId> up;
    for (const auto& [id, peer] : peers_) {
      if (peer.up && roster_.find(id)) up.push_back(id);
    }
    for (int i = 0; i < 3 && !up.empty(); ++i) {
      const auto at = up.begin() + static_cast<std::ptrdiff_t>(runtime_.chance().below(up.size()));
      tasks_.spawn(sync_with(*at));
      up.erase(at);
    }
  }
}

Task<void> GossipMembers::sync_with(ServerId id) {
  const auto peer = peers_.find(id);
  if (peer == peers_.end() || peer->second.syncing) co_return;
  peer->second.syncing = true;
  auto done = co_await sync_once(id);
  if (!done && done.error().code == Errc::denied) {
    // It does not know us yet: tell it who we are, then compare.
    if (co_await introduce(id)) done = co_await sync_once(id);
  }
  if (!done) runtime_.log().debug("members: comparing with {}: {}", id, done.error().message);
  if (const auto after = peers_.find(id); after != peers_.end()) after->second.syncing = false;
}

wire::SyncRequest GossipMembers::sync_request(bool with_list) const {
  wire::SyncRequest request;
  request.set_digest(roster_.digest().raw());
  request.set_common_digest(roster_.common_digest().raw());
  request.set_full(roster_.is_full());
  if (const auto* own = roster_.find(identity_.server)) request.set_own_version(own->version);
  if (!with_list) return request;
  request.set_with_list(true);
  if (!roster_.is_full()) {
    for (const auto& [server, entry] : roster_.servers()) {
      auto* have = request.add_have();
      have->set_server(server.raw());
      have->set_version(entry.version);
    }
  }
  for (const auto& person : roster_.persons()) request.add_persons(person.raw());
  for (const auto& [server, revoked] : roster_.revoked()) request.add_revoked(server.raw());
  return request;
}

Task<Result<void>> GossipMembers::sync_once(ServerId id) {
  // Bounded: each round either ends in agreement or brings a full batch of records.
  for (int round = 0; round < 64; ++round) {
    const auto request = sync_request(round > 0);
    ++counts_.comparisons;
    counts_.lists += round > 0;
    CO_TRY(auto answer, co_await rpc_.call(id, {method::members_sync, request.SerializeAsString(), {}},
                                           {.timeout = options_.call_timeout}));
    wire::SyncReply reply;
    if (!reply.ParseFromString(answer.body))
      co_return fail(Errc::invalid, "server {} sent an answer that cannot be read", id);
    observed(reply.observed_host());
    if (const auto peer = peers_.find(id); peer != peers_.end()) peer->second.full = reply.full();
    // Whoever has room left asks one who has none for servers, whatever the two agree on.
    if (reply.same() && (!reply.full() || roster_.is_full())) co_return Result<void>{};
    if (round == 0) continue;
    learn(reply.admissions(), reply.records(), reply.revocations(), reply.rotations(), id);

    wire::PushRequest push;
    Batch batch;
    bool all = true;
    for (const auto& raw : reply.wanted_persons()) {
      CO_TRY(auto person, PersonId::from(raw));
      for (const auto& admission : roster_.chain_of(person))
        all = batch.add(push.mutable_admissions(), admission) && all;
    }
    for (const auto& raw : reply.wanted_servers()) {
      CO_TRY(auto server, ServerId::from(raw));
      if (const auto* entry = roster_.find(server))
        all = batch.add(push.mutable_records(), entry->record) && all;
    }
    for (const auto& raw : reply.wanted_revocations()) {
      CO_TRY(auto server, ServerId::from(raw));
      if (const auto at = roster_.revoked().find(server); at != roster_.revoked().end())
        all = batch.add(push.mutable_revocations(), at->second.record) && all;
    }
    counts_.records += static_cast<std::uint64_t>(push.records_size());
    if (push.admissions_size() + push.records_size() + push.revocations_size() > 0) {
      add_rotations(push);
      CO_TRY_VOID(co_await rpc_.call(id, {method::members_push, push.SerializeAsString(), {}},
                                     {.timeout = options_.call_timeout}));
    }
    if (all && !reply.more()) co_return Result<void>{};
  }
  co_return Result<void>{};
}

Task<Result<void>> GossipMembers::show_own_record(ServerId id) {
  const auto* entry = roster_.find(identity_.server);
  if (!entry) co_return fail(Errc::unavailable, "no record of our own yet");
  wire::PushRequest push;
  for (const auto& admission : roster_.chain_of(identity_.person))
    *push.add_admissions() = admission;
  *push.add_records() = entry->record;
  ++counts_.introductions;
  add_rotations(push);
  CO_TRY_VOID(co_await rpc_.call(id, {method::members_push, push.SerializeAsString(), {}},
                                 {.timeout = options_.call_timeout}));
  co_return Result<void>{};
}

void GossipMembers::fill_difference(const wire::SyncRequest& request, wire::SyncReply& reply,
                                    const ServerId& caller) const {
  Batch batch;
  bool all = true;
  std::set<std::string_view> their_persons(request.persons().begin(), request.persons().end());
  std::set<PersonId> our_persons;
  for (const auto& person : roster_.persons()) our_persons.insert(person);
  for (const auto& admission : roster_.admissions()) {
    auto facts = check_admission(admission, identity_.network);
    if (!facts || their_persons.contains(as_text(facts->person.view()))) continue;
    all = batch.add(reply.mutable_admissions(), admission) && all;
  }
  for (const auto& raw : request.persons()) {
    auto person = PersonId::from(raw);
    if (person && !our_persons.contains(*person)) reply.add_wanted_persons(raw);
  }

  std::set<std::string_view> their_revoked(request.revoked().begin(), request.revoked().end());
  for (const auto& [id, revoked] : roster_.revoked()) {
    if (their_revoked.erase(as_text(id.view())) == 0)
      all = batch.add(reply.mutable_revocations(), revoked.record) && all;
  }
  std::size_t revocations_wanted = 0;
  for (const auto raw : their_revoked) {
    if (raw.size() == ServerId::size_bytes && ++revocations_wanted <= Roster::revocations_max)
      reply.add_wanted_revocations(std::string(raw));
  }

  fill_servers(request, reply, caller, [&](const wire::Signed& record) {
    return all = batch.add(reply.mutable_records(), record) && all;
  });
  reply.set_more(!all);
}

/// A caller with room left is told of servers; one asks for them oneself only with room left.
void GossipMembers::fill_servers(const wire::SyncRequest& request, wire::SyncReply& reply,
                                 const ServerId& caller,
                                 const std::function<bool(const wire::Signed&)>& add) const {
  const bool full = roster_.is_full();
  if (full || request.full()) {
    const auto* known = roster_.find(caller);
    if (!known || known->version < request.own_version()) reply.add_wanted_servers(caller.raw());
  }
  if (request.full()) return;
  std::map<std::string_view, std::uint64_t> theirs;
  for (const auto& have : request.have()) theirs[have.server()] = have.version();
  each_from(caller, roster_.servers(), [&](const ServerId& id, const Roster::Entry& entry) {
    const auto at = theirs.find(as_text(id.view()));
    const auto their_version = at == theirs.end() ? 0 : at->second;
    if (their_version < entry.version) {
      add(entry.record);
    } else if (their_version > entry.version && !full) {
      reply.add_wanted_servers(id.raw());
    }
    if (at != theirs.end()) theirs.erase(at);
  });
  if (full) return;
  std::size_t wanted = 0;
  for (const auto& [raw, version] : theirs) {  // those we have never heard of
    const auto id = ServerId::from(raw);
    if (!id || roster_.revoked().contains(*id)) continue;
    const auto outdated = roster_.outdated().find(*id);
    if (outdated != roster_.outdated().end() && outdated->second.version >= version) continue;
    if (++wanted > options_.view_max) continue;
    reply.add_wanted_servers(std::string(raw));
  }
}

Task<Result<RpcReply>> GossipMembers::handle_sync(Caller caller, RpcRequest request) {
  wire::SyncRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "members.sync: a request that cannot be read");
  if (!person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not known here as a member", caller.server);
  wire::SyncReply reply;
  if (!caller.relayed) reply.set_observed_host(caller.remote.host);
  reply.set_full(roster_.is_full());
  if (const auto peer = peers_.find(caller.server); peer != peers_.end()) peer->second.full = message.full();
  if (reply.full() || message.full()) {
    // Two views that are not the whole network differ, and go on differing.
    const auto* known = roster_.find(caller.server);
    reply.set_same(!message.with_list() && message.common_digest() == roster_.common_digest().raw() && known &&
                   known->version >= message.own_version());
  } else {
    reply.set_same(message.digest() == roster_.digest().raw());
  }
  if (!reply.same() && message.with_list()) {
    // A list costs work to compare; the number of its entries is bounded by the RPC's body.
    if (!take_allowance(caller.server, 1))
      co_return fail(Errc::busy, "server {} compares members too often", caller.server);
    fill_difference(message, reply, caller.server);
    wire::PushRequest told;
    *told.mutable_admissions() = reply.admissions();
    *told.mutable_records() = reply.records();
    *told.mutable_revocations() = reply.revocations();
    add_rotations(told);
    reply.mutable_rotations()->Swap(told.mutable_rotations());
    counts_.records += static_cast<std::uint64_t>(reply.records_size());
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<RpcReply>> GossipMembers::handle_push(Caller caller, RpcRequest request) {
  wire::PushRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "members.push: a request that cannot be read");
  const auto count = static_cast<std::size_t>(message.admissions_size() + message.records_size() +
                                              message.revocations_size() + message.rotations_size());
  if (!take_allowance(caller.server, count, NetworkPrefix::of(caller.remote)))
    co_return fail(Errc::busy, "server {} pushes too many records", caller.server);
  learn(message.admissions(), message.records(), message.revocations(), message.rotations(), caller.server);
  // By what it shows itself: so many others may have come with that person's old key that it is not held here.
  for (const auto& record : message.records()) {
    if (server_id(as_bytes(record.key())) != caller.server) continue;
    const auto entry = check_server_record(record, identity_.network);
    if (entry && entry->certified_by != key_of(entry->member.person) &&
        was_key_of(entry->certified_by, entry->member.person))
      tell_of_rotation(caller.server, entry->member.person);
    break;
  }
  if (!person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not known here as a member", caller.server);
  co_return RpcReply{wire::PushReply().SerializeAsString(), {}};
}

// Letting others in --------------------------------------------------------------------------

Task<Result<std::string>> GossipMembers::invite(Duration valid_for) {
  if (!own_key_counts()) co_return fail(Errc::denied, "{}", key_was_changed);
  Invite invite;
  invite.addresses = own().addresses;
  if (invite.addresses.empty())
    co_return fail(Errc::unavailable, "this server knows no address under which others could reach "
                   "it: give it one with --listen HOST:PORT or advertise in spatter.toml");
  if (invite.addresses.size() > invite_addresses_max) invite.addresses.resize(invite_addresses_max);
  invite.network = identity_.network;
  invite.inviter = identity_.server;
  invite.secret.resize(invite_secret_bytes);
  runtime_.entropy().fill(invite.secret);
  const auto now = runtime_.wall_ms();
  invite.expires_ms =
      now + std::chrono::duration_cast<std::chrono::milliseconds>(valid_for).count();
  CO_TRY_VOID(co_await store_.add_invite(secret_hash(invite.secret), now, invite.expires_ms));
  co_return to_link(invite);
}

Task<Result<RpcReply>> GossipMembers::handle_join(Caller caller, RpcRequest request) {
  wire::JoinRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "members.join: a request that cannot be read");
  const auto hash = secret_hash(as_bytes(message.secret()));
  CO_TRY_VOID(co_await store_.check_invite(hash, runtime_.wall_ms(), caller.server));
  CO_TRY(auto entry, check_server_record(message.record(), identity_.network));
  if (entry.member.id != caller.server)
    co_return fail(Errc::denied, "server {} brought the record of server {}", caller.server,
                   entry.member.id);

  // Whoever has the words can make the key that counts, once he knows which that is.
  const auto person = entry.member.person;
  if (entry.certified_by != key_of(person) && was_key_of(entry.certified_by, person)) {
    wire::JoinReply reply;
    reply.set_person_key(key_of(person).raw());
    co_return RpcReply{reply.SerializeAsString(), {}};
  }

  // Wrong words are somebody's right ones: without this they would leave a member that nobody wants.
  if (message.recover() && check_recovery)
    CO_TRY_VOID(co_await check_recovery(entry.member.person));

  // Everything is tried on a copy first: an invite is not spent on what would be refused.
  Roster trial = roster_;
  std::optional<MemberStore::AdmissionRow> admission;
  if (!trial.is_admitted(entry.member.person)) {
    std::optional<RecoveryClaim> recovery;
    if (!message.recovery().empty()) {
      CO_TRY(const auto digest, Digest::from(message.recovery()));
      recovery = {digest, message.recovery_signature()};
      CO_TRY_VOID(check_recovery_claim(*recovery, identity_.network, person));
    }
    admission = {person, make_admission(identity_.person_key, identity_.network, person,
                                        runtime_.wall_ms(), identity_.person, recovery)};
    CO_TRY_VOID(trial.admit(admission->record));
  }
  CO_TRY_VOID(trial.accept(message.record()));
  CO_TRY_VOID(co_await store_.use_invite(hash, runtime_.wall_ms(), admission,
                                         {entry.member.id, entry.version, message.record()}));

  std::vector<wire::Signed> new_admissions;
  if (admission) {
    CO_TRY(const bool fresh, roster_.admit(admission->record));
    if (fresh) new_admissions.push_back(admission->record);
  }
  CO_TRY(const bool fresh, roster_.accept(message.record()));
  settle_view();
  std::vector<ServerId> changed;
  if (fresh && roster_.holds(entry.member.id)) changed.push_back(entry.member.id);
  if (!roster_.holds(entry.member.id)) {  // the view has none for it; it will come and say who it is
    unsaved_losses_.insert(entry.member.id);
    save_wanted_.set();
  }
  if (fresh || !new_admissions.empty()) {
    runtime_.log().info("server {} of person {} has joined", entry.member.id, entry.member.person);
    records_changed({std::move(new_admissions), std::move(changed), {}}, caller.server);
  }

  CO_TRY(auto contents, co_await store_.load());
  wire::JoinReply reply;
  if (contents.genesis) *reply.mutable_genesis() = *contents.genesis;
  reply.set_observed_host(caller.remote.host);
  Batch batch;
  batch.add(reply.mutable_records(), message.record());
  for (const auto& record : roster_.chain_of(entry.member.person))
    batch.add(reply.mutable_admissions(), record);
  if (const auto* mine = roster_.find(identity_.server)) {
    for (const auto& record : roster_.chain_of(identity_.person))
      batch.add(reply.mutable_admissions(), record);
    batch.add(reply.mutable_records(), mine->record);
  }
  // As much of the rest as fits; comparing brings what does not.
  for (const auto& record : roster_.admissions()) batch.add(reply.mutable_admissions(), record);
  each_from(caller.server, roster_.servers(), [&](const ServerId& id, const Roster::Entry& other) {
    if (id != identity_.server) batch.add(reply.mutable_records(), other.record);
  });
  wire::PushRequest told;
  *told.mutable_admissions() = reply.admissions();
  *told.mutable_records() = reply.records();
  add_rotations(told);
  // What the person's servers were before he changed his key: they have signed stripes of his.
  for (const auto& [id, other] : roster_.outdated())
    if (other.member.person == person) batch.add(reply.mutable_records(), other.record);
  reply.mutable_rotations()->Swap(told.mutable_rotations());
  reply.set_person_key(key_of(person).raw());
  co_return RpcReply{reply.SerializeAsString(), {}};
}

}  // namespace spatter
