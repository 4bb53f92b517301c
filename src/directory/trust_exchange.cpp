#include "directory/trust_exchange.h"

#include <asio/experimental/awaitable_operators.hpp>

#include "chance/draw.h"
#include "crypto/hash.h"
#include "net/methods.h"

namespace spatter {
namespace {

constexpr std::size_t batch_bytes_max = 256 * 1024;
constexpr std::size_t ids_at_once = 4096;
constexpr std::size_t refused_max = 16 * 1024;
constexpr int compare_rounds_max = 16;

std::vector<std::string> migrations() {
  return {"CREATE TABLE records (id BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;"};
}

Digest id_of(const wire::TrustRecord& record) {
  return trust_record_id(static_cast<TrustKind>(record.kind()), record.record());
}

std::string folded_bytes(const std::array<std::uint64_t, 256>& folded) {
  std::string bytes;
  for (const auto bucket : folded)
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(bucket >> (8 * i)));
  return bytes;
}

}  // namespace

TrustExchange::TrustExchange(Parts parts, GenesisFacts genesis, std::unique_ptr<Database> database,
                             TrustExchangeOptions options)
    : parts_(parts), genesis_(std::move(genesis)), database_(std::move(database)), options_(options),
      book_(genesis_, [this](const PersonId& person) {
        return parts_.members.roster().is_admitted(person);
      }, [this](const PersonId& person) { return parts_.members.roster().commitment_of(person); }),
      compared_(parts.runtime.executor()),
      allowances_(static_cast<double>(options.push_burst), static_cast<double>(options.push_per_s)),
      tasks_(parts.runtime.executor()) {}

TrustExchange::~TrustExchange() {
  parts_.members.trust_in = nullptr;
  parts_.members.set_keys({});
}

Task<Result<void>> TrustExchange::keep(Runtime& runtime, std::string path,
                                       std::vector<wire::TrustRecord> records) {
  CO_TRY(auto database, co_await Database::open(runtime, std::move(path), migrations()));
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& record : records) {
      TRY(auto insert, db.prepare("INSERT OR IGNORE INTO records (id, record) VALUES (?1, ?2)"));
      const auto id = id_of(record);
      const auto bytes = record.SerializeAsString();
      insert.bind_blob(1, id.view()).bind_blob(2, as_bytes(bytes));
      TRY_VOID(insert.run());
    }
    return {};
  };
  auto kept = co_await database->write(std::move(work));
  co_await database->close();
  co_return kept;
}

Task<Result<std::unique_ptr<TrustExchange>>> TrustExchange::open(Parts parts, GenesisFacts genesis,
                                                                 std::string path,
                                                                 TrustExchangeOptions options) {
  CO_TRY(auto database, co_await Database::open(parts.runtime, std::move(path), migrations()));
  std::unique_ptr<TrustExchange> exchange(
      new TrustExchange(parts, std::move(genesis), std::move(database), options));
  auto* self = exchange.get();
  parts.members.set_keys(
      {{[self](const PersonId& person) { return self->key_of(person); },
        [self](const PersonId& key, const PersonId& person, std::optional<WallMs> at) {
          return self->was_key_of(key, person, at);
        }},
       [self](const PersonId& person) { return self->rotations_of(person); },
       [self](const auto& records, const ServerId& from) { self->take_rotations(records, from); }});
  if (auto loaded = co_await exchange->load(); !loaded) {
    co_await exchange->database_->close();
    co_return fail(std::move(loaded).error());
  }
  parts.members.trust_in = [raw = exchange.get()](const PersonId& person) {
    const auto& standing = raw->standings().of(person);
    return GossipMembers::Trust{is_trusted(standing), may_store_allowance(standing)};
  };
  co_return exchange;
}

