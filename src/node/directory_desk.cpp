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
constexpr Duration waits_for_drawers = 60s;  // then it takes others, or another of its person's places
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
              [this](const PlaceFacts& place, const PersonId& owner) {
                return may_have(claim_of(owner, place.number, place.epoch, place.drawers));
              },
              [this](const PersonId& key, const PersonId& person) { return key == parts_.trust.key_of(person); }}),
      validators_(record_validators(
          judge_, {parts.identity.network,
                   [this](const ServerId& server, const PersonId& person) { return may_enter(server, person); },
                   [this](const PersonId& key, const PersonId& person) {
                     return std::ranges::binary_search(trusted_, person) &&
                            key == parts_.trust.key_of(person);
                   },
                   [this](WallMs moment) { return parts_.trust.genesis().epoch_of(moment); }})),
      link_(parts.rpc, judge_, validators_, RpcDirectoryLink::deadline_default,
            [this](ServerId server) { return parts_.members.introduce(server); }),
      service_(parts.runtime, parts.rpc, [this] { return directory_; }, judge_, validators_,
               [this](const ServerId& server) -> std::optional<PersonId> {
                 const auto person = parts_.members.person_of(server);
                 if (!person || !may_enter(server, *person)) return std::nullopt;
                 return person;
               }),
      publishing_(parts.runtime.executor()),
      publish_wanted_(parts.runtime.executor()),
      changed_(parts.runtime.executor()), tasks_(parts.runtime.executor()) {}

DirectoryDesk::~DirectoryDesk() = default;

void DirectoryDesk::start() {
  parts_.rpc.serve(method::directory_place, [this](Caller caller, RpcRequest request) {
    return handle_place(std::move(caller), std::move(request));
  });
  subscription_ = parts_.members.subscribe([this] { changed_.set(); });
  parts_.members.search = [this](ServerId id) { return search(id); };
  changed_.set();
  tasks_.spawn(follow());
  tasks_.spawn(publish_loop());
}

Task<void> DirectoryDesk::stop() {
  if (subscription_) parts_.members.unsubscribe(std::exchange(subscription_, 0));
  parts_.members.search = nullptr;
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
  std::map<PersonId, PersonId> keys;
  if (parts_.trust.has_rotations()) {
    for (const PersonId& person : trusted)
      if (const auto key = parts_.trust.key_of(person); key != person) keys.emplace(person, key);
    for (const auto& [person, key] : keys)
      if (const auto before = changed_keys_.find(person); before == changed_keys_.end() || before->second != key)
        concerned.insert(person);
  }
  if (trusted == trusted_ && retired == retired_ && keys == changed_keys_) return;
  trusted_ = std::move(trusted);
  retired_ = std::move(retired);
  changed_keys_ = std::move(keys);
  if (concerned.empty()) return;
  judge_.forget_all();
  if (!directory_) return;
  DirectoryCore& core = directory_->core();
  core.table().forget_if([&](const Contact& contact) {
                            return !may_enter(contact.id, contact.person) ||
                                   (concerned.contains(contact.person) && !judge_.judge(as_bytes(contact.record)));
                          },
                          parts_.runtime.now());
  const auto counts_no_more = [&](const Record& record) {
    return concerned.contains(record.facts.person) && !validators_.check(record.key, record.value);
  };
  core.store().forget_if(counts_no_more);
  core.cache().forget_if(counts_no_more);
}

std::uint64_t DirectoryDesk::trusted_since(const PersonId& person) const {
  return parts_.trust.standings().of(person).since;
}

/// By the keys that they draw with now.
std::vector<PublicKey> DirectoryDesk::keys_of(const std::vector<PersonId>& drawers) const {
  std::vector<PublicKey> keys;
  for (const PersonId& person : drawers) keys.push_back(parts_.trust.key_of(person).bytes);
  std::ranges::sort(keys);
  return keys;
}

/// Who drew with it in that epoch; nobody's id when it was nobody's. Draws outlive the keys that they were made
/// with: if they did not, whoever is named for many places could have them all drawn anew by changing his key.
PersonId DirectoryDesk::drawer_of(const PublicKey& key, std::uint64_t epoch) const {
  return parts_.trust.person_with(person_id(key), epoch).value_or(PersonId{});
}

