// The ledger's state between two epochs. Copied at the beginning of each month, so that late entries can
// be taken in.
#pragma once

#include <algorithm>
#include <deque>

#include "cycles/ledger.h"

namespace spatter::cycles {

/// A part of a server's promise that was asked for.
struct AskedPart {
  Span span;
  bool delivered = false;
};

struct ServerMonth {
  Mark end = 0;  ///< all promised up to the end of the month
  Fuel promised = 0, delivered = 0, undelivered = 0;
  bool operator==(const ServerMonth&) const = default;
  /// Not more than was promised and not given: who refused one and gave the same time to another
  /// has kept his promise.
  Fuel owed() const { return std::min(undelivered, promised - std::min(promised, delivered)); }
};

struct ServerState {
  PersonId person;
  Promise promise;
  Mark taken = 0;           ///< everything before this is taken
  std::deque<Mark> ends;    ///< promised up to the end of each of the last epochs, newest last
  std::vector<AskedPart> parts;  ///< not in a closed month yet
  std::map<std::uint64_t, ServerMonth> months;
};

struct PersonState {
  std::vector<ServerId> servers;
  Fuel debt = 0;  ///< of closed months
  std::uint64_t barred_from = 0, barred_until = 0;
  std::map<std::uint64_t, MonthView> months;
  Fuel promised_before(std::uint64_t month) const {
    const auto last = months.find(month - 1);
    return month > 0 && last != months.end() ? last->second.promised : 0;
  }
  bool barred(std::uint64_t epoch) const { return epoch >= barred_from && epoch < barred_until; }
};

/// A lease until it is settled.
struct LeaseState {
  enum class Said { nothing, promised, freely, refused };
  const Entry* entry = nullptr;
  std::uint64_t epoch = 0;
  bool entitled = false;
  bool held = false;      ///< its fuel is counted as spent
  Said said = Said::nothing;
  bool conforms = false;
  Span span;              ///< what it takes, or would have taken
  const Entry* delivery = nullptr;
  const Entry* receipt = nullptr;
  std::set<PersonId> found_not_given, found_delivered;

  const Lease& lease() const { return std::get<Lease>(entry->what); }
  /// Verified, and in time.
  Fuel delivered() const;
};

struct Ledger::State {
  std::uint64_t next_epoch = 0;
  std::map<ServerId, ServerState> servers;
  std::map<PersonId, PersonState> persons;
  std::map<EntryId, LeaseState> leases;
  std::map<EntryId, EntryId> deliveries;  ///< to their leases
  std::map<std::uint64_t, std::vector<EntryId>> asked;  ///< leases to settle, by epoch
  std::set<std::pair<ServerId, std::uint64_t>> forks;   ///< proven
  /// Who promised something in each of the last epochs, newest last: they witness.
  std::deque<std::shared_ptr<const std::vector<PersonId>>> promising;
};

/// How much of a person's entitlement debt takes, in a month before which he promised so much.
std::uint32_t docked_ppm(Fuel debt, Fuel promised_before);
/// A month as it stands when promise has come to `now` at each server.
void add_open_parts(const ServerState& server, std::uint64_t month, Mark end, ServerMonth& out);

}  // namespace spatter::cycles
