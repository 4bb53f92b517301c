// The trust records of a network at one server: kept durably, compared with the other members, and
// weighed (trust/standing.h). Says who is trusted, to the list of members and to everybody else.
//
// Records travel as server records do: pushed on by whoever finds them new, and compared every now and
// then, in buckets, so that a comparison of equals costs 2 KiB. They prove themselves, so it does not
// matter who brings them; members alone may.
//
// Which key a person has follows from them, too: the list of members asks it here.
//
// All calls on the executor. Durable: own records before anybody sees them; others' before the push
// that brought them is answered.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "base/database.h"
#include "base/runtime.h"
#include "base/sync.h"
#include "directory/gossip.h"
#include "net/rpc.h"
#include "trust/record_book.h"

namespace spatter {

struct TrustExchangeOptions {
  Duration compare_every = std::chrono::seconds(60);  ///< with each member that is up; jittered
  Duration call_timeout = std::chrono::seconds(10);
  std::size_t push_fanout = 16;
  /// Records that one member may bring at once, and per second in the long run.
  std::size_t push_burst = 4096;
  std::size_t push_per_s = 20;
};

class TrustExchange {
 public:
  /// References outlive it, `identity` included.
  struct Parts {
    Runtime& runtime;
    Rpc& rpc;
    const Identity& identity;
    GossipMembers& members;
  };
  /// `path`: of its database below the drive. It is what `members` asks about trust while it lives.
  static Task<Result<std::unique_ptr<TrustExchange>>> open(Parts parts, GenesisFacts genesis,
                                                           std::string path,
                                                           TrustExchangeOptions options = {});
  ~TrustExchange();

  void start();
  Task<void> stop();  ///< before GossipMembers::stop

  const GenesisFacts& genesis() const { return genesis_; }
  std::uint64_t epoch() const { return genesis_.epoch_of(parts_.runtime.wall_ms()); }
  /// As of now. Until the next call.
  const Standings& standings() const;
  /// A record that is held; nullptr: none of this id.
  const TrustFacts* find(const Digest& id) const;

  /// What a key has signed, whether it counts or not. Until records come.
  std::vector<const TrustFacts*> signed_by(const PersonId& key) const;

  /// The key that a person signs with now, as far as is known here.
  PersonId key_of(const PersonId& person) const;
  /// Whether it is or was that person's; when a moment is given, then.
  bool was_key_of(const PersonId& key, const PersonId& person, std::optional<WallMs> at = {}) const;
  /// Whose key it was in an epoch: what he drew then goes on to count.
  std::optional<PersonId> person_with(const PersonId& key, std::uint64_t epoch) const;
  /// Whether anybody has changed his key ever.
  bool has_rotations() const { return book_.has_rotations(); }
  /// After a person's key has become another.
  std::function<void()> on_keys_changed;

  /// Puts records into the database of a drive that is being made. Durable on return.
  static Task<Result<void>> keep(Runtime& runtime, std::string path, std::vector<wire::TrustRecord> records);
  /// Whether all that the own person has signed can be known here: a member has been compared with
  /// since the start, or there is none but own servers that are off. Before, a number might be used
  /// twice.
  bool knows_own_records() const;
  /// Waits until that is so. Errc::unavailable: nobody has been compared with within so long.
  Task<Result<void>> know_own_records(Duration within);

  /// Checks a record of the own person, keeps it and sends it on. Durable on return. Errors as of
  /// RecordBook::add; exists: it is held already; denied: `counts` says of the standings with it that it
  /// changes nothing. Such a record would take a place, or use a number up, for nothing.
  using Counts = std::function<bool(const Standings&, const Digest& id)>;
  /// `later`: it goes out with other records that need it.
  enum class Send { now, later };
  Task<Result<Digest>> publish(wire::TrustRecord record, Counts counts, Send send = Send::now);

  struct CheckedLot {
    GivenLot lot;
    VrfOutput draw{};         ///< that its proof proves
    std::uint64_t epoch = 0;  ///< in which it was drawn
  };
  /// Asks a server of somebody who will judge the own person's clip for his lot for the phrase.
  Task<Result<CheckedLot>> ask_lot(ServerId server, Digest basis);

  /// After records or new persons have come, or an epoch has begun.
  std::function<void()> on_changed;

 private:
  using Folded = std::array<std::uint64_t, 256>;
  using Records = google::protobuf::RepeatedPtrField<wire::TrustRecord>;

  TrustExchange(Parts parts, GenesisFacts genesis, std::unique_ptr<Database> database,
                TrustExchangeOptions options);

  Task<Result<void>> load();
  Task<Result<void>> save();
  void changed();
  void look_at_keys();
  bool was_had(const PersonId& key, const PersonId& person, std::uint64_t epoch) const;
  std::vector<wire::Signed> rotations_of(const PersonId& person) const;
  void take_rotations(const google::protobuf::RepeatedPtrField<wire::Signed>& records, const ServerId& from);
  Task<void> save_soon();
  void members_changed();
  Folded folded() const;
  bool take_allowance(const Caller& from, int records);
  /// True: some could not be placed yet, because what they refer to has not come.
  Task<Result<bool>> take(Records records, ServerId from);
  void send_on(const std::vector<Digest>& ids, std::optional<ServerId> from);

  Task<Result<RpcReply>> handle_compare(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_get(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_push(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_lot(Caller caller, RpcRequest request);
  Result<void> check_member(const Caller& caller) const;

  Task<void> compare_loop();
  Task<void> compare_soon(ServerId id);
  Task<void> epoch_loop();
  Task<Result<void>> compare_with(ServerId id);
  Task<void> push_to(ServerId id, std::string body);

  Parts parts_;
  GenesisFacts genesis_;
  std::unique_ptr<Database> database_;
  TrustExchangeOptions options_;
  RecordBook book_;
  std::set<Digest> saved_;
  std::set<Digest> refused_;  ///< ids that were looked at and not taken; not asked for again
  std::set<ServerId> comparing_;
  Event compared_;  ///< with a member, since the start
  Allowances<ServerId> allowances_;
  Members::Subscription subscription_ = 0;
  std::size_t persons_seen_ = 0;
  std::set<ServerId> greeted_;  ///< members that were up when last looked at

  mutable std::vector<TrustFacts> admissions_;  ///< of the first so many of the roster's
  std::uint64_t revision_ = 1;                  ///< of the book
  struct Weighed {
    std::uint64_t revision = 0;
    std::size_t admissions = 0;
    std::uint64_t epoch = 0;
    bool operator==(const Weighed&) const = default;
  };
  std::map<PersonId, PersonId> keys_seen_;      ///< of those who have changed theirs
  std::map<PersonId, PersonId> owner_of_;       ///< of all of their keys but the first ones
  mutable Weighed weighed_as_;
  mutable Standings weighed_;
  TaskGroup tasks_;
};

}  // namespace spatter
