// What the parts of LedgerDesk share.
#pragma once

#include <deque>
#include <set>

#include "base/sync.h"
#include "cycles/ledger_desk.h"
#include "cycles/ledger_store.h"
#include "directory/allowances.h"

namespace spatter {

struct LedgerDesk::State : std::enable_shared_from_this<LedgerDesk::State> {
  State(Parts parts, LedgerDeskOptions options)
      : parts(std::move(parts)), options(options), rules(ledger_rules(this->parts.genesis)),
        ledger(this->parts.identity.network, rules), own_known(this->parts.runtime.executor()),
        members_changed(this->parts.runtime.executor()),
        pledging(this->parts.runtime.executor()), answering(this->parts.runtime.executor()), tasks(this->parts.runtime.executor()) {}

  using EntryId = cycles::EntryId;
  using Entry = cycles::Entry;
  using Fuel = cycles::Fuel;
  /// What has been said about a lease that is not settled yet, the first of each.
  struct Story {
    ServerId asker, worker;
    Digest work;
    std::optional<EntryId> answer, delivery, receipt;
    WallMs made_ms = 0;
    std::uint64_t seen_in = 0;  ///< epoch in which the lease came here
  };

  // ledger_desk.cpp
  std::uint64_t epoch() const { return rules.epoch_of(parts.runtime.wall_ms()); }
  TimePoint begin_of(std::uint64_t number) const;
  Task<void> epochs();
  void forget_settled();
  Task<void> say_pledge();
  Task<Result<Given>> decide(Entry lease, bool unwilling);
  std::optional<cycles::Pledge> pledge_to_say() const;
  /// The next entry of the own chain: durable, in the ledger, on its way to others.
  Task<Result<cycles::MadeEntry>> append(cycles::What what, WallMs cause_ms = 0);
  Task<std::optional<wire::CyclesRecord>> record_of(std::optional<EntryId> id);
  /// Keeps in mind what an entry of the ledger says about a lease, if it is by who may say it. `seen_in`: an epoch.
  void note(const Entry& entry, std::uint64_t seen_in);
  void note_about(Story& story, const EntryId& lease, const Entry& entry);
  std::uint32_t share_in_force() const;
  template <class T>
  const T* find(const std::optional<EntryId>& id) const {
    const Entry* entry = id ? ledger.find(*id) : nullptr;
    return entry ? std::get_if<T>(&entry->what) : nullptr;
  }
  Story* story_of(const EntryId& lease);

  // ledger_sync.cpp
  struct Taken {
    Entry entry;
    bool fresh = false;
    bool gap = false;  ///< what comes before it in its chain is not here: it was not taken
  };
  /// Checks an entry and takes it into the ledger and, when it is new, onto the drive; what is missing before it is asked
  /// of `from`. From its maker its date must be of now. Errors: corrupt, invalid (also: it does not follow the one before it), denied
  /// (another network, person, date), not_found (a server that is not known here), busy (its maker makes too many).
  Task<Result<Taken>> take(wire::CyclesRecord record, ServerId from);
  Result<Taken> take_unkept(const wire::CyclesRecord& record, bool from_maker);
  Task<void> prove_fork(EntryId one, EntryId other);
  /// To a few of the others, and to those named; not to `but`, who has it.
  void tell(const wire::CyclesRecord& record, std::vector<ServerId> named, std::optional<ServerId> but = {});
  Task<void> push_to(ServerId server);
  Task<void> sync_loop();
  /// All chains, or one. True: everything that it has is here now.
  Task<Result<bool>> sync_with(ServerId server, std::optional<ServerId> chain = {});
  Task<void> catch_up(ServerId server, ServerId chain);
  Task<void> learn_own_chain();
  Task<Result<RpcReply>> handle_push(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_sync(Caller caller, RpcRequest request);

  // ledger_witness.cpp
  /// `delivery`: this server is the worker, and wants it witnessed that it gave.
  Task<void> complain(EntryId lease, bool delivery);
  Task<wire::CyclesWitnessReply::State> ask_witness(PersonId person, const wire::CyclesWitnessRequest& request, cycles::Verdict wanted);
  Task<void> watch_delivery(EntryId lease);
  Task<Result<RpcReply>> handle_witness(Caller caller, RpcRequest request);
  Task<wire::CyclesWitnessReply::State> look_at_refusal(const Entry& lease, const wire::CyclesRecord& record);
  Task<void> look_and_say(cycles::Verdict verdict, EntryId delivery);
  Task<wire::CyclesWitnessReply::State> look_at_delivery(const Entry& lease, const Entry& delivery);
  Task<Result<wire::CyclesRecord>> say(cycles::Verdict verdict);
  bool is_contradicted(const Entry& lease, const cycles::Delivery& delivery) const;

  bool stopping() const { return tasks.stopping(); }

  Parts parts;
  LedgerDeskOptions options;
  cycles::LedgerRules rules;
  cycles::Ledger ledger;
  std::unique_ptr<cycles::LedgerStore> store;
  std::function<void(std::uint64_t)> on_epoch;

  std::optional<cycles::Pledge> wanted;   ///< what the chain is to say of now
  std::optional<cycles::Pledge> later;    ///< and of a later month
  std::optional<cycles::Pledge> said;     ///< its newest pledge
  std::uint64_t said_number = 0;
  Event own_known;                        ///< how far the own chain goes; before, nothing may be entered
  std::string trouble;

  std::map<EntryId, Story> stories;       ///< by lease
  std::map<EntryId, EntryId> lease_of;    ///< by delivery
  std::map<EntryId, std::set<EntryId>> early;  ///< what was said of leases and deliveries that are not here yet
  std::map<std::pair<ServerId, Digest>, std::set<EntryId>> leases_for;  ///< by asker and work
  std::set<EntryId> receipting, complaining;
  std::map<ServerId, std::uint64_t> absent_asked;  ///< in which epoch
  std::map<ServerId, std::uint64_t> forks;    ///< the month of the newest proof
  std::set<ServerId> proving, catching_up;
  WallMs own_made_ms = 0;                     ///< of the newest own entry
  std::map<EntryId, TimePoint> silent_since;  ///< leases whose worker a witness here could not reach
  using Finding = cycles::Verdict::Finding;
  std::map<std::pair<EntryId, Finding>, wire::CyclesRecord> verdicts;  ///< own ones
  std::set<EntryId> looking;
  std::map<EntryId, Given> given;             ///< answers of this server

  Allowances<ServerId> pushes{4096, 32}, syncs{64, 2}, questions{64, 0.5};
  Allowances<ServerId> makers{100'000, 10};  ///< entries of one chain
  Allowances<ServerId> askers{2000, 1};      ///< leases that are answered
  std::map<ServerId, std::deque<wire::CyclesRecord>> outbox;
  std::set<ServerId> pushing;
  Members::Subscription subscription = 0;
  WaitQueue members_changed;
  WaitQueue pledging;
  Mutex answering;    ///< what is decided is entered before the next is decided
  TaskGroup tasks;
};

}  // namespace spatter