PlaceClaim DirectoryDesk::claim_of(const PersonId& owner, unsigned number, std::uint64_t epoch,
                                   const std::vector<PublicKey>& keys) const {
  PlaceClaim claim{owner, number, epoch, {}};
  for (const PublicKey& key : keys) claim.drawers.push_back(drawer_of(key, epoch));
  return claim;
}

Result<void> DirectoryDesk::may_have(const PlaceClaim& claim) const {
  if (claim.epoch > parts_.trust.epoch() + 1)
    return fail(Errc::denied, "place {} of person {} was drawn in epoch {}, which is yet to come", claim.number,
                claim.owner, claim.epoch);
  return check_place_claim(claim, trusted_since(claim.owner), trusted_);
}

// The own place ------------------------------------------------------------------------------

/// Looks what the own record shows. Good: others will accept it for some time to come.
DirectoryDesk::PlaceState DirectoryDesk::place_state() {
  const auto& own = parts_.identity;
  const auto& shown = parts_.members.place();
  if (!shown) return PlaceState::none;
  if (place_judged_ != shown) {
    place_judged_ = shown;
    place_.reset();
    place_facts_.reset();
    if (auto facts = check_place_draw(own.network, own.server, own.person, *shown)) place_facts_ = std::move(*facts);
  }
  // Whose keys they are can change.
  if (place_facts_)
    place_ = claim_of(own.person, place_facts_->number, place_facts_->epoch, place_facts_->drawers);
  if (!place_) return PlaceState::none;
  if (keeps_place(*place_, trusted_since(own.person), trusted_)) return PlaceState::good;
  return may_have(*place_) ? PlaceState::passable : PlaceState::none;
}

std::vector<ServerId> DirectoryDesk::servers_up(const PersonId& person) const {
  std::vector<ServerId> result;
  for (const Member& member : parts_.members.others())
    if (member.person == person && member.up) result.push_back(member.id);
  return result;
}

/// The own person's numbers that are neither another server's of his nor were tried in vain, lowest first.
std::vector<unsigned> DirectoryDesk::free_numbers(std::uint64_t epoch) const {
  const auto& own = parts_.identity;
  std::set<unsigned> taken = numbers_tried_;
  for (const auto& [id, entry] : parts_.members.roster().servers()) {
    if (id == own.server || entry.member.person != own.person) continue;
    if (const auto place = place_in(entry.record.body())) taken.insert(place->number);
  }
  std::vector<unsigned> result;
  for (unsigned number = 0; number < place_numbers(epoch, trusted_since(own.person)); ++number)
    if (!taken.contains(number)) result.push_back(number);
  return result;
}

/// Which place to ask for, and whom; nothing while those who are named for it are not up. In a hurry, any of
/// the own person's places will do, and one drawer more is asked; and who has no place at all is content with
/// as few draws as others accept.
std::optional<DirectoryDesk::Asked> DirectoryDesk::choose_place(bool in_a_hurry, bool has_none) {
  const auto& own = parts_.identity;
  const std::uint64_t epoch = parts_.trust.epoch();
  const std::size_t others = other_persons(own.person, trusted_);
  auto numbers = free_numbers(epoch);
  if (numbers.empty()) {  // perhaps those who refused have forgotten why
    numbers_tried_.clear();
    numbers = free_numbers(epoch);
  }
  const auto wanted = place_draws_wanted(others);
  std::vector enough{wanted};
  if (in_a_hurry) enough.push_back(has_none ? place_draws_needed(others) : place_draws_needed(others + 1));
  if (!in_a_hurry && numbers.size() > 1) numbers.resize(1);
  for (const std::size_t least : enough) {
    for (const unsigned number : numbers) {
      auto drawers = place_drawers(own.person, number, trusted_, in_a_hurry ? place_drawers_kept : place_drawers_asked);
      std::erase_if(drawers, [&](const PersonId& person) {
        return person != own.person && servers_up(person).empty();
      });
      if (drawers.size() < least) continue;
      if (drawers.size() > wanted) drawers.resize(wanted);
      return Asked{{own.network, epoch, own.server, own.person, number, keys_of(drawers)}, {}, parts_.runtime.now()};
    }
  }
  return std::nullopt;
}