Task<Result<void>> TrustExchange::load() {
  std::function<Result<std::vector<wire::TrustRecord>>(Connected&)> read = [](Connected& db) {
    std::vector<wire::TrustRecord> records;
    const auto run = [&]() -> Result<void> {
      TRY(auto statement, db.prepare("SELECT record FROM records"));
      while (true) {
        TRY(const bool row, statement.step());
        if (!row) return {};
        const auto bytes = statement.blob_view(0);
        if (!records.emplace_back().ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
          return fail(Errc::corrupt, "a record of the trust database cannot be read");
      }
    };
    auto done = run();
    return done ? Result<std::vector<wire::TrustRecord>>(std::move(records)) : fail(done.error());
  };
  CO_TRY(auto left, co_await database_->read_for<std::vector<wire::TrustRecord>>(std::move(read)));
  for (const auto& record : left) saved_.insert(id_of(record));
  // What a record refers to may come behind it.
  for (bool progress = true; progress && !left.empty();) {
    progress = false;
    std::erase_if(left, [&](const wire::TrustRecord& record) {
      const auto added = book_.add(record);
      progress = progress || added.has_value();
      return added.has_value();
    });
    if (progress) ++revision_;
    // Persons may be known only when their inviters' keys are.
    if (parts_.members.place_again()) progress = true;
  }
  if (!left.empty())
    parts_.runtime.log().warning("trust: {} stored records are left out", left.size());
  ++revision_;
  parts_.members.place_again();
  look_at_keys();
  co_return Result<void>{};
}

/// Brings the database to what the book holds.
Task<Result<void>> TrustExchange::save() {
  std::vector<std::pair<Digest, std::string>> fresh;
  std::vector<Digest> gone;
  std::set<Digest> now;
  for (const auto& [id, entry] : book_.records()) {
    now.insert(id);
    if (!saved_.contains(id)) fresh.emplace_back(id, entry.record.SerializeAsString());
  }
  for (const auto& id : saved_)
    if (!now.contains(id)) gone.push_back(id);
  if (fresh.empty() && gone.empty()) co_return Result<void>{};
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& [id, bytes] : fresh) {
      TRY(auto insert, db.prepare("INSERT OR IGNORE INTO records (id, record) VALUES (?1, ?2)"));
      insert.bind_blob(1, id.view()).bind_blob(2, as_bytes(bytes));
      TRY_VOID(insert.run());
    }
    for (const auto& id : gone) {
      TRY(auto drop, db.prepare("DELETE FROM records WHERE id = ?1"));
      drop.bind_blob(1, id.view());
      TRY_VOID(drop.run());
    }
    return {};
  };
  CO_TRY_VOID(co_await database_->write(std::move(work)));
  for (const auto& [id, bytes] : fresh) saved_.insert(id);
  for (const auto& id : gone) saved_.erase(id);
  co_return Result<void>{};
}

void TrustExchange::start() {
  const auto serve = [this](std::uint16_t method,
                            Task<Result<RpcReply>> (TrustExchange::*handle)(Caller, RpcRequest)) {
    parts_.rpc.serve(method, [this, handle](Caller caller, RpcRequest request) {
      return (this->*handle)(std::move(caller), std::move(request));
    });
  };
  serve(method::trust_compare, &TrustExchange::handle_compare);
  serve(method::trust_get, &TrustExchange::handle_get);
  serve(method::trust_push, &TrustExchange::handle_push);
  serve(method::trust_lot, &TrustExchange::handle_lot);
  subscription_ = parts_.members.subscribe([this] { members_changed(); });
  members_changed();
  tasks_.spawn(compare_loop());
  tasks_.spawn(epoch_loop());
}

void TrustExchange::members_changed() {
  std::set<ServerId> up;
  for (const auto& member : parts_.members.others()) {
    if (!member.up) continue;
    up.insert(member.id);
    if (!greeted_.contains(member.id)) tasks_.spawn(compare_soon(member.id));
  }
  greeted_ = std::move(up);
  if (std::exchange(persons_seen_, parts_.members.roster().admissions().size()) !=
          parts_.members.roster().admissions().size()) {
    look_at_keys();
    if (on_changed) on_changed();
  }
}

Task<void> TrustExchange::stop() {
  if (subscription_ != 0) parts_.members.unsubscribe(subscription_);
  co_await tasks_.stop();
  co_await database_->close();
}

// What the records amount to -----------------------------------------------------------------

