#include "ledger.h"

#include <algorithm>

#include "crypto/merkle.h"
#include "shard_file.h"

namespace spatter::serverhalf {
namespace {

/// File systems and SQLite alike give space in pages of this size.
constexpr std::uint64_t page_bytes = 4096;
/// A row with its entries in three indexes, on b-tree pages that are two thirds full.
constexpr std::uint64_t row_bytes = 1024;

std::uint64_t whole_pages(std::uint64_t bytes) {
  return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

constexpr std::uint64_t empty_database_bytes = 64 << 10;

std::uint64_t minus(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

Charge charge_for(std::uint64_t size, std::uint64_t descriptor_bytes,
                  std::uint64_t contract_bytes) {
  Charge charge;
  charge.rows = row_bytes + descriptor_bytes + 2 * contract_bytes;
  const std::uint64_t hashes = leaf_count(size) * 32;
  if (size <= shard_inline_bytes_max)
    charge.rows += whole_pages(size + hashes);
  else
    charge.files = whole_pages(size + hashes + descriptor_bytes + contract_bytes + footer_bytes);
  return charge;
}

Charge charge_at_most(std::uint64_t size) {
  return charge_for(size, descriptor_bytes_max, contract_bytes_max);
}

std::uint64_t log_allowance(std::uint64_t budget) {
  return std::clamp<std::uint64_t>(budget / 16, 256 << 10, 32 << 20);
}

Charge charge_for_root(std::uint64_t record_bytes) {
  return {.rows = whole_pages(record_bytes + row_bytes)};
}

Ledger::Room& Ledger::Room::operator=(Room&& other) noexcept {
  give_back();
  owner_ = std::exchange(other.owner_, nullptr);
  person_ = other.person_;
  charge_ = other.charge_;
  return *this;
}

void Ledger::Room::give_back() {
  Ledger* owner = std::exchange(owner_, nullptr);
  if (!owner) return;
  SPATTER_ASSERT(owner->reserved_.rows >= charge_.rows && owner->reserved_.files >= charge_.files);
  owner->reserved_.rows -= charge_.rows;
  owner->reserved_.files -= charge_.files;
  auto charged = owner->charged_.find(person_);
  SPATTER_ASSERT(charged != owner->charged_.end() && charged->second >= charge_.total());
  charged->second -= charge_.total();
  if (charged->second == 0) owner->charged_.erase(charged);
}

Result<Ledger::Room> Ledger::reserve(const PersonId& person, Charge need, const Admission& policy,
                                     const Reciprocity& reciprocity) {
  const std::uint64_t in_budget = free_in_budget(need.rows);
  if (need.total() > in_budget)
    return fail(Errc::no_space, "this server half is full: {} bytes wanted, {} of {} free",
                need.total(), in_budget, budget_);
  if (need.total() > free_on_disk())
    return fail(Errc::no_space, "the disk of this server is full: {} bytes wanted, {} free for others",
                need.total(), free_on_disk());
  const auto charged = charged_.find(person);
  TRY_VOID(policy.admit({.person = person,
                         .reciprocity = reciprocity,
                         .need = need.total(),
                         .kept_for_person = charged == charged_.end() ? 0 : charged->second,
                         .used = used_.total() + reserved_.total(),
                         .budget = budget_}));
  reserved_.rows += need.rows;
  reserved_.files += need.files;
  charged_[person] += need.total();
  return Room(this, person, need);
}

void Ledger::settle(Room room, Charge actual) {
  SPATTER_ASSERT(room.owner_ == this);
  SPATTER_ASSERT(actual.rows <= room.charge_.rows && actual.files <= room.charge_.files);
  const PersonId person = room.person_;
  room.give_back();
  found(person, actual);
  since_look_.rows += actual.rows;
  since_look_.files += actual.files;
}

void Ledger::found(const PersonId& person, Charge charge) {
  used_.rows += charge.rows;
  used_.files += charge.files;
  charged_[person] += charge.total();
}

void Ledger::gone(const PersonId& person, Charge charge) {
  SPATTER_ASSERT(used_.rows >= charge.rows && used_.files >= charge.files);
  used_.rows -= charge.rows;
  used_.files -= charge.files;
  auto charged = charged_.find(person);
  SPATTER_ASSERT(charged != charged_.end() && charged->second >= charge.total());
  charged->second -= charge.total();
  if (charged->second == 0) charged_.erase(charged);
}

void Ledger::shard_kept(const PersonId& person, const ServerId& server, std::uint64_t bytes,
                        std::uint64_t count) {
  auto& kept = kept_[{person, server}];
  kept.bytes += bytes;
  kept.shards += count;
  shards_ += count;
}

void Ledger::shard_gone(const PersonId& person, const ServerId& server, std::uint64_t bytes) {
  auto kept = kept_.find({person, server});
  SPATTER_ASSERT(kept != kept_.end() && kept->second.bytes >= bytes && kept->second.shards >= 1);
  kept->second.bytes -= bytes;
  --kept->second.shards;
  --shards_;
  if (kept->second.shards == 0) kept_.erase(kept);
}

void Ledger::looked(const DiskLook& look) {
  look_ = look;
  has_looked_ = true;
  since_look_ = {since_look_.rows - before_look_.rows, since_look_.files - before_look_.files};
  before_look_ = {};
}

bool Ledger::look_is_stale(Charge need) const {
  if (!has_looked_) return true;
  // The estimate for rows is only that: it is held against the truth often.
  if (since_look_.rows > std::min<std::uint64_t>(4 << 20, budget_ / 16)) return true;
  const std::uint64_t above = minus(look_.free, disk_reserve_);
  return since_look_.files + reserved_.total() + need.total() > above / 4;
}

std::uint64_t Ledger::free_in_budget(std::uint64_t rows_wanted) const {
  const std::uint64_t rows = used_.rows + reserved_.rows;
  // Pages that releases left free in the database are room for rows, not for files.
  const std::uint64_t reusable = std::min(minus(look_.database, rows), rows_wanted);
  // The log is moved at its limit, but one commit may come on top: all rows that are on their way.
  const std::uint64_t log = std::max({log_allowance(budget_), look_.log,
                                      log_limit(budget_) + reserved_.rows + rows_wanted});
  const std::uint64_t taken = used_.files + reserved_.files + look_.strays + aside_ + empty_database_bytes +
                              std::max(rows, look_.database) + log;
  return minus(budget_ + reusable, taken);
}

std::uint64_t Ledger::free_on_disk() const {
  if (!has_looked_) return 0;
  const std::uint64_t reserve = std::min(disk_reserve_, look_.total / 16);
  return minus(look_.free, reserve + reserved_.total() + since_look_.total());
}

std::uint64_t Ledger::free() const { return std::min(free_in_budget(0), free_on_disk()); }

std::uint64_t Ledger::kept_for(const PersonId& person) const {
  std::uint64_t bytes = 0;
  for (auto it = kept_.lower_bound({person, ServerId{}}); it != kept_.end(); ++it) {
    if (it->first.first != person) break;
    bytes += it->second.bytes;
  }
  return bytes;
}

std::vector<ShardBalance> Ledger::balances() const {
  std::vector<ShardBalance> all;
  all.reserve(kept_.size());
  for (const auto& [who, kept] : kept_)
    all.push_back({who.first, who.second, kept.bytes, kept.shards});
  return all;
}

}  // namespace spatter::serverhalf
