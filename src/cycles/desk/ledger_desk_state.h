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
    WallMs made_ms = 0;   ///< of whatever came first
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
  /// Keeps in mind what an entry of the ledger says about a lease.
  void note(const Entry& entry);
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
  };
  /// Checks an entry and takes it into the ledger and, when it is new, onto the drive. `from_maker`: just now, so its date
  /// must be of now. Errors: corrupt, invalid, denied (another network, person, date), not_found (a server that is not
  /// known here), busy (its maker makes too many).
  Task<Result<Taken>> take(wire::CyclesRecord record, bool from_maker);
  Result<Taken> take_unkept(const wire::CyclesRecord& record, bool from_maker);
  Task<void> prove_fork(EntryId one, EntryId other);
  /// To a few of the others, and to those named; not to `but`, who has it.
  void tell(const wire::CyclesRecord& record, std::vector<ServerId> named, std::optional<ServerId> but = {});
  Task<void> push_to(ServerId server);
  Task<void> sync_loop();
  Task<Result<std::size_t>> sync_with(ServerId server);
  Task<void> learn_own_chain();
  Task<Result<RpcReply>> handle_push(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_sync(Caller caller, RpcRequest request);

  // ledger_witness.cpp
  /// `delivery`: this server is the worker, and wants it witnessed that it gave.
  Task<void> complain(EntryId lease, bool delivery);
  Task<wire::CyclesWitnessReply::State> ask_witness(PersonId person, const wire::CyclesWitnessRequest& request);
  Task<void> watch_delivery(EntryId lease);
  Task<Result<RpcReply>> handle_witness(Caller caller, RpcRequest request);
  Task<wire::CyclesWitnessReply::State> look_at_refusal(const Entry& lease, const wire::CyclesRecord& record);
  Task<wire::CyclesWitnessReply::State> look_at_delivery(const Entry& lease, const Entry& delivery);
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
  std::map<EntryId, EntryId> early_receipts;  ///< by delivery, which is not here yet
  std::map<std::pair<ServerId, Digest>, std::set<EntryId>> leases_for;  ///< by asker and work
  std::set<EntryId> receipting, complaining;
  std::map<ServerId, std::uint64_t> absent_asked;  ///< in which epoch
  std::set<std::pair<ServerId, std::uint64_t>> forks;
  std::map<EntryId, TimePoint> silent_since;  ///< leases whose worker a witness here could not reach
  std::map<EntryId, wire::CyclesRecord> verdicts;  ///< own ones
  std::map<EntryId, Given> given;             ///< answers of this server

  Allowances<ServerId> pushes{4096, 32}, syncs{64, 2}, questions{64, 0.5};
  Allowances<ServerId> makers{200'000, 4};  ///< entries of one chain
  std::map<ServerId, std::deque<wire::CyclesRecord>> outbox;
  std::set<ServerId> pushing;
  Members::Subscription subscription = 0;
  WaitQueue members_changed;
  WaitQueue pledging;
  Mutex answering;    ///< what is decided is entered before the next is decided
  TaskGroup tasks;
};

}  // namespace spatter