const Standings& TrustExchange::standings() const {
  const auto& roster = parts_.members.roster();
  const Weighed wanted{revision_, roster.admissions().size(), epoch()};
  if (weighed_as_ == wanted) return weighed_;
  while (admissions_.size() < roster.admissions().size()) {
    // The roster has checked it; one that is refused here all the same names nobody.
    auto facts = check_trust_record(admission_record(roster.admissions()[admissions_.size()]), genesis_);
    admissions_.push_back(facts ? std::move(*facts) : TrustFacts{});
  }
  weighed_ = book_.standings(admissions_, wanted.epoch);
  weighed_as_ = wanted;
  return weighed_;
}

const TrustFacts* TrustExchange::find(const Digest& id) const {
  const auto at = book_.records().find(id);
  return at == book_.records().end() ? nullptr : &at->second.facts;
}

std::vector<const TrustFacts*> TrustExchange::signed_by(const PersonId& key) const {
  std::vector<const TrustFacts*> result;
  for (const auto& [id, entry] : book_.records())
    if (entry.facts.key == key) result.push_back(&entry.facts);
  return result;
}

// Asked for each of many records: others being admitted meanwhile changes nothing about one's keys.

PersonId TrustExchange::key_of(const PersonId& person) const {
  if (book_.rotations_of(person).empty()) return person;
  if (weighed_as_.revision != revision_ || !weighed_.persons.contains(person)) static_cast<void>(standings());
  const auto found = weighed_.persons.find(person);
  return found == weighed_.persons.end() ? person : found->second.key;
}

bool TrustExchange::was_key_of(const PersonId& key, const PersonId& person, std::optional<WallMs> at) const {
  if (book_.rotations_of(person).empty()) return key == person;
  if (weighed_as_.revision != revision_ || !weighed_.persons.contains(person)) static_cast<void>(standings());
  const auto found = weighed_.persons.find(person);
  if (found == weighed_.persons.end()) return key == person;
  return at ? had_key(found->second.keys, key, genesis_.epoch_of(*at)) : found->second.has_had(key);
}

bool TrustExchange::was_had(const PersonId& key, const PersonId& person, std::uint64_t epoch) const {
  const auto found = weighed_.persons.find(person);
  return found != weighed_.persons.end() && had_key(found->second.keys, key, epoch);
}

std::optional<PersonId> TrustExchange::person_with(const PersonId& key, std::uint64_t epoch) const {
  if (!keys_seen_.contains(key)) {  // else it is the first key of somebody who has others since
    const auto owner = owner_of_.find(key);
    if (owner == owner_of_.end()) return key;
    return was_had(key, owner->second, epoch) ? std::optional(owner->second) : std::nullopt;
  }
  return was_had(key, key, epoch) ? std::optional(key) : std::nullopt;
}

std::vector<wire::Signed> TrustExchange::rotations_of(const PersonId& person) const {
  std::vector<wire::Signed> records;
  const auto held = book_.rotations_of(person);
  if (held.empty()) return records;
  if (weighed_as_.revision != revision_ || !weighed_.persons.contains(person)) static_cast<void>(standings());
  // By clips he may have offered to commit to several keys; the one that was accepted counts.
  const auto& commitment = weighed_.of(person).recovery;
  for (const auto* entry : held)
    if (commitment == sha256(entry->facts.key.view())) records.push_back(entry->record.record());
  return records;
}

/// Came with the list of members. What refers to something unknown may be offered again.
void TrustExchange::take_rotations(const google::protobuf::RepeatedPtrField<wire::Signed>& records,
                                   const ServerId& from) {
  bool fresh = false;
  for (const auto& record : records) {
    wire::TrustRecord rotation;
    rotation.set_kind(static_cast<std::uint32_t>(TrustKind::rotation));
    *rotation.mutable_record() = record;
    const auto id = id_of(rotation);
    if (find(id) || refused_.contains(id)) continue;
    const auto added = book_.add(rotation);
    if (added) fresh |= *added;
    if ((added && *added) || (!added && added.error().code == Errc::not_found)) continue;
    if (refused_.size() >= refused_max) refused_.clear();
    refused_.insert(id);
    if (!added)
      parts_.runtime.log().warning("trust: a rotation from {} is refused: {}", from, added.error().message);
  }
  if (!fresh) return;
  changed();
  tasks_.spawn(save_soon());
}

