#include "node/directory_desk.h"

#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <unordered_set>

#include "crypto/hash.h"
#include "directory/place_rule.h"
#include "net/methods.h"
#include "wire/proto/directory.pb.h"

namespace spatter {

using namespace std::chrono_literals;

namespace {

constexpr Duration together = 200ms;  // what changes at one time is looked at together
constexpr Duration look_again = 10s;
constexpr Duration draw_timeout = 5s;
/// A person draws so many places for the servers of another at once, and then one an hour: nobody gets
/// many places in a short time.
constexpr double draw_burst = 8, draws_per_s = 1.0 / 3600;
/// In a network that the siblings cannot hold whole, a newcomer needs help to find its neighbours.
constexpr std::size_t helpers = 3;
constexpr std::size_t first_contacts = 64;

std::uint64_t word_of(const Digest& digest) {
  std::uint64_t word;
  std::memcpy(&word, digest.bytes.data(), sizeof word);
  return word | 1;  // 0 stands for nothing published
}

}  // namespace

DirectoryDesk::DirectoryDesk(Parts parts, DirectoryDeskOptions options)
    : parts_(parts), options_(options),
      judge_({parts.identity.network,
              [this](const ServerId& server, const PersonId& person) { return may_enter(server, person); },
              [this](const PlaceFacts& place, const ServerId& server, const PersonId& owner) {
                return place.epoch <= parts_.trust.epoch() + 1 &&
                       is_place_drawer(place.drawer, server, owner, trusted_, place_drawers_valid);
              }}),
      validators_(record_validators(
          judge_, {parts.identity.network,
                   [this](const ServerId& server, const PersonId& person) { return may_enter(server, person); },
                   [this](const PersonId& key, const PersonId& person) {
                     return std::ranges::binary_search(trusted_, person) &&
                            key == parts_.trust.standings().of(person).key;
                   },
                   [this](WallMs moment) { return parts_.trust.genesis().epoch_of(moment); }})),
      link_(parts.rpc, judge_, validators_),
      service_(parts.runtime, parts.rpc, [this] { return directory_; }, judge_, validators_,
               [this](const ServerId& server) -> std::optional<PersonId> {
                 const auto person = parts_.members.person_of(server);
                 if (!person || !may_enter(server, *person)) return std::nullopt;
                 return person;
               }),
      draws_(draw_burst, draws_per_s), publishing_(parts.runtime.executor()),
      publish_wanted_(parts.runtime.executor()),
      changed_(parts.runtime.executor()), tasks_(parts.runtime.executor()) {}

DirectoryDesk::~DirectoryDesk() = default;

void DirectoryDesk::start() {
  parts_.rpc.serve(method::directory_place, [this](Caller caller, RpcRequest request) {
    return handle_place(std::move(caller), std::move(request));
  });
  subscription_ = parts_.members.subscribe([this] { changed_.set(); });
  changed_.set();
  tasks_.spawn(follow());
  tasks_.spawn(publish_loop());
}

Task<void> DirectoryDesk::stop() {
  if (subscription_) parts_.members.unsubscribe(std::exchange(subscription_, 0));
  co_await tasks_.stop();
  co_await close();
}

std::string DirectoryDesk::why_absent() const { return directory_ ? std::string() : absent_because_; }

// Coming in ----------------------------------------------------------------------------------

bool DirectoryDesk::may_enter(const ServerId& server, const PersonId& person) const {
  return std::ranges::binary_search(trusted_, person) && !retired_.contains(server);
}

/// Whoever is trusted no longer, or was retired, leaves the table, and his records count no more: others
/// refuse what brings them, and all that comes with them.
void DirectoryDesk::look_at_trust() {
  std::vector<PersonId> trusted;
  for (const PersonId& person : parts_.members.roster().persons())
    if (parts_.members.is_trusted(person)) trusted.push_back(person);
  std::set<ServerId> retired;
  std::set<PersonId> concerned;
  for (const auto& [id, revoked] : parts_.members.roster().revoked()) {
    retired.insert(id);
    if (!retired_.contains(id)) concerned.insert(revoked.person);
  }
  std::ranges::set_difference(trusted_, trusted, std::inserter(concerned, concerned.end()));
  if (trusted == trusted_ && retired == retired_) return;
  trusted_ = std::move(trusted);
  retired_ = std::move(retired);
  if (concerned.empty()) return;
  judge_.forget_all();
  if (!directory_) return;
  DirectoryCore& core = directory_->core();
  core.table().forget_if([this](const Contact& contact) { return !may_enter(contact.id, contact.person); },
                          parts_.runtime.now());
  const auto counts_no_more = [&](const Record& record) {
    return concerned.contains(record.facts.person) && !validators_.check(record.key, record.value);
  };
  core.store().forget_if(counts_no_more);
  core.cache().forget_if(counts_no_more);
}

/// Whether the own place was drawn by somebody who may still have drawn it.
bool DirectoryDesk::has_good_place() {
  const auto& shown = parts_.members.place();
  if (!shown) return false;
  if (place_judged_ != shown) {
    place_judged_ = shown;
    place_.reset();
    const auto facts = check_place_draw(parts_.identity.network, parts_.identity.server_key.public_key(),
                                        shown->draw, shown->proof);
    if (facts) place_ = Place{facts->drawer, facts->epoch};
  }
  return place_ && is_place_drawer(place_->drawer, parts_.identity.server, parts_.identity.person, trusted_,
                                   place_drawers_kept);
}

Task<Result<PlaceDraw>> DirectoryDesk::ask_for_draw(ServerId server) {
  CO_TRY(const auto reply, co_await parts_.rpc.call(
                               server, {method::directory_place, wire::DirectoryPlaceRequest().SerializeAsString(), {}},
                               {.timeout = draw_timeout}));
  wire::DirectoryPlaceReply drawn;
  if (!drawn.ParseFromString(reply.body))
    co_return fail(Errc::invalid, "server {} sent an answer that cannot be read", server);
  const auto draw = as_bytes(drawn.draw());
  const auto proof = as_bytes(drawn.proof());
  CO_TRY_VOID(check_place_draw(parts_.identity.network, parts_.identity.server_key.public_key(), draw, proof));
  co_return PlaceDraw{{draw.begin(), draw.end()}, {proof.begin(), proof.end()}};
}

/// True: a place was drawn, and comes with the next own record.
Task<bool> DirectoryDesk::obtain_place(std::size_t drawers) {
  const auto& own = parts_.identity;
  const auto turns = place_drawers(own.server, own.person, trusted_, drawers);
  if (turns.front() == own.person) {
    parts_.members.set_place(
        make_place_draw(own.person_key, own.network, parts_.trust.epoch(), own.server_key.public_key()));
    co_return true;
  }
  absent_because_ = "nobody has drawn its place yet: the persons whom chance names for it are not up";
  for (const PersonId& person : turns) {
    for (const Member& member : parts_.members.others()) {
      if (member.person != person || !member.up) continue;
      auto drawn = co_await ask_for_draw(member.id);
      if (drawn) {
        parts_.members.set_place(std::move(*drawn));
        co_return true;
      }
      parts_.runtime.log().debug("directory: server {} draws no place for this one: {}", member.id,
                                 drawn.error().message);
    }
  }
  co_return false;
}

Task<Result<RpcReply>> DirectoryDesk::handle_place(Caller caller, RpcRequest) {
  const auto member = parts_.members.find(caller.server);
  if (!member || !may_enter(member->id, member->person))
    co_return fail(Errc::denied, "server {} is of no trusted person known here", caller.server);
  const auto& own = parts_.identity;
  if (!is_place_drawer(own.person, member->id, member->person, trusted_, place_drawers_valid))
    co_return fail(Errc::denied, "person {} is not one to draw the place of server {}", own.person, member->id);
  if (!draws_.take(member->person, 1, parts_.runtime.now()))
    co_return fail(Errc::busy, "enough places have been drawn for person {} lately", member->person);
  const auto place = make_place_draw(own.person_key, own.network, parts_.trust.epoch(), member->key);
  wire::DirectoryPlaceReply reply;
  reply.set_draw(place.draw.data(), place.draw.size());
  reply.set_proof(place.proof.data(), place.proof.size());
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Result<ContactPtr> DirectoryDesk::own_contact() {
  const auto* entry = parts_.members.roster().find(parts_.identity.server);
  if (!entry) return fail(Errc::not_found, "no record of our own yet");
  return judge_.judge(as_bytes(entry->record.SerializeAsString()));
}

/// Asks those who let this server's person in, and his other servers, who its neighbours are: a newcomer
/// that knows liars only could not find out by itself.
Task<std::vector<ContactPtr>> DirectoryDesk::helped(const ContactPtr& own) {
  std::vector<ContactPtr> result;
  const auto chain = parts_.members.roster().chain_of(parts_.identity.person);
  std::optional<PersonId> inviter;
  if (!chain.empty())
    if (auto person = PersonId::from(chain.back().key())) inviter = *person;
  std::size_t asked = 0;
  for (const Member& member : parts_.members.others()) {
    if (!member.up || asked == helpers) continue;
    if (member.person != parts_.identity.person && member.person != inviter) continue;
    ++asked;
    auto found = co_await link_.have_looked_up(member.id, own);
    if (found) result.insert(result.end(), found->begin(), found->end());
    else parts_.runtime.log().debug("directory: server {} does not help: {}", member.id, found.error().message);
  }
  co_return result;
}

Task<void> DirectoryDesk::open(ContactPtr own) {
  std::vector<ContactPtr> first;
  if (parts_.members.roster().servers().size() > options_.directory.table.siblings)
    first = co_await helped(own);
  auto others = parts_.members.others();
  for (std::size_t i = others.size(); i > 1; --i)
    std::swap(others[i - 1], others[parts_.runtime.chance().below(i)]);
  std::ranges::partition(others, &Member::up);
  for (const Member& member : others) {
    if (first.size() >= first_contacts) break;
    const auto* entry = parts_.members.roster().find(member.id);
    if (!entry) continue;
    if (auto contact = judge_.judge(as_bytes(entry->record.SerializeAsString()))) first.push_back(*contact);
  }
  directory_ = std::make_shared<Directory>(parts_.runtime, link_, std::move(own), validators_,
                                           options_.directory, options_.pace);
  directory_->start(first);
  publish_wanted_.set();
}

/// Cancelled while it waits, it leaves the directory where stop() finds it.
Task<void> DirectoryDesk::close() {
  const auto directory = directory_;
  if (!directory) co_return;
  co_await directory->stop();
  directory_.reset();
}

/// Tells the table of members that it would take. One after the other, for each costs a verification:
/// nobody else has to wait for all of them.
Task<void> DirectoryDesk::feed() {
  std::vector<ServerId> wanted;
  for (const auto& [id, entry] : parts_.members.roster().servers()) {
    if (id == parts_.identity.server || !may_enter(id, entry.member.person)) continue;
    Seen& seen = seen_[id];
    if (seen.version != entry.version) {
      const auto place = place_in(entry.record.body());
      seen = {entry.version, place ? std::optional(server_position(entry.member.key, place->draw)) : std::nullopt};
    }
    // Whoever is not up would be asked in vain, and told of again the next time.
    if (seen.position && parts_.members.is_up(id) &&
        directory_->core().table().wants(id, entry.member.person, *seen.position, entry.version, parts_.runtime.now()))
      wanted.push_back(id);
  }
  for (const ServerId& id : wanted) {
    const auto* entry = parts_.members.roster().find(id);
    if (!entry) continue;
    auto contact = judge_.judge(as_bytes(entry->record.SerializeAsString()));
    if (contact) directory_->tell(*contact);
    else parts_.runtime.log().debug("directory: server {} is no contact: {}", id, contact.error().message);
    co_await asio::post(parts_.runtime.executor(), asio::use_awaitable);
  }
}

Task<void> DirectoryDesk::follow() {
  using namespace asio::experimental::awaitable_operators;
  constexpr Duration patience_first = 2s, patience_most = 60s;
  Duration patience = patience_first;
  for (;;) {
    // Also without news: who did not answer when the table was told of him may do so now.
    co_await (changed_.wait() || parts_.runtime.sleep(look_again));
    co_await parts_.runtime.sleep(together);
    changed_.reset();
    look_at_trust();
    if (!may_enter(parts_.identity.server, parts_.identity.person)) {
      absent_because_ = "its person is not trusted yet";
      co_await close();
      continue;
    }
    if (!has_good_place()) {
      // Those asked first may be off for long: then those that others accept as well.
      const bool impatient = patience >= patience_most;
      if (co_await obtain_place(impatient ? place_drawers_kept : place_drawers_asked)) {
        patience = patience_first;
        absent_because_ = "its record is being made";
        continue;  // the new record comes as a change
      }
      co_await (parts_.runtime.sleep(patience) || changed_.wait());
      patience = std::min(2 * patience, patience_most);
      changed_.set();
      continue;
    }
    const auto own = own_contact();
    if (!own) continue;  // the record with the place is being made
    if (directory_ && directory_->core().own()->position != (*own)->position) co_await close();
    if (!directory_) co_await open(*own);
    else if (directory_->core().own()->version < (*own)->version) {
      directory_->set_own(*own);
      publish_wanted_.set();
    }
    co_await feed();
  }
}

// Asking -------------------------------------------------------------------------------------

Task<Result<DirectoryDesk::Answer>> DirectoryDesk::get(RecordKey key) {
  const auto directory = directory_;
  if (!directory) co_return fail(Errc::unavailable, "this server is not in the directory: {}", why_absent());
  const TimePoint began = parts_.runtime.now();
  Answer answer;
  CO_TRY(answer.found, co_await directory->look_up(key));
  answer.took = parts_.runtime.now() - began;
  co_return answer;
}

Task<Result<Duration>> DirectoryDesk::ping(ServerId id) {
  const auto directory = directory_;
  if (!directory) co_return fail(Errc::unavailable, "this server is not in the directory: {}", why_absent());
  if (id == parts_.identity.server) co_return fail(Errc::invalid, "server {} is this one", id);
  ContactPtr contact;
  for (const auto& known : directory->core().table().known())
    if (known.contact->id == id) contact = known.contact;
  if (!contact) {
    CO_TRY(const auto found, co_await directory->look_up(server_key_of(id)));
    CO_TRY(contact, judge_.judge(as_bytes(found.record->value)));
  }
  const TimePoint began = parts_.runtime.now();
  if (auto done = co_await directory->ping(contact); !done)
    co_return fail(std::move(done).error().during(fmt::format("server {} does not answer", id)));
  co_return parts_.runtime.now() - began;
}

// Publishing ---------------------------------------------------------------------------------

Task<void> DirectoryDesk::publish_loop() {
  using namespace asio::experimental::awaitable_operators;
  for (;;) {
    const auto spread = static_cast<std::uint64_t>(options_.look_every.count() / 4 + 1);
    co_await (parts_.runtime.sleep(options_.look_every + Duration(parts_.runtime.chance().below(spread))) ||
              publish_wanted_.wait());
    if (publish_wanted_.is_set()) co_await parts_.runtime.sleep(options_.publish_after);
    publish_wanted_.reset();
    if (!directory_) continue;
    co_await look_to_publish();
    co_await find_moved();
  }
}

Task<void> DirectoryDesk::publish_now() { return look_to_publish(); }

/// Something else than before, or long ago.
bool DirectoryDesk::is_due(const Published& before, std::uint64_t what) const {
  return before.what != what || parts_.runtime.now() - before.at > record_lasts / 4;
}

Task<bool> DirectoryDesk::publish(Published& before, std::uint64_t what, RecordKey key, std::string value) {
  const auto directory = directory_;
  if (!directory) co_return false;
  const auto stored = co_await directory->put(key, std::move(value));
  if (!stored) {
    parts_.runtime.log().debug("directory: not published: {}", stored.error().message);
    co_return false;
  }
  before = {what, parts_.runtime.now()};
  co_return true;
}

Task<void> DirectoryDesk::look_to_publish() {
  const auto permit = co_await publishing_.lock();
  const auto& own = parts_.identity;
  const auto* entry = parts_.members.roster().find(own.server);
  if (!entry || !directory_) co_return;
  const WallMs now = parts_.runtime.wall_ms();
  const auto quarter = std::chrono::duration_cast<std::chrono::milliseconds>(record_lasts / 4).count();
  if (now - static_cast<WallMs>(entry->version) > quarter) {
    parts_.members.renew_own();  // published when it has come
  } else if (is_due(server_published_, entry->version)) {
    (void)co_await publish(server_published_, entry->version, server_key_of(own.server),
                           entry->record.SerializeAsString());
  }

  // One of the person's servers that are up speaks for all of them.
  std::vector<ServerId> servers{own.server};
  bool speaks = true;
  for (const Member& member : parts_.members.others()) {
    if (member.person != own.person) continue;
    servers.push_back(member.id);
    speaks &= !member.up || own.server < member.id;
  }
  std::ranges::sort(servers);
  Sha256 hash;
  for (const ServerId& server : servers) hash.update(server.view());
  const auto servers_are = word_of(hash.finish());
  if (speaks && is_due(person_published_, servers_are))
    (void)co_await publish(person_published_, servers_are, person_key_of(own.person),
                           make_person_servers(own, servers, now));

  if (!own_data_) co_return;
  co_await publish_stripes();
  if (!own_data_) co_return;
  // Each epoch, but in networks with epochs of seconds not more often than is of use to anybody.
  const auto epoch = parts_.trust.epoch() + 1;
  if (health_published_.what != epoch &&
      (health_published_.what == 0 || parts_.runtime.now() - health_published_.at > 10min)) {
    HealthFacts facts = own_data_->health();
    facts.epoch = epoch - 1;
    facts.made_ms = now;
    if (facts.stripes > 0)
      (void)co_await publish(health_published_, epoch, health_key_of(facts.epoch, own.server), make_health(own, facts));
  }
}

Task<void> DirectoryDesk::publish_stripes() {
  // Nothing has changed and nothing expires soon: most of the time there is nothing to be looked at.
  const auto version = own_data_->stripes_version() + 1;
  const bool old = std::ranges::any_of(stripes_published_, [&](const auto& one) {
    return is_due(one.second, one.second.what);
  });
  if (version == stripes_seen_ && !old) co_return;
  const WallMs now = parts_.runtime.wall_ms();
  const auto settles = std::chrono::duration_cast<std::chrono::milliseconds>(options_.stripe_settles).count();
  bool all = true;
  std::size_t published = 0;
  auto stripes = own_data_->stripes();
  std::unordered_set<StripeId> there;
  for (const PublishedStripe& stripe : stripes) there.insert(stripe.stripe);
  std::erase_if(stripes_published_, [&](const auto& one) { return !there.contains(one.first); });
  for (PublishedStripe& stripe : stripes) {
    Sha256 hash;
    for (const HeldShards& held : stripe.holders) hash.update(held.holder.view()).update(held.indices);
    const auto what = word_of(hash.finish());
    Published& before = stripes_published_[stripe.stripe];
    if (!is_due(before, what)) continue;
    if (now - stripe.created_ms < settles || published == options_.stripes_at_once) {
      all = false;
      continue;
    }
    ++published;
    auto value = make_stripe_holders(parts_.identity, stripe.stripe, stripe.k, stripe.n, std::move(stripe.holders), now);
    const bool taken = co_await publish(before, what, stripe_key_of(stripe.stripe, parts_.identity.server),
                                        std::move(value));
    if (!own_data_) co_return;
    if (!taken) {  // the next would hardly fare better; later
      all = false;
      break;
    }
  }
  stripes_seen_ = all ? version : 0;
}

/// Members that cannot be reached may have moved, and told others.
Task<void> DirectoryDesk::find_moved() {
  constexpr Duration again_after = 10min;
  const TimePoint now = parts_.runtime.now();
  std::vector<ServerId> down;
  for (const Member& member : parts_.members.others()) {
    if (member.up) {
      looked_up_.erase(member.id);
      continue;
    }
    const auto last = looked_up_.find(member.id);
    if (last == looked_up_.end() || now - last->second > again_after) down.push_back(member.id);
  }
  for (std::size_t i = 0; i < down.size() && i < options_.members_at_once; ++i) {
    const auto directory = directory_;
    if (!directory) co_return;
    std::swap(down[i], down[i + parts_.runtime.chance().below(down.size() - i)]);
    looked_up_[down[i]] = parts_.runtime.now();
    const auto found = co_await directory->look_up(server_key_of(down[i]));
    if (!found) continue;
    wire::Signed record;
    if (!record.ParseFromString(found->record->value)) continue;
    if (auto learnt = parts_.members.learn_record(record); learnt && *learnt)
      parts_.runtime.log().info("directory: server {} has moved", down[i]);
  }
}

}  // namespace spatter
