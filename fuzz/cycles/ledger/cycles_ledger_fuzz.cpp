// What strangers send about cycles: whatever comes, it is refused or makes sense, what was read is written the same,
// and the ledger takes what has the right form, in any order, without a sum going wrong.
#include <cstdint>

#include "base/random.h"
#include "crypto/hash.h"
#include "cycles/ledger.h"
#include "cycles/ledger_view.h"

using namespace spatter;
using namespace spatter::cycles;

namespace {

constexpr std::size_t servers = 4;

struct World {
  SeededRandom random{1};
  NetworkId network{};  ///< all zero, so that the fuzzer finds it
  LedgerRules rules{.founded_ms = 0, .epoch_ms = 1000, .month_epochs = 16};
  std::vector<SigningKey> keys;
  std::vector<PersonId> persons;
  World() {
    for (std::size_t i = 0; i < servers; ++i) {
      keys.push_back(SigningKey::generate(random));
      persons.push_back(PersonId{{static_cast<std::uint8_t>(i + 1)}});
    }
  }
};

/// A record as it comes.
void try_record(const World& world, ByteView bytes) {
  const auto entry = read_entry(bytes, world.network);
  if (!entry) SPATTER_ASSERT(!entry.error().message.empty());
}

/// What it says, signed properly: what its form allows must come out as it went in.
void try_what(const World& world, std::string_view text) {
  wire::CyclesRecord record;
  record.set_what(std::string(text));
  wire::CyclesEntry body;
  body.set_network(world.network.raw());
  body.set_person(world.persons[0].raw());
  body.set_number(1);
  body.set_made_ms(5);
  body.set_what(sha256(as_bytes(text)).raw());
  *record.mutable_entry() = sign_message(world.keys[0], entry_kind, body);
  const auto entry = check_entry(record, world.network);
  if (!entry) return;
  const auto again = make_entry(world.keys[0], world.network, world.persons[0], {}, entry->what, 5);
  SPATTER_ASSERT(again.record.what() == text);
  SPATTER_ASSERT(again.entry.id == entry->id);
}

/// The signed part likewise.
void try_body(const World& world, std::string_view text) {
  wire::CyclesRecord record;
  *record.mutable_entry() = sign(world.keys[0], entry_kind, std::string(text));
  static_cast<void>(check_entry(record, world.network));
  static_cast<void>(make_fork(record.entry(), sign(world.keys[0], entry_kind, std::string(text) + "x"), world.network));
}

class Source {
 public:
  explicit Source(ByteView bytes) : bytes_(bytes) {}
  bool empty() const { return at_ >= bytes_.size(); }
  std::uint64_t next(unsigned count) {
    std::uint64_t number = 0;
    for (; count > 0 && !empty(); --count) number = number << 8 | bytes_[at_++];
    return number;
  }

 private:
  ByteView bytes_;
  std::size_t at_ = 0;
};

/// Entries of all kinds with numbers at will, added in two orders.
void try_ledger(const World& world, ByteView bytes) {
  Source source(bytes);
  Ledger ledger(world.network, world.rules);
  std::vector<Entry> all;
  const auto some = [&] { return all.empty() ? EntryId{} : all[source.next(1) % all.size()].id; };
  while (!source.empty() && all.size() < 40) {
    const std::uint64_t who = source.next(1) % servers, kind = source.next(1) % 6;
    Entry entry;
    entry.key = world.keys[who].public_key();
    entry.server = server_id(entry.key);
    entry.person = world.persons[who];
    entry.number = 1 + source.next(1);
    entry.made_ms = static_cast<WallMs>(source.next(2));
    entry.id.bytes[0] = static_cast<std::uint8_t>(all.size() + 1);
    const Fuel fuel = 1 + (source.next(6) & (lease_fuel_max - 1));
    switch (kind) {
      case 0: entry.what = Pledge{static_cast<std::uint32_t>(source.next(3) % (whole_ppm + 1)), source.next(8)}; break;
      case 1: entry.what = Lease{server_id(world.keys[source.next(1) % servers].public_key()), fuel, (fuel & 1) == 0, {}}; break;
      case 2: entry.what = Answer{some(), static_cast<Answer::Kind>(1 + source.next(1) % 5)}; break;
      case 3: entry.what = Delivery{some(), fuel, {}}; break;
      case 4: entry.what = Receipt{some(), fuel, 1 + source.next(4) % elapsed_ms_max}; break;
      default: entry.what = Verdict{some(), static_cast<Verdict::Finding>(1 + source.next(1) % 2), {}}; break;
    }
    all.push_back(entry);
    static_cast<void>(ledger.add(entry));
    if ((fuel & 7) == 0) ledger.close_until(static_cast<std::uint64_t>(entry.made_ms) / world.rules.epoch_ms);
    if (std::holds_alternative<Lease>(entry.what)) static_cast<void>(ledger.decide(entry, entry.made_ms));
  }
  Ledger backwards(world.network, world.rules);
  for (auto entry = all.rbegin(); entry != all.rend(); ++entry) static_cast<void>(backwards.add(*entry));
  ledger.close_until(100);
  backwards.close_until(100);
  for (const PersonId& person : world.persons) {
    const auto months = ledger.months(person);
    SPATTER_ASSERT(months == backwards.months(person));
    for (const MonthView& month : months) {
      SPATTER_ASSERT(month.asked <= month.promised);
      SPATTER_ASSERT(month.spent <= month.entitlement);
      static_cast<void>(explain(month));
    }
    for (const ServerView& server : ledger.servers(person)) static_cast<void>(explain(server));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const World world;
  if (size == 0) return 0;
  const ByteView rest(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0: try_record(world, rest); break;
    case 1: try_what(world, as_text(rest)); break;
    case 2: try_body(world, as_text(rest)); break;
    default: try_ledger(world, rest);
  }
  return 0;
}