Task<void> TrustExchange::save_soon() {
  if (auto saved = co_await save(); !saved)
    parts_.runtime.log().warning("trust: not saved: {}", saved.error().message);
}

/// Also without new records: one dated ahead begins to count.
void TrustExchange::look_at_keys() {
  if (!book_.has_rotations()) return;
  std::map<PersonId, PersonId> keys;
  for (const auto& [person, standing] : standings().persons)
    if (standing.key_number > 0) keys.emplace(person, standing.key);
  if (keys == keys_seen_) return;
  keys_seen_ = std::move(keys);
  owner_of_.clear();
  for (const auto& [person, current] : keys_seen_)
    for (const auto& one : standings().of(person).keys)
      if (one.key != person) owner_of_.emplace(one.key, person);
  parts_.members.keys_changed();
  if (on_keys_changed) on_keys_changed();
}

bool TrustExchange::knows_own_records() const {
  return compared_.is_set() || std::ranges::all_of(parts_.members.others(), [&](const Member& member) {
           return member.person == parts_.identity.person && !member.up;
         });
}

Task<Result<void>> TrustExchange::know_own_records(Duration within) {
  using namespace asio::experimental::awaitable_operators;
  // Whoever refused before may know this server by now.
  const auto until = parts_.runtime.now() + within;
  while (!knows_own_records() && parts_.runtime.now() < until) {
    for (const auto& member : parts_.members.others())
      if (member.up) tasks_.spawn(compare_soon(member.id));
    co_await (compared_.wait() || parts_.runtime.sleep(std::chrono::seconds(1)));
  }
  if (knows_own_records()) co_return Result<void>{};
  co_return fail(Errc::unavailable, "no other server has said since this one started what it knows of your own "
                 "records: start others first");
}

void TrustExchange::changed() {
  ++revision_;
  look_at_keys();
  parts_.members.trust_changed();
  if (on_changed) on_changed();
}

/// What somebody may do follows from what he was before the epoch: each begins something new.
Task<void> TrustExchange::epoch_loop() {
  while (true) {
    const auto now = parts_.runtime.wall_ms();
    const auto length = static_cast<WallMs>(genesis_.epoch_seconds) * 1000;
    const auto begun = static_cast<WallMs>(genesis_.created_ms) + static_cast<WallMs>(epoch()) * length;
    const auto left = std::clamp<WallMs>(begun + length - now, 1, length);
    co_await parts_.runtime.sleep(std::chrono::milliseconds(left));
    look_at_keys();
    parts_.members.trust_changed();
    if (on_changed) on_changed();
  }
}

// Taking records in --------------------------------------------------------------------------

bool TrustExchange::take_allowance(const Caller& from, int records) {
  return allowances_.take(from.server, records, parts_.runtime.now());
}

Task<Result<bool>> TrustExchange::take(Records records, ServerId from) {
  std::vector<const wire::TrustRecord*> left;
  for (const auto& record : records) {
    const auto id = id_of(record);
    if (!find(id) && !refused_.contains(id)) left.push_back(&record);
  }
  std::vector<Digest> fresh;
  bool early = false;
  for (bool progress = true; progress && !left.empty();) {
    progress = early = false;
    std::erase_if(left, [&](const wire::TrustRecord* record) {
      const auto added = book_.add(*record);
      if (added && *added) {
        fresh.push_back(id_of(*record));
        progress = true;
        return true;
      }
      if (!added && added.error().code == Errc::not_found) {
        early = true;
        return false;
      }
      if (refused_.size() >= refused_max) refused_.clear();
      refused_.insert(id_of(*record));
      if (!added)
        parts_.runtime.log().warning("trust: a record from {} is refused: {}", from,
                                     added.error().message);
      return true;
    });
  }
  if (!fresh.empty()) {
    changed();
    CO_TRY_VOID(co_await save());
    send_on(fresh, from);
  }
  co_return early;
}

