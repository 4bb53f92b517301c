#include "directory/record_store.h"

#include <algorithm>

namespace spatter {
namespace {

WallMs milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

RecordStore::RecordStore(Position own, StoreOptions options)
    : own_(own), options_(options), republish_every_(options.republish_min) {}

void RecordStore::set_republish_every(Duration period) {
  republish_every_ = std::clamp(period, options_.republish_min, options_.republish_max);
}

std::size_t RecordStore::bytes_of(const Record& record) {
  constexpr std::size_t map_node = 64;
  return sizeof(Record) + sizeof(Held) + map_node + record.value.size();
}

TimePoint RecordStore::next_due(TimePoint now, std::uint64_t chance) const {
  // Spread over half the period, so that one holder comes first and spares the others.
  const auto spread = static_cast<std::int64_t>(chance % 1024);
  return now + republish_every_ * 3 / 4 + republish_every_ * spread / 2048;
}

void RecordStore::erase(Map::iterator at) {
  const Record& record = *at->second.record;
  const std::size_t bytes = bytes_of(record);
  bytes_ -= bytes;
  const auto person = person_bytes_.find(record.facts.person);
  if ((person->second -= bytes) == 0) person_bytes_.erase(person);
  held_.erase(at);
}

Result<void> RecordStore::make_room(const Record& record, WallMs wall) {
  const std::size_t bytes = bytes_of(record);
  const auto person = person_bytes_.find(record.facts.person);
  if (person != person_bytes_.end() && person->second + bytes > options_.person_bytes_max)
    return fail(Errc::no_space, "the directory here holds {} bytes of records of person {} already",
                person->second, record.facts.person);
  if (bytes_ + bytes <= options_.bytes_max) return {};
  for (auto at = held_.begin(); at != held_.end();) {
    const auto here = at++;
    if (here->second.until <= wall) erase(here);
  }
  while (bytes_ + bytes > options_.bytes_max) {
    const auto farthest = std::ranges::max_element(held_, {}, [&](const auto& one) {
      return distance(one.second.record->position, own_);
    });
    if (farthest == held_.end() || distance(farthest->second.record->position, own_) <=
                                       distance(record.position, own_))
      return fail(Errc::no_space, "the directory here is full, of records nearer to it");
    erase(farthest);
  }
  return {};
}

Result<RecordStore::Kept> RecordStore::put(const RecordPtr& record, TimePoint now, WallMs wall,
                                           std::uint64_t chance) {
  if (record->facts.expires_ms + milliseconds(options_.clock_slack) <= wall)
    return fail(Errc::invalid, "a directory record that has expired");
  const WallMs until = std::min(record->facts.expires_ms + milliseconds(options_.clock_slack),
                                wall + milliseconds(options_.keep_max));
  const TimePoint due = next_due(now, chance);
  Kept kept = Kept::fresh;
  if (const auto at = held_.find(record->key); at != held_.end()) {
    const RecordFacts& held = at->second.record->facts;
    if (held.version > record->facts.version)
      return fail(Errc::exists, "version {} of this directory record is here, {} came",
                  held.version, record->facts.version);
    if (held.version == record->facts.version) {
      at->second.until = std::max(at->second.until, until);
      at->second.due = due;
      earliest_due_ = std::min(earliest_due_, due);
      return Kept::same;
    }
    kept = Kept::newer;
    const Held old = at->second;
    erase(at);
    if (auto room = make_room(*record, wall); !room) {
      // The old version is better than none.
      bytes_ += bytes_of(*old.record);
      person_bytes_[old.record->facts.person] += bytes_of(*old.record);
      held_.emplace(old.record->key, old);
      return fail(std::move(room).error());
    }
  } else {
    TRY_VOID(make_room(*record, wall));
  }
  held_.emplace(record->key, Held{record, until, due});
  earliest_due_ = std::min(earliest_due_, due);
  bytes_ += bytes_of(*record);
  person_bytes_[record->facts.person] += bytes_of(*record);
  return kept;
}

RecordPtr RecordStore::get(const RecordKey& key, WallMs wall) const {
  const auto at = held_.find(key);
  return at == held_.end() || at->second.until <= wall ? nullptr : at->second.record;
}

std::vector<RecordPtr> RecordStore::take_due(TimePoint now, WallMs wall, std::uint64_t chance) {
  std::vector<RecordPtr> due;
  if (now < earliest_due_) return due;
  const TimePoint soon = now + republish_every_ / 4;
  bool any = false;
  std::vector<RecordKey> expired;
  for (const auto& [key, held] : held_) {
    if (held.until <= wall) expired.push_back(key);
    else any = any || held.due <= now;
  }
  for (const RecordKey& key : expired) erase(held_.find(key));
  earliest_due_ = TimePoint::max();
  for (auto& [key, held] : held_) {
    if (any && held.due <= soon) {
      due.push_back(held.record);
      held.due = next_due(now, chance);
    }
    earliest_due_ = std::min(earliest_due_, held.due);
  }
  std::ranges::sort(due, {}, [](const RecordPtr& record) { return record->position; });
  return due;
}

void RecordStore::release(const RecordKey& key) {
  if (const auto at = held_.find(key); at != held_.end()) at->second.due = TimePoint::max();
}

void RecordStore::forget_if(const std::function<bool(const Record&)>& gone) {
  for (auto at = held_.begin(); at != held_.end();) {
    const auto next = std::next(at);
    if (gone(*at->second.record)) erase(at);
    at = next;
  }
}

std::vector<RecordPtr> RecordStore::records() const {
  std::vector<RecordPtr> result;
  for (const auto& [key, held] : held_) result.push_back(held.record);
  std::ranges::sort(result, {}, [](const RecordPtr& record) { return record->position; });
  return result;
}

}  // namespace spatter