Task<Result<DrawProof>> DirectoryDesk::ask_for_draw(ServerId server, PublicKey key, PlaceOccasion occasion) {
  wire::DirectoryPlaceRequest request;
  request.set_number(occasion.number);
  request.set_epoch(occasion.epoch);
  for (const PublicKey& drawer : occasion.drawers) request.add_drawers(drawer.data(), drawer.size());
  CO_TRY(const auto reply, co_await parts_.rpc.call(server, {method::directory_place, request.SerializeAsString(), {}},
                                                    {.timeout = draw_timeout}));
  wire::DirectoryPlaceReply drawn;
  DrawProof proof{key, {}};
  if (!drawn.ParseFromString(reply.body) || drawn.key() != as_text(key) || drawn.proof().size() != proof.proof.size())
    co_return fail(Errc::invalid, "server {} sent an answer that cannot be read, or another person's", server);
  std::ranges::copy(as_bytes(drawn.proof()), proof.proof.begin());
  CO_TRY_VOID(check_one_draw(occasion, proof));
  co_return proof;
}

/// Asks those who have not drawn yet. False: one of them has drawn that place otherwise, so it must be another.
Task<bool> DirectoryDesk::gather_draws() {
  const PlaceOccasion occasion = asked_->occasion;
  const auto& own = parts_.identity;
  for (const PublicKey& key : occasion.drawers) {
    if (asked_->draws.contains(key)) continue;
    const PersonId person = drawer_of(key, occasion.epoch);
    if (person == own.person) {
      asked_->draws[key] = make_place_draw(own.person_key, occasion);
      continue;
    }
    for (const ServerId& server : servers_up(person)) {
      const auto drawn = co_await ask_for_draw(server, key, occasion);
      if (drawn) {
        asked_->draws[key] = *drawn;
        break;
      }
      parts_.runtime.log().debug("directory: server {} does not draw for this one: {}", server,
                                 drawn.error().message);
      if (drawn.error().code == Errc::exists) co_return false;
    }
  }
  co_return true;
}

/// True: a place was drawn, and comes with the next own record.
Task<bool> DirectoryDesk::obtain_place(bool in_a_hurry, bool has_none) {
  const auto give_up = [this] {
    numbers_tried_.insert(asked_->occasion.number);
    asked_.reset();
  };
  // An epoch that is long past, or persons who are not the ones any more: nobody would draw for that.
  if (asked_) {
    const auto& occasion = asked_->occasion;
    const bool stale = occasion.epoch + 1 < parts_.trust.epoch() ||
                       !may_have(claim_of(occasion.owner, occasion.number, occasion.epoch, occasion.drawers));
    if (stale && asked_->draws.empty()) asked_.reset();
    else if (stale) give_up();
  }
  // As many tries as there are places, at most: each that is refused is passed over from then on.
  for (unsigned tries = 0; tries < place_numbers_max; ++tries) {
    if (!asked_) asked_ = choose_place(in_a_hurry, has_none);
    if (!asked_) {
      absent_because_ = "nobody has drawn its place yet: too few of the persons whom chance names for it are up";
      co_return false;
    }
    if (!co_await gather_draws()) {
      give_up();
      continue;
    }
    if (asked_->draws.size() == asked_->occasion.drawers.size()) {
      PlaceDraw place{asked_->occasion.number, asked_->occasion.epoch, {}};
      for (const auto& [key, draw] : asked_->draws) place.draws.push_back(draw);
      asked_.reset();
      parts_.members.set_place(std::move(place));
      co_return true;
    }
    absent_because_ = "nobody has drawn its place yet: not all of the persons whom chance names for it have answered";
    // Those who have drawn hold to it for long, so this number is not given up lightly.
    if (parts_.runtime.now() - asked_->since >= waits_for_drawers) give_up();
    co_return false;
  }
  co_return false;
}

