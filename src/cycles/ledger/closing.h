// One epoch being closed.
#pragma once

#include "state.h"

namespace spatter::cycles {

struct Ledger::Closing {
  const Ledger& ledger;
  const LedgerRules& rules;
  State& state;
  std::uint64_t epoch;                        ///< that is being closed: state.next_epoch
  const std::vector<const Entry*>* entries;   ///< dated in it, in any order; may be null
  std::uint64_t month;

  void close();

 private:
  void note_promising();
  void accrue();
  void take_entries();
  void take(const Entry& entry, const Pledge& pledge);
  void take(const Entry& entry, const Lease& lease);
  void take(const Entry& entry, const Answer& answer);
  void take(const Entry& entry, const Delivery& delivery);
  void take(const Entry& entry, const Receipt& receipt);
  void take(const Entry& entry, const Verdict& verdict);
  void take(const Entry& entry, const Fork& fork);
  void look_at_silent();
  void settle_all(std::uint64_t asked_epoch);
  void settle(LeaseState& asked);
  void give_back(LeaseState& asked, Fuel fuel);
  void end_epoch(ServerState& server);
  void close_month(std::uint64_t closed);

  ServerState& server_of(const Entry& entry);
  LeaseState* lease_of(const EntryId& id);
  std::optional<PublicKey> worker_key(const LeaseState& asked) const;
  static MonthView& month_of(PersonState& person, std::uint64_t number);
};

}  // namespace spatter::cycles