/// Durable before it is in the book: from there others get it, and what they have seen must not be
/// forgotten here.
Task<Result<Digest>> TrustExchange::publish(wire::TrustRecord record, Counts counts, Send send) {
  const auto id = id_of(record);
  if (find(id)) co_return fail(Errc::exists, "this has been said already");
  RecordBook trial = book_;
  CO_TRY(const bool fits, trial.add(record));
  if (!fits || !trial.records().contains(id))
    co_return fail(Errc::invalid, "the network keeps no more records of this kind of one person");
  static_cast<void>(standings());  // has the admissions ready
  if (!counts(trial.standings(admissions_, epoch()), id))
    co_return fail(Errc::denied, "dated now (epoch {}) it would not count: is this machine's clock right, and are "
                   "those of the others?", epoch());
  const auto bytes = record.SerializeAsString();
  Database::Work work = [&](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT OR IGNORE INTO records (id, record) VALUES (?1, ?2)"));
    insert.bind_blob(1, id.view()).bind_blob(2, as_bytes(bytes));
    return insert.run();
  };
  CO_TRY_VOID(co_await database_->write(std::move(work)));
  saved_.insert(id);
  CO_TRY_VOID(book_.add(record));
  changed();
  if (send == Send::now) send_on({id}, std::nullopt);
  co_return id;
}

void TrustExchange::send_on(const std::vector<Digest>& ids, std::optional<ServerId> from) {
  wire::TrustPushRequest push;
  std::size_t used = 0;
  for (const auto& id : ids) {
    const auto at = book_.records().find(id);
    if (at == book_.records().end()) continue;  // others took its place
    used += at->second.record.ByteSizeLong() + 8;
    if (used > batch_bytes_max) break;  // comparing brings the rest
    *push.add_records() = at->second.record;
  }
  std::vector<ServerId> targets;
  for (const auto& member : parts_.members.others())
    if (member.up && member.id != from) targets.push_back(member.id);
  for (std::size_t i = 0; i < targets.size() && i < options_.push_fanout; ++i)
    std::swap(targets[i], targets[i + parts_.runtime.chance().below(targets.size() - i)]);
  if (targets.size() > options_.push_fanout) targets.resize(options_.push_fanout);
  const auto body = push.SerializeAsString();
  for (const auto& id : targets) tasks_.spawn(push_to(id, body));
}

Task<void> TrustExchange::push_to(ServerId id, std::string body) {
  auto reply = co_await parts_.rpc.call(id, {method::trust_push, std::move(body), {}},
                                        {.timeout = options_.call_timeout});
  // Whoever missed it gets it when the two compare.
  if (!reply) parts_.runtime.log().debug("trust: push to {}: {}", id, reply.error().message);
}

// Comparing ----------------------------------------------------------------------------------

TrustExchange::Folded TrustExchange::folded() const {
  Folded result{};
  for (const auto& [id, entry] : book_.records()) {
    std::uint64_t first = 0;
    for (std::size_t i = 0; i < 8; ++i) first |= std::uint64_t{id.view()[i]} << (8 * i);
    result[id.view()[0]] ^= first;
  }
  return result;
}

Task<void> TrustExchange::compare_loop() {
  while (true) {
    const auto jitter = parts_.runtime.chance().below(1000);
    co_await parts_.runtime.sleep(options_.compare_every * 3 / 4 +
                                  options_.compare_every * static_cast<int>(jitter) / 2000);
    for (const auto& member : parts_.members.others())
      if (member.up) co_await compare_soon(member.id);
  }
}

Task<void> TrustExchange::compare_soon(ServerId id) {
  if (!comparing_.insert(id).second) co_return;
  struct Done {
    std::set<ServerId>& list;
    ServerId id;
    ~Done() { list.erase(id); }
  } done{comparing_, id};
  auto compared = co_await compare_with(id);
  if (compared && !compared_.is_set()) {
    compared_.set();
    if (on_changed) on_changed();
  }
  if (!compared)
    parts_.runtime.log().debug("trust: comparing with {}: {}", id, compared.error().message);
}