Task<Result<RpcReply>> DirectoryDesk::handle_place(Caller caller, RpcRequest request) {
  const auto member = parts_.members.find(caller.server);
  if (!member || !may_enter(member->id, member->person))
    co_return fail(Errc::denied, "server {} is of no trusted person known here", caller.server);
  wire::DirectoryPlaceRequest asked;
  if (!asked.ParseFromString(request.body) || asked.drawers_size() < 1 ||
      asked.drawers_size() > static_cast<int>(place_draws_max))
    co_return fail(Errc::invalid, "directory.place: a request that cannot be read, or of too many drawers");
  const auto& own = parts_.identity;
  PlaceOccasion occasion{own.network, asked.epoch(), member->id, member->person, asked.number(), {}};
  for (const auto& raw : asked.drawers()) {
    CO_TRY(const PersonId key, PersonId::from(raw));
    occasion.drawers.push_back(key.bytes);
  }
  const PublicKey key = own.person_key.public_key();
  if (!std::ranges::is_sorted(occasion.drawers) || std::ranges::find(occasion.drawers, key) == occasion.drawers.end())
    co_return fail(Errc::invalid, "directory.place: the drawers are not in order, or person {} is not among them",
                   own.person);
  const std::uint64_t epoch = parts_.trust.epoch();
  if (occasion.epoch > epoch + 1 || occasion.epoch + 1 < epoch)
    co_return fail(Errc::denied, "a draw in epoch {}, while it is epoch {}", occasion.epoch, epoch);
  const auto claimed = [this](const PlaceOccasion& one) {
    return claim_of(one.owner, one.number, one.epoch, one.drawers);
  };
  CO_TRY_VOID(may_have(claimed(occasion)));
  CO_TRY_VOID(promises_.promise(
      occasion, epoch,
      {[&](const PlaceOccasion& one) { return may_have(claimed(one)).has_value(); },
       [&](const ServerId& server) {
         const auto* entry = parts_.members.roster().find(server);
         return entry && entry->member.person == occasion.owner && !retired_.contains(server);
       }}));
  const auto drawn = make_place_draw(own.person_key, occasion);
  wire::DirectoryPlaceReply reply;
  reply.set_key(drawn.key.data(), drawn.key.size());
  reply.set_proof(drawn.proof.data(), drawn.proof.size());
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
    if (const auto admission = check_admission(chain.back(), parts_.identity.network)) inviter = admission->inviter;
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
      seen = {entry.version, 0, std::nullopt};
      const auto place = place_in(entry.record.body());
      const auto draw = place ? draw_of(*place) : Result<Digest>(fail(Errc::not_found, "no place"));
      if (draw) seen = {entry.version, place->number, server_position(entry.member.key, *draw)};
    }
    // Whoever is not up would be asked in vain, and told of again the next time.
    if (seen.position && parts_.members.is_up(id) &&
        directory_->core().table().wants(id, entry.member.person, seen.number, *seen.position, entry.version,
                                         parts_.runtime.now()))
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

/// Contacts that have answered are servers that are there: in a large network this is how a view fills
/// with servers that nobody chose. Each version is offered once; the view decides.
Task<void> DirectoryDesk::fill_view() {
  if (!directory_) co_return;
  std::map<ServerId, std::uint64_t> offered;
  std::vector<ContactPtr> fresh;
  for (const auto& known : directory_->core().table().known()) {
    if (!known.proven) continue;
    const Contact& contact = *known.contact;
    const auto* held = parts_.members.roster().find(contact.id);
    const auto before = offered_.find(contact.id);
    const bool is_known = (held && held->version >= contact.version) ||
                          (before != offered_.end() && before->second >= contact.version);
    if (!is_known && fresh.size() == options_.contacts_at_once) continue;  // the next time
    if (!is_known) fresh.push_back(known.contact);
    offered.emplace(contact.id, contact.version);
  }
  offered_ = std::move(offered);
  for (const ContactPtr& contact : fresh) {
    wire::Signed record;
    if (record.ParseFromString(contact->record)) static_cast<void>(parts_.members.learn_record(record));
    co_await asio::post(parts_.runtime.executor(), asio::use_awaitable);
  }
}

