#include "gathered.h"

#include <algorithm>
#include <charconv>

#include "crypto/merkle.h"

namespace spatter {
namespace {

constexpr std::uint64_t page_bytes = 4096;
constexpr std::string_view unfinished = ".part";

std::uint64_t whole_pages(std::uint64_t bytes) { return (bytes + page_bytes - 1) / page_bytes * page_bytes; }

template <class T>
bool read_number(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

struct Name {
  StripeId stripe;
  std::uint8_t index = 0;
  std::int64_t seconds = 0;

  std::string text() const { return fmt::format("{}.{}.{}", stripe.hex(), index, seconds); }
};

std::optional<Name> read_name(std::string_view text) {
  const auto first = text.find('.'), second = text.find('.', first + 1);
  if (first == text.npos || second == text.npos) return std::nullopt;
  Name name;
  const auto stripe = StripeId::from_hex(text.substr(0, first));
  if (!stripe || !read_number(text.substr(first + 1, second - first - 1), name.index) ||
      !read_number(text.substr(second + 1), name.seconds))
    return std::nullopt;
  name.stripe = *stripe;
  if (name.text() != text) return std::nullopt;
  return name;
}

}  // namespace

Result<void> check_whole(const Rope& shard, const Descriptor& descriptor, unsigned index) {
  LeafHasher hasher;
  for (const auto& piece : shard.pieces()) hasher.update(piece);
  if (shard.size() == descriptor.shard_size && merkle_root(hasher.finish()) == descriptor.shard_roots[index]) return {};
  return fail(Errc::corrupt, "shard {} of stripe {} does not have the root that its owner signed", index,
              descriptor.stripe);
}

Gathered::Gathered(Runtime& runtime, ShardStore& shards, Options options)
    : runtime_(runtime), shards_(shards), options_(std::move(options)) {}

Task<void> Gathered::scan() {
  const auto now = runtime_.wall_ms();
  std::map<StripeId, Shards> stripes;
  std::uint64_t bytes = 0;
  co_await runtime_.blocking([&] {
    Disk& disk = runtime_.disk();
    const auto found = disk.list(options_.folder);
    if (!found) {
      if (found.error().code != Errc::not_found) static_cast<void>(disk.remove(options_.folder));
      return;
    }
    for (const auto& entry : *found) {
      const auto path = options_.folder + "/" + entry.name;
      const auto name = entry.is_directory ? std::nullopt : read_name(entry.name);
      // One shard twice: the one whose name comes first will do.
      if (!name || (stripes.contains(name->stripe) && stripes[name->stripe].contains(name->index))) {
        static_cast<void>(disk.remove(path));
        continue;
      }
      const WallMs kept = std::clamp<WallMs>(name->seconds, 0, now / 1000) * 1000;
      stripes[name->stripe][name->index] = {path, whole_pages(entry.size), kept, true};
      bytes += whole_pages(entry.size);
    }
  });
  stripes_ = std::move(stripes);
  bytes_ = bytes;
  count(0);
  co_await tidy();
}

std::bitset<256> Gathered::indices(const StripeId& stripe) const {
  std::bitset<256> result;
  if (const auto at = stripes_.find(stripe); at != stripes_.end())
    for (const auto& [index, shard] : at->second)
      if (shard.whole) result.set(index);
  return result;
}

std::vector<StripeId> Gathered::stripes() const {
  std::vector<StripeId> result;
  for (const auto& [id, shards] : stripes_) result.push_back(id);
  return result;
}

std::uint64_t Gathered::bytes_max() const {
  return options_.bytes_max > 0 ? options_.bytes_max : shards_.usage().budget / 16;
}

std::uint64_t Gathered::left_to_shards() const { return shards_.usage().budget / 32; }

/// The store counts them as taken, so that both together stay within the budget.
void Gathered::count(std::int64_t bytes) {
  bytes_ += static_cast<std::uint64_t>(bytes);
  shards_.set_aside(bytes_);
}

/// The stripe that has had no further shard for longest, since before then.
std::optional<StripeId> Gathered::oldest(const StripeId* but, WallMs before) const {
  std::optional<StripeId> result;
  for (const auto& [id, shards] : stripes_) {
    WallMs last = 0;
    for (const auto& [index, shard] : shards) last = std::max(last, shard.whole ? shard.kept_ms : runtime_.wall_ms());
    if ((but && id == *but) || last > before) continue;
    before = last;
    result = id;
  }
  return result;
}

Result<void> Gathered::room(const StripeId& stripe, std::uint64_t bytes) const {
  const auto need = whole_pages(bytes);
  const auto usage = shards_.usage();
  const auto stay = std::chrono::duration_cast<std::chrono::milliseconds>(options_.stay).count();
  if (need > bytes_max() || (bytes_ + need > bytes_max() && !oldest(&stripe, runtime_.wall_ms() - stay)))
    return fail(Errc::no_space, "stripe {}: no room to keep more of it: {} of {} bytes are taken by what waits", stripe,
                bytes_, bytes_max());
  if (usage.free < need + left_to_shards())
    return fail(Errc::no_space, "stripe {}: no room to keep more of it: {} bytes are free in this server half", stripe,
                usage.free);
  return {};
}

Task<Result<void>> Gathered::keep(const Descriptor& descriptor, unsigned index, Buffer shard) {
  const StripeId id = descriptor.stripe;
  if (const auto at = stripes_.find(id); at != stripes_.end() && at->second.contains(index)) co_return Result<void>{};
  const auto need = whole_pages(shard.size());
  while (true) {
    CO_TRY_VOID(room(id, shard.size()));
    if (bytes_ + need <= bytes_max()) break;
    const auto stay = std::chrono::duration_cast<std::chrono::milliseconds>(options_.stay).count();
    co_await drop(*oldest(&id, runtime_.wall_ms() - stay));
  }
  const WallMs now = runtime_.wall_ms();
  const Shard entry{.path = options_.folder + "/" + Name{id, static_cast<std::uint8_t>(index), now / 1000}.text(),
                    .bytes = need, .kept_ms = now};
  stripes_[id][index] = entry;
  count(static_cast<std::int64_t>(need));
  Result<void> written = fail(Errc::cancelled, "stripe {}: what was gathered of it is no longer wanted", id);
  {
    // Also if the caller is cancelled in the middle: what was begun runs to its end.
    struct Settle {
      Gathered& self;
      const Shard& entry;
      StripeId id;
      unsigned index;
      Result<void>& written;
      ~Settle() {
        const auto at = self.stripes_.find(id);
        const bool wanted = at != self.stripes_.end() && at->second.contains(index) && at->second[index].path == entry.path;
        if (wanted && written) {
          at->second[index].whole = true;
          return;
        }
        self.count(-static_cast<std::int64_t>(entry.bytes));
        if (written) written = fail(Errc::cancelled, "stripe {}: what was gathered of it is no longer wanted", id);
        if (!wanted) return;
        at->second.erase(index);
        if (at->second.empty()) self.stripes_.erase(at);
      }
    } settle{*this, entry, id, index, written};
    co_await runtime_.blocking([&] { written = write(entry, shard); });
  }
  if (!written) co_await runtime_.blocking([&] { static_cast<void>(runtime_.disk().remove(entry.path)); });
  co_return written;
}

/// Blocking.
Result<void> Gathered::write(const Shard& entry, const Buffer& shard) {
  Disk& disk = runtime_.disk();
  TRY(const auto space, disk.space());
  if (space.free < entry.bytes + std::min(options_.disk_reserve_bytes, space.total / 16))
    return fail(Errc::no_space, "{}: no room for what is gathered: {} bytes are free on the disk", entry.path, space.free);
  TRY_VOID(disk.make_directories(options_.folder));
  const auto part = entry.path + std::string(unfinished);
  const auto written = [&]() -> Result<void> {
    TRY(const auto file, disk.open(part, OpenMode::create));
    TRY_VOID(file->truncate(0));
    TRY_VOID(file->write_at(0, shard));
    return disk.rename(part, entry.path);
  }();
  if (!written) static_cast<void>(disk.remove(part));
  return written;
}

Task<Result<Buffer>> Gathered::read(const Descriptor& descriptor, unsigned index) {
  const StripeId id = descriptor.stripe;
  const auto at = stripes_.find(id);
  if (at == stripes_.end() || !at->second.contains(index) || !at->second.at(index).whole)
    co_return fail(Errc::not_found, "shard {} of stripe {} was not gathered", index, id);
  const Shard entry = at->second.at(index);
  auto shard = co_await runtime_.blocking([&]() -> Result<Buffer> {
    TRY(auto bytes, read_file(runtime_.disk(), entry.path, descriptor.shard_size));
    auto whole = Buffer::take(std::move(bytes));
    TRY_VOID(check_whole(whole, descriptor, index));
    return whole;
  });
  if (shard) co_return shard;
  if (const auto again = stripes_.find(id); again != stripes_.end() && again->second.contains(index)) {
    again->second.erase(index);
    if (again->second.empty()) stripes_.erase(again);
    co_await remove({entry});
  }
  co_return shard;
}

Task<void> Gathered::remove(std::vector<Shard> shards) {
  for (const auto& shard : shards) count(-static_cast<std::int64_t>(shard.bytes));
  co_await runtime_.blocking([&] {
    for (const auto& shard : shards) static_cast<void>(runtime_.disk().remove(shard.path));
  });
}

Task<void> Gathered::drop(StripeId stripe) {
  const auto at = stripes_.find(stripe);
  if (at == stripes_.end()) co_return;
  std::vector<Shard> gone;
  for (const auto& [index, shard] : at->second)
    if (shard.whole) gone.push_back(shard);  // who writes the others sees to them
  stripes_.erase(at);
  co_await remove(std::move(gone));
}

Task<void> Gathered::tidy() {
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(options_.age_max).count();
  const auto now = runtime_.wall_ms();
  std::vector<Shard> old;
  for (auto at = stripes_.begin(); at != stripes_.end();) {
    std::erase_if(at->second, [&](const auto& entry) {
      if (!entry.second.whole || entry.second.kept_ms + age > now) return false;
      old.push_back(entry.second);
      return true;
    });
    at = at->second.empty() ? stripes_.erase(at) : std::next(at);
  }
  if (!old.empty()) co_await remove(std::move(old));
  while (!stripes_.empty() && (bytes_ > bytes_max() || shards_.usage().free < left_to_shards())) {
    const auto first = oldest(nullptr, now);
    if (!first) break;
    co_await drop(*first);
  }
}

}  // namespace spatter
