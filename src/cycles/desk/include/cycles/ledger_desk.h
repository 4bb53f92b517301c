// The ledger in a running server: keeps this server's chain, gets the others', asks and answers for work
// as the rule says, and has drawn witnesses look when somebody does not give or does not receipt.
// docs/ledger.md is the reference.
//
// All calls on the executor; the parts outlive it; await stop() before it dies. Durable: an entry of the own
// chain before anybody gets it, entries of others when they are taken in.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/runtime.h"
#include "cycles/ledger.h"
#include "cycles/work_wire.h"
#include "directory/members.h"
#include "trust/certificate.h"
#include "wire/proto/cycles.pb.h"

namespace spatter {

struct LedgerDeskOptions {
  Duration sync_every = std::chrono::seconds(60);  ///< asks somebody for what is missing; at most half an epoch
  std::size_t passed_on_to = 4;                    ///< who is told of new entries, besides those concerned
};

/// The rules of a network, as its genesis has them.
cycles::LedgerRules ledger_rules(const GenesisFacts& genesis);
/// What leases for a piece of work name it by.
Digest work_name(const ServerId& asker, ByteView job, std::uint32_t piece);

class LedgerDesk {
 public:
  struct Parts {
    Runtime& runtime;
    WorkWire& wire;
    Members& members;
    const Identity& identity;
    const GenesisFacts& genesis;
  };
  explicit LedgerDesk(Parts parts, LedgerDeskOptions options = {});
  ~LedgerDesk();

  /// Opens cycles.db and serves cycles.push, sync and witness. Errc::corrupt names an entry that does not stand
  /// its check.
  Task<Result<void>> start();
  Task<void> stop();
  /// Runs when an epoch has begun and the ones before it are closed as far as they can be.
  std::function<void(std::uint64_t month)> on_epoch;

  /// What the chain is to say from now on, and of a later month; it does as soon as it may.
  void set_pledge(std::uint32_t share_ppm, std::optional<cycles::Pledge> later);

  // As who asks for work.

  struct Asked {
    cycles::EntryId lease;
    wire::CyclesRecord record;
    bool entitled = false;
  };
  /// A lease, durable: entitled if there is enough left, and unless that is not wanted. Errc::unavailable while it
  /// is not known yet how far the own chain goes.
  Task<Result<Asked>> ask(ServerId worker, cycles::Fuel fuel, Digest work, bool best_effort = false);
  /// An answer or a delivery by the worker, to that lease. Errors: corrupt (of another, to something else, doubled),
  /// denied (its date).
  Task<Result<cycles::Answer::Kind>> answered(cycles::EntryId lease, wire::CyclesRecord answer);
  Task<Result<void>> delivered(cycles::EntryId lease, wire::CyclesRecord delivery);
  /// The result is believed: receipts what that worker has delivered of that work, once. No time is known: since it was asked.
  Task<void> receipt(Digest work, ServerId worker, cycles::Fuel fuel, std::optional<Duration> elapsed);
  /// It was not given: drawn witnesses are asked to look. Nothing happens for best effort.
  void not_given(cycles::EntryId lease);
  /// Asks a server that is not there for part of its promise, once an epoch, so that its absence is known.
  void ask_absent(ServerId worker, cycles::Fuel fuel, Digest work);

  // As a worker.

  struct Given {
    cycles::EntryId lease;
    cycles::Answer::Kind answer = cycles::Answer::Kind::accepted;
    std::optional<wire::CyclesRecord> record;  ///< of the answer, if there is one: refused favours and what is not entitled get none
    bool promised = false;       ///< accepted, and it takes of the promise
  };
  /// What is said to a lease for that work, and said already, if it was. `unwilling`: it will not be done, whatever
  /// the ledger says, and that is this machine's doing. Errors: denied (not by `asker`, not for this, its date), corrupt, busy (the
  /// asker asks too often), unavailable as of ask.
  Task<Result<Given>> answer(ServerId asker, Digest work, wire::CyclesRecord lease, bool unwilling);
  /// The entry that says it was delivered; the same when it was said before.
  Task<Result<wire::CyclesRecord>> deliver(cycles::EntryId lease, cycles::Fuel fuel, Digest output);
  /// What a witness asks for: takes the lease in, if it is for this server, and says what was said to it. `unwilling`
  /// tells whether it would be refused now, which is then said to a lease that has no answer yet.
  struct Standing {
    cycles::EntryId lease;
    ServerId asker;
    std::optional<wire::CyclesRecord> answer, delivery;
    bool refused = false;
  };
  Task<Result<Standing>> standing(ServerId witness, wire::CyclesRecord lease, std::function<bool(const ServerId& asker)> unwilling);
  bool receipted(const cycles::EntryId& lease) const;
  /// Whether a witness drawn by this server for a lease is a server of that person.
  bool may_see(const cycles::EntryId& lease, const PersonId& witness) const;

  // For people.

  const cycles::Ledger& ledger() const;
  std::uint64_t month() const;  ///< by the clock
  /// Of the leases that are not settled yet: what of it was asked of this person's servers, and given.
  struct Unsettled {
    std::uint64_t leases = 0;
    cycles::Fuel asked = 0, delivered = 0;      ///< of this person's servers
    cycles::Fuel asked_of_others = 0, received = 0;
  };
  Unsettled unsettled() const;
  std::string trouble() const;  ///< why nothing is entered now, for people; empty: it is

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace spatter