Task<void> DirectoryDesk::follow() {
  using namespace asio::experimental::awaitable_operators;
  constexpr Duration patience_first = 2s, patience_most = 60s;
  Duration patience = patience_first;
  std::optional<TimePoint> without_since;  // a good place
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
    if (const PlaceState state = place_state(); state != PlaceState::good) {
      if (!without_since) without_since = parts_.runtime.now();
      // Those asked first may be off for long: then others, or another place.
      const bool in_a_hurry = parts_.runtime.now() - *without_since >= waits_for_drawers;
      if (co_await obtain_place(in_a_hurry, state == PlaceState::none)) {
        patience = patience_first;
        without_since.reset();
        absent_because_ = "its record is being made";
        continue;  // the new record comes as a change
      }
      if (state == PlaceState::none) {
        co_await (parts_.runtime.sleep(patience) || changed_.wait());
        patience = std::min(2 * patience, patience_most);
        changed_.set();
        continue;
      }
    } else {
      without_since.reset();
      numbers_tried_.clear();
      asked_.reset();
    }
    const auto own = own_contact();
    if (!own) continue;  // the record with the place is being made
    // Who moves takes along what it keeps: it may well be one of the places of that still.
    std::vector<RecordPtr> kept;
    if (directory_ && directory_->core().own()->position != (*own)->position) {
      kept = directory_->core().store().records();
      co_await close();
    }
    if (!directory_) {
      co_await open(*own);
      for (const RecordPtr& record : kept)
        (void)directory_->core().store().put(record, parts_.runtime.now(), parts_.runtime.wall_ms(),
                                             parts_.runtime.chance().next_u64());
    } else if (directory_->core().own()->version < (*own)->version) {
      directory_->set_own(*own);
      publish_wanted_.set();
    }
    co_await feed();
    co_await fill_view();
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

void DirectoryDesk::key_changed() {
  publish_anew_ = true;
  changed_.set();
  publish_wanted_.set();
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
  if (publish_anew_) co_return false;  // signed with a key that has changed meanwhile
  before = {what, parts_.runtime.now()};
  co_return true;
}

/// Alone changes what has been published: publish() keeps hold of it while it waits.
Task<void> DirectoryDesk::look_to_publish() {
  const auto permit = co_await publishing_.lock();
  if (std::exchange(publish_anew_, false)) {
    person_published_ = health_published_ = {};
    stripes_published_.clear();
    stripes_seen_ = 0;
  }
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

/// Those watched that are not in the view or not up, then others that are not up, for they may have moved;
/// each again after a while. Both kinds in random order.
std::vector<ServerId> DirectoryDesk::whom_to_find() {
  constexpr Duration again_after = 10min;
  const TimePoint now = parts_.runtime.now();
  const auto is_due = [&](const ServerId& id) {
    const auto last = looked_up_.find(id);
    return last == looked_up_.end() || now - last->second > again_after;
  };
  std::erase_if(looked_up_, [&](const auto& one) {
    return parts_.members.is_up(one.first) || now - one.second > again_after;
  });
  std::vector<ServerId> watched, others;
  for (const ServerId& id : parts_.members.watched())
    if (!parts_.members.is_up(id) && !parts_.members.retired_by(id) && is_due(id)) watched.push_back(id);
  for (const Member& member : parts_.members.others())
    if (!member.up && !parts_.members.watched().contains(member.id) && is_due(member.id)) others.push_back(member.id);
  std::vector<ServerId> chosen;
  for (auto* from : {&watched, &others}) {
    const std::size_t count = std::min(from->size(), options_.members_at_once);
    for (std::size_t i = 0; i < count; ++i) {
      std::swap((*from)[i], (*from)[i + parts_.runtime.chance().below(from->size() - i)]);
      chosen.push_back((*from)[i]);
    }
  }
  return chosen;
}

Task<Result<wire::Signed>> DirectoryDesk::search(ServerId id) {
  const auto directory = directory_;
  if (!directory) co_return fail(Errc::unavailable, "this server is not in the directory: {}", why_absent());
  CO_TRY(const auto found, co_await directory->look_up(server_key_of(id)));
  wire::Signed record;
  if (!record.ParseFromString(found.record->value))
    co_return fail(Errc::corrupt, "the record of server {} cannot be read", id);
  co_return std::move(record);
}

Task<void> DirectoryDesk::find_moved() {
  for (const ServerId& id : whom_to_find()) {
    looked_up_[id] = parts_.runtime.now();
    const auto record = co_await search(id);
    if (!record) continue;
    if (auto learnt = parts_.members.learn_record(*record); learnt && *learnt)
      parts_.runtime.log().info("directory: server {} has been found", id);
  }
}

}  // namespace spatter
