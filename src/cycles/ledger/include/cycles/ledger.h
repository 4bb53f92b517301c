// The ledger: what everybody promised, was asked for, gave and owes, by the month. It is computed from
// the entries of the chains alone, by a pure rule, so that all who have the same entries come to the same
// numbers, in whatever order and however often they got them. docs/ledger.md has the rule.
//
// Epochs are closed one after the other, when the entries dated in them are there; an entry that comes later
// opens them again, from the beginning of its month at most. No clock, no disk (store.h), no network: one
// caller at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "cycles/entry.h"
#include "cycles/promise.h"
#include "cycles/witnesses.h"

namespace spatter::cycles {

/// A person's month.
struct MonthView {
  std::uint64_t month = 0;
  bool closed = false;      ///< nothing of it changes any more, but for entries that come very late
  Fuel promised = 0;        ///< by his servers, so far
  Fuel asked = 0;           ///< of that: delivered and owed
  Fuel delivered = 0;       ///< of what was asked
  Fuel owed = 0;            ///< asked, promised and not delivered, as witnesses agree
  Fuel beyond = 0;          ///< delivered on top of the promise, or where nobody owed it
  Fuel repaid = 0;          ///< of that: debt worked off
  Fuel debt = 0;            ///< at the end of the month, or now: what is owed of the months before it
  std::uint32_t docked_ppm = 0;  ///< in its last epoch, or now: how much of the entitlement debt takes
  Fuel docked = 0;          ///< what it has taken this month
  Fuel entitlement = 0;     ///< to others' promised time, so far; ends with the month
  Fuel spent = 0;
  bool operator==(const MonthView&) const = default;
};

/// How a server is promising now.
struct ServerView {
  ServerId server;
  std::uint32_t share_ppm = 0;
  std::optional<Promise::Coming> coming;
  Fuel speed = 0;     ///< per second, with all cores
  Fuel in_epoch = 0;
  Fuel reserved = 0;  ///< of its coming promise
};

class Ledger {
 public:
  /// `rules` must pass check_rules.
  Ledger(const NetworkId& network, const LedgerRules& rules);
  Ledger(Ledger&&) noexcept;
  ~Ledger();

  const NetworkId& network() const { return network_; }
  const LedgerRules& rules() const { return rules_; }

  struct Added {
    bool fresh = false;  ///< false: it was here already
    /// Another entry of this server with the same number: both together are a proof (make_fork).
    std::optional<EntryId> conflict;
  };
  /// Takes a checked entry, in any order. Errc::denied for a server that is another person's here.
  /// Whether its date may be true is for the caller who has it from its maker (check_dated).
  Result<Added> add(Entry entry);
  const Entry* find(const EntryId& id) const;
  /// Of each chain the number up to which no entry is missing here: what is asked of others begins after it.
  const std::map<ServerId, std::uint64_t>& whole_until() const { return whole_until_; }
  /// The first that came with that number.
  const Entry* find(const ServerId& server, std::uint64_t number) const;
  std::size_t size() const { return entries_.size(); }

  /// Closes all epochs before `epoch`. Worth doing when the clock is one epoch past it: then whoever's
  /// clock is right within clock_epochs_max has passed them, and what is decided next knows all that counts.
  void close_until(std::uint64_t epoch);
  std::uint64_t closed_until() const;

  // What follows speaks of the state at closed_until().

  /// Oldest first; the last is the month that goes on.
  std::vector<MonthView> months(const PersonId& person) const;
  std::vector<ServerView> servers(const PersonId& person) const;
  std::vector<PersonId> persons() const;
  /// What the person may ask for in the epoch of `now`.
  Fuel affordable(const PersonId& person, WallMs now) const;
  Fuel debt(const PersonId& person) const;
  /// The first epoch in which a person proven to have told different people different things is entitled again.
  std::optional<std::uint64_t> barred_until(const PersonId& person) const;

  /// What the worker that it asks should answer now, by the rules. What was entered into its own chain since
  /// closed_until() is taken into account.
  struct Decision {
    Answer::Kind kind = Answer::Kind::accepted;
    bool promised = false;      ///< accepted: it takes of the promise; else it is given freely,
    bool reduces_debt = false;  ///< but what is given freely works off debt, if there is any
    Span span;
  };
  Decision decide(const Entry& lease, WallMs now) const;

  /// Who is to witness about a lease, drawn with that proof by the asker's key, or the worker's.
  /// Errors as check_draw's; Errc::not_found for a lease that is not here.
  Result<std::vector<PersonId>> witnesses(const EntryId& lease, const DrawProof& draw) const;

 private:
  struct State;
  struct Closing;
  friend struct Closing;

  void reopen();
  std::optional<VrfOutput> checked_draw(const Entry& lease, std::uint64_t epoch, const DrawProof& draw) const;
  /// What a server will promise in an epoch that is not closed yet.
  Promise promise_ahead(const ServerId& server, std::uint64_t epoch) const;
  /// `counting` goes over the entries dated in epochs that are not closed.
  void each_open(const std::function<void(const Entry&)>& counting) const;
  Mark taken_ahead(const ServerId& worker) const;
  /// Where a lease comes among those of a person.
  struct Place {
    WallMs made_ms = 0;
    std::uint64_t number = 0;
    ServerId server;
    bool operator<(const Place& other) const {
      return std::tie(made_ms, server, number) < std::tie(other.made_ms, other.server, other.number);
    }
  };
  Fuel affordable_before(const PersonId& person, const Place& place) const;

  NetworkId network_;
  LedgerRules rules_;
  std::unordered_map<EntryId, Entry> entries_;
  std::map<std::uint64_t, std::vector<const Entry*>> by_epoch_;
  std::map<std::pair<ServerId, std::uint64_t>, EntryId> numbers_;
  std::map<ServerId, PersonId> person_of_;
  std::map<ServerId, std::uint64_t> whole_until_;
  std::optional<std::uint64_t> late_;  ///< the earliest closed epoch that has got another entry
  std::unique_ptr<State> state_;
  std::map<std::uint64_t, std::unique_ptr<const State>> checkpoints_;  ///< by the epoch that is next
  mutable std::map<Digest, std::optional<VrfOutput>> draws_;           ///< checked before
};

}  // namespace spatter::cycles
