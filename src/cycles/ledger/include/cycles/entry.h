// The entries of which the ledger is made. Each server keeps one chain of them: everything it says
// about cycles (promises, asks, answers, deliveries, receipts, verdicts) is an entry with the next number and
// the hash of the one before, signed with its key. What two servers agree on is two entries, one in
// each chain, of which the later names the earlier: a receipt names the delivery that it is for, a
// delivery its lease. So nothing can be inserted later, taken back, or told differently to
// different people without a proof of it: two entries with one number.
//
// All functions are pure; any thread. Which person a server belongs to, and who may be in the network at
// all, is for the caller to check (certificates).
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "base/ids.h"
#include "chance/draw.h"
#include "cycles/ledger_rules.h"
#include "trust/signed.h"
#include "wire/proto/cycles.pb.h"

namespace spatter::cycles {

inline constexpr std::string_view entry_kind = "cycles";
/// A record with a longer body, or that says more, is refused unread.
inline constexpr std::size_t entry_bytes_max = 256, what_bytes_max = 2048;

/// SHA-256 of an entry's body.
using EntryId = Id<struct CyclesEntryTag>;

/// "I give so much of all my cores." The newest counts.
struct Pledge {
  std::uint32_t share_ppm = 0;   ///< 0 ends it
  std::uint64_t from_month = 0;  ///< not before; a past one means as soon as it may count
  bool operator==(const Pledge&) const = default;
};
/// "I ask you for so much."
struct Lease {
  ServerId worker;
  Fuel fuel = 0;
  bool best_effort = false;  ///< spends no entitlement; nobody owes it
  Digest job;                ///< names what is to be computed
  bool operator==(const Lease&) const = default;
};
/// "I will", or why not. Numbers are part of the format.
struct Answer {
  enum class Kind : std::uint8_t { accepted = 1, time_taken = 2, not_entitled = 3, clocks_differ = 4, unwilling = 5 };
  EntryId lease;
  Kind kind = Kind::accepted;
  bool operator==(const Answer&) const = default;
};
/// "Here it is."
struct Delivery {
  EntryId lease;
  Fuel fuel = 0;
  Digest output;
  bool operator==(const Delivery&) const = default;
};
/// "I have it, verified so much of it, and it took so long."
struct Receipt {
  EntryId delivery;
  Fuel fuel = 0;
  std::uint64_t elapsed_ms = 0;
  bool operator==(const Receipt&) const = default;
};
/// "I was drawn to look at it, and this is what I found." Numbers are part of the format.
struct Verdict {
  enum class Finding : std::uint8_t { not_given = 1, delivered = 2 };
  EntryId lease;
  Finding finding = Finding::not_given;
  VrfProof draw{};  ///< by the asker (not_given) or the worker (delivered): who was drawn (witnesses.h)
  bool operator==(const Verdict&) const = default;
};
/// Two signed entries with one number by one key.
struct Fork {
  ServerId server;
  std::uint64_t number = 0;
  wire::Signed one, other;
};

using What = std::variant<Pledge, Lease, Answer, Delivery, Receipt, Verdict, Fork>;
std::string_view to_string(const What& what);  ///< "pledge", "lease", ...
std::string_view to_string(Answer::Kind kind);

/// An entry whose form and signature were checked.
struct Entry {
  EntryId id;
  ServerId server;
  PublicKey key{};
  PersonId person;
  std::uint64_t number = 0;
  std::optional<EntryId> previous;  ///< none in the first
  WallMs made_ms = 0;
  What what;
};

/// The end of a chain: what the next entry follows.
struct ChainHead {
  std::uint64_t number = 0;  ///< 0: nothing yet
  EntryId id;
  WallMs made_ms = 0;
};

struct MadeEntry {
  wire::CyclesRecord record;
  Entry entry;
};
/// The next entry. It is dated `now`, or as late as the entry before it, or as what it answers
/// (`cause_ms`), whichever is latest. It must be durable before anybody sees it.
MadeEntry make_entry(const SigningKey& server, const NetworkId& network, const PersonId& person, const ChainHead& head,
                     const What& what, WallMs now, WallMs cause_ms = 0);

/// Form, bounds and signature. Errors name the field: Errc::invalid, Errc::corrupt (the signature, or
/// what it says is not what was signed), Errc::denied (another network).
Result<Entry> check_entry(const wire::CyclesRecord& record, const NetworkId& network);
/// The same from bytes.
Result<Entry> read_entry(ByteView bytes, const NetworkId& network);

/// The proof, when there is one: both signatures hold, one key, one number, different bodies. The
/// error says what is missing.
Result<Fork> make_fork(const wire::Signed& one, const wire::Signed& other, const NetworkId& network);

}  // namespace spatter::cycles
