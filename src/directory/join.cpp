#include "directory/join.h"

#include "directory/roster.h"
#include "net/methods.h"
#include "trust/record_book.h"
#include "wire/proto/members.pb.h"

namespace spatter {
namespace {

/// The keys that persons have, from nothing but what the inviter sent.
class KeysInReply {
 public:
  KeysInReply(const GenesisFacts& genesis, const wire::JoinReply& reply, WallMs now)
      : genesis_(genesis), roster_(genesis), now_(genesis.epoch_of(now)),
        book_(genesis, [this](const PersonId& person) { return roster_.is_admitted(person); },
              [this](const PersonId& person) { return roster_.commitment_of(person); }) {
    roster_.set_keys({[this](const PersonId& person) { return key_of(person); },
                      [this](const PersonId& key, const PersonId& person, std::optional<WallMs> at) {
                        return was_key_of(key, person, at);
                      }});
    std::vector<const wire::Signed*> admissions;
    for (const auto& admission : reply.admissions()) admissions.push_back(&admission);
    std::vector<wire::TrustRecord> rotations;
    for (const auto& record : reply.rotations()) {
      auto& rotation = rotations.emplace_back();
      rotation.set_kind(static_cast<std::uint32_t>(TrustKind::rotation));
      *rotation.mutable_record() = record;
    }
    // Each may need the other.
    for (bool progress = true; progress;) {
      progress = false;
      std::erase_if(admissions, [&](const wire::Signed* admission) {
        const bool done = roster_.admit(*admission).has_value();
        progress |= done;
        return done;
      });
      std::erase_if(rotations, [&](const wire::TrustRecord& rotation) {
        const bool done = book_.add(rotation).has_value();
        progress |= done;
        if (done) standings_.reset();
        return done;
      });
    }
    left_out_ = admissions.size() + rotations.size();
  }
  KeysInReply(const KeysInReply&) = delete;

  Roster& roster() { return roster_; }
  const RecordBook& book() const { return book_; }
  std::size_t left_out() const { return left_out_; }

 private:
  /// Others being admitted changes nothing about one's keys.
  const Standing& of(const PersonId& person) const {
    if (!standings_ || !standings_->persons.contains(person)) {
      while (admissions_.size() < roster_.admissions().size()) {
        auto facts = check_trust_record(admission_record(roster_.admissions()[admissions_.size()]), genesis_);
        admissions_.push_back(facts ? std::move(*facts) : TrustFacts{});
      }
      standings_ = book_.standings(admissions_, now_);
    }
    return standings_->of(person);
  }
  PersonId key_of(const PersonId& person) const {
    if (book_.rotations_of(person).empty()) return person;
    const auto& standing = of(person);
    return standing.state == Standing::State::stranger ? person : standing.key;
  }
  bool was_key_of(const PersonId& key, const PersonId& person, std::optional<WallMs> at) const {
    if (book_.rotations_of(person).empty()) return key == person;
    return at ? had_key(of(person).keys, key, genesis_.epoch_of(*at)) : of(person).has_had(key);
  }

  GenesisFacts genesis_;
  Roster roster_;
  std::uint64_t now_;
  RecordBook book_;
  mutable std::vector<TrustFacts> admissions_;
  mutable std::optional<Standings> standings_;
  std::size_t left_out_ = 0;
};

/// What the inviter sent, as far as it proves itself.
Result<Joined> check_reply(const wire::JoinReply& reply, const Identity& identity, WallMs now, Log& log) {
  Joined joined;
  if (!reply.has_genesis() && !reply.person_key().empty()) {
    TRY(joined.other_key, PersonId::from(reply.person_key()));
    return joined;
  }
  TRY(auto genesis, check_genesis(reply.genesis()));
  if (genesis.network != identity.network)
    return fail(Errc::denied, "the inviting server sent the genesis of network {}, the link is for "
                "network {}", genesis.network, identity.network);
  KeysInReply keys(genesis, reply, now);
  Roster& roster = keys.roster();
  if (keys.left_out() > 0) log.warning("join: {} records were left out", keys.left_out());
  if (!roster.is_admitted(identity.person))
    return fail(Errc::denied, "the inviting server did not let person {} in", identity.person);
  for (const auto& record : reply.records()) {
    if (auto done = roster.accept(record); !done)
      log.debug("join: a server record was left out: {}", done.error().message);
  }
  for (const auto& [id, entry] : keys.book().records()) joined.rotations.push_back(entry.record);
  joined.contents.genesis = reply.genesis();
  joined.contents.admissions = roster.admissions();
  for (const auto& [id, entry] : roster.servers()) joined.contents.records.push_back(entry.record);
  for (const auto& [id, entry] : roster.outdated()) joined.contents.records.push_back(entry.record);
  joined.observed_host = reply.observed_host().substr(0, 255);
  return joined;
}

}  // namespace

Task<Result<Joined>> join_network(Runtime& runtime, Rpc& rpc, Invite invite,
                                  const Identity& identity, std::uint64_t capacity_bytes,
                                  bool recover, const std::optional<RecoveryClaim>& recovery) {
  SPATTER_ASSERT(invite.network == identity.network);
  const auto now = runtime.wall_ms();
  if (invite.expires_ms < now - 24 * 3600 * 1000)  // clocks differ: the inviter decides on less
    co_return fail(Errc::denied, "this invite has expired: ask for a new one");
  const auto record = make_server_record(identity, {}, capacity_bytes, capacity_bytes,
                                         static_cast<std::uint64_t>(std::max<WallMs>(now, 1)));
  wire::JoinRequest request;
  request.set_secret(invite.secret.data(), invite.secret.size());
  *request.mutable_record() = record;
  request.set_recover(recover);
  if (recovery) {
    request.set_recovery(recovery->recovery.raw());
    request.set_recovery_signature(recovery->signature);
  }

  Error last{Errc::unavailable, "the invite names no address"};
  for (const auto& address : invite.addresses) {
    auto answer = co_await rpc.call_address(
        address, invite.inviter, {method::join, request.SerializeAsString(), {}},
        {.timeout = std::chrono::seconds(20)});
    if (!answer) {
      last = std::move(answer).error();
      // The inviter itself has spoken: other addresses lead to the same answer.
      if (last.code == Errc::denied || last.code == Errc::no_space || last.code == Errc::not_found)
        co_return fail(last);
      last = last.during(address.text());
      continue;
    }
    wire::JoinReply reply;
    if (!reply.ParseFromString(answer->second.body))
      co_return fail(Errc::invalid, "the inviting server's answer cannot be read");
    CO_TRY(auto joined, check_reply(reply, identity, runtime.wall_ms(), runtime.log()));
    if (joined.other_key) co_return joined;
    // Our own record belongs to what we know, whatever the inviter sent.
    const auto is_own = [&](const wire::Signed& other) { return other.key() == record.key(); };
    std::erase_if(joined.contents.records, is_own);
    joined.contents.records.push_back(record);
    co_return joined;
  }
  co_return fail(last.during("the inviting server cannot be reached"));
}

}  // namespace spatter