Task<Result<void>> TrustExchange::compare_with(ServerId id) {
  const CallOptions call{.timeout = options_.call_timeout};
  std::set<Digest> pushed;  // what it does not take it is not offered again
  for (int round = 0; round < compare_rounds_max; ++round) {
    wire::TrustCompareRequest ask;
    ask.set_folded(folded_bytes(folded()));
    CO_TRY(const auto compared, co_await parts_.rpc.call(
                                    id, {method::trust_compare, ask.SerializeAsString(), {}}, call));
    wire::TrustCompareReply theirs;
    if (!theirs.ParseFromString(compared.body) || theirs.ids_size() > int{ids_at_once})
      co_return fail(Errc::invalid, "an answer that cannot be read");
    if (theirs.buckets().empty()) co_return Result<void>{};

    std::set<Digest> have;
    wire::TrustGetRequest want;
    for (const auto& raw : theirs.ids()) {
      CO_TRY(const auto record, Digest::from(raw));
      have.insert(record);
      if (!find(record) && !refused_.contains(record)) want.add_ids(raw);
    }
    // What it lacks goes there; not when its list is cut short, which would look like lacking.
    wire::TrustPushRequest push;
    std::size_t used = 0;
    for (const auto& [own, entry] : book_.records()) {
      const bool differs = theirs.buckets().find(static_cast<char>(own.view()[0])) != std::string::npos;
      if (theirs.more() || !differs || have.contains(own) || pushed.contains(own)) continue;
      used += entry.record.ByteSizeLong() + 8;
      if (used > batch_bytes_max) break;
      *push.add_records() = entry.record;
      pushed.insert(own);
    }
    if (want.ids_size() == 0 && push.records_size() == 0) co_return Result<void>{};

    bool moved = false;
    if (want.ids_size() > 0) {
      CO_TRY(const auto got, co_await parts_.rpc.call(
                                 id, {method::trust_get, want.SerializeAsString(), {}}, call));
      wire::TrustGetReply records;
      if (!records.ParseFromString(got.body))
        co_return fail(Errc::invalid, "records that cannot be read");
      const auto before = revision_;
      CO_TRY_VOID(co_await take(std::move(*records.mutable_records()), id));
      moved = revision_ != before;
    }
    if (push.records_size() > 0) {
      CO_TRY_VOID(co_await parts_.rpc.call(id, {method::trust_push, push.SerializeAsString(), {}}, call));
      moved = true;
    }
    if (!moved) co_return Result<void>{};
  }
  co_return Result<void>{};
}

Result<void> TrustExchange::check_member(const Caller& caller) const {
  if (parts_.members.person_of(caller.server)) return {};
  return fail(Errc::denied, "server {} is not known here as a member", caller.server);
}

Task<Result<RpcReply>> TrustExchange::handle_compare(Caller caller, RpcRequest request) {
  CO_TRY_VOID(check_member(caller));
  wire::TrustCompareRequest message;
  if (!message.ParseFromString(request.body) || message.folded().size() != 256 * 8)
    co_return fail(Errc::invalid, "trust.compare: a request that cannot be read");
  if (!take_allowance(caller, 1))
    co_return fail(Errc::busy, "server {} compares trust records too often", caller.server);
  wire::TrustCompareReply reply;
  const auto mine = folded_bytes(folded());
  for (std::size_t bucket = 0; bucket < 256; ++bucket) {
    if (mine.compare(bucket * 8, 8, message.folded(), bucket * 8, 8) != 0)
      reply.mutable_buckets()->push_back(static_cast<char>(bucket));
  }
  for (const auto& [id, entry] : book_.records()) {
    if (reply.buckets().find(static_cast<char>(id.view()[0])) == std::string::npos) continue;
    if (reply.ids_size() == int{ids_at_once}) {
      reply.set_more(true);
      break;
    }
    reply.add_ids(id.raw());
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<RpcReply>> TrustExchange::handle_get(Caller caller, RpcRequest request) {
  CO_TRY_VOID(check_member(caller));
  wire::TrustGetRequest message;
  if (!message.ParseFromString(request.body) || message.ids_size() > int{ids_at_once})
    co_return fail(Errc::invalid, "trust.get: a request that cannot be read");
  if (!take_allowance(caller, 1))
    co_return fail(Errc::busy, "server {} asks for trust records too often", caller.server);
  wire::TrustGetReply reply;
  std::size_t used = 0;
  for (const auto& raw : message.ids()) {
    CO_TRY(const auto id, Digest::from(raw));
    const auto at = book_.records().find(id);
    if (at == book_.records().end()) continue;
    used += at->second.record.ByteSizeLong() + 8;
    if (used > batch_bytes_max) break;
    *reply.add_records() = at->second.record;
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<RpcReply>> TrustExchange::handle_push(Caller caller, RpcRequest request) {
  CO_TRY_VOID(check_member(caller));
  wire::TrustPushRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "trust.push: a request that cannot be read");
  if (!take_allowance(caller, message.records_size()))
    co_return fail(Errc::busy, "server {} pushes too many trust records", caller.server);
  CO_TRY(const bool early, co_await take(std::move(*message.mutable_records()), caller.server));
  if (early) tasks_.spawn(compare_soon(caller.server));
  co_return RpcReply{wire::TrustPushReply().SerializeAsString(), {}};
}

// Phrases ------------------------------------------------------------------------------------

Task<Result<RpcReply>> TrustExchange::handle_lot(Caller caller, RpcRequest request) {
  CO_TRY_VOID(check_member(caller));
  wire::TrustLotRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "trust.lot: a request that cannot be read");
  if (!take_allowance(caller, 1))
    co_return fail(Errc::busy, "server {} asks for lots too often", caller.server);
  CO_TRY(const auto basis, Digest::from(message.basis()));
  const auto& clips = standings().clips;
  const auto at = clips.find(basis);
  if (at == clips.end()) co_return fail(Errc::not_found, "no clip is asked for by record {}", basis);
  const auto& wanted = at->second;
  if (parts_.members.person_of(caller.server) != wanted.subject)
    co_return fail(Errc::denied, "the phrase is for person {}", wanted.subject);
  if (wanted.state != ClipCase::State::open || wanted.announce)
    co_return fail(Errc::denied, "the clip that record {} asks for is announced already, or its time "
                   "is over", basis);
  const auto now = epoch();
  const auto judges = wanted.asked(now, genesis_.rules);
  const auto* vouch = wanted.renewal || !find(basis) ? nullptr : std::get_if<Vouch>(&find(basis)->what);
  const bool asked = std::ranges::find(judges, parts_.identity.person) != judges.end() ||
                     (wanted.drawn.empty() && vouch && vouch->voucher == parts_.identity.person);
  if (!asked) co_return fail(Errc::denied, "person {} does not judge this clip", parts_.identity.person);
  wire::TrustLotReply reply;
  reply.set_giver(parts_.identity.person.raw());
  reply.set_key(to_string(parts_.identity.person_key.public_key()));
  reply.set_epoch(now);
  const auto made = make_draw(parts_.identity.person_key, phrase_draw(parts_.identity.network, basis, now));
  reply.set_draw(std::string(as_text(ByteView(made.proof.proof))));
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<TrustExchange::CheckedLot>> TrustExchange::ask_lot(ServerId server, Digest basis) {
  wire::TrustLotRequest ask;
  ask.set_basis(basis.raw());
  CO_TRY(const auto answered, co_await parts_.rpc.call(server, {method::trust_lot, ask.SerializeAsString(), {}},
                                                       {.timeout = options_.call_timeout}));
  wire::TrustLotReply reply;
  if (!reply.ParseFromString(answered.body))
    co_return fail(Errc::invalid, "server {} gave a lot that cannot be read", server);
  CheckedLot result;
  result.epoch = reply.epoch();
  auto& lot = result.lot;
  CO_TRY(lot.giver, PersonId::from(reply.giver()));
  CO_TRY(lot.key, PersonId::from(reply.key()));
  if (parts_.members.person_of(server) != lot.giver)
    co_return fail(Errc::denied, "server {} gave a lot of another person", server);
  if (reply.draw().size() != lot.draw.size())
    co_return fail(Errc::invalid, "server {} gave a lot that is no draw", server);
  std::ranges::copy(as_bytes(reply.draw()), lot.draw.begin());
  DrawProof proof{.key = {}, .proof = lot.draw};
  std::ranges::copy(lot.key.view(), proof.key.begin());
  CO_TRY(result.draw, check_draw(phrase_draw(parts_.identity.network, basis, result.epoch), proof));
  co_return result;
}

}  // namespace spatter
