#include "hostile.h"

#include <algorithm>

namespace spatter::sim::directory {

void Colluders::prepare() {
  std::ranges::sort(members_, {}, [](const ContactPtr& one) { return one->position; });
  std::ranges::sort(bystanders_, {}, [](const ContactPtr& one) { return one->position; });
}

std::vector<ContactPtr> Colluders::nearest_of(const std::vector<ContactPtr>& sorted,
                                              const Position& target, std::size_t count) {
  // The nearest share the longest prefixes: take the smallest subtree with enough in it.
  const std::uint64_t head = position_word(target, 0);
  auto first = sorted.begin(), last = sorted.end();
  for (unsigned bits = 1; bits < 64; ++bits) {
    const std::uint64_t mask = ~std::uint64_t{0} << (64 - bits);
    const auto begin = std::partition_point(first, last, [&](const ContactPtr& one) {
      return position_word(one->position, 0) < (head & mask);
    });
    const auto end = std::partition_point(begin, last, [&](const ContactPtr& one) {
      return position_word(one->position, 0) <= (head | ~mask);
    });
    if (static_cast<std::size_t>(end - begin) < count) break;
    first = begin;
    last = end;
  }
  std::vector<ContactPtr> result(first, last);
  std::ranges::sort(result, {}, [&](const ContactPtr& one) { return distance(one->position, target); });
  if (result.size() > count) result.resize(count);
  return result;
}

std::vector<ContactPtr> Colluders::nearest(const Position& target, std::size_t count,
                                           const std::vector<std::uint64_t>& known) const {
  auto result = nearest_of(members_, target, count + known.size());
  std::erase_if(result, [&](const ContactPtr& one) {
    return std::ranges::binary_search(known, contact_tag(one->id));
  });
  if (result.size() > count) result.resize(count);
  return result;
}

std::vector<ContactPtr> Colluders::misleading(World& world, const Position& target,
                                              std::size_t count) const {
  std::vector<ContactPtr> result;
  for (const ContactPtr& contact : nearest_of(bystanders_, target, 16 * count)) {
    if (!world.server(world.index_of(contact->id)).online) result.push_back(contact);
    if (result.size() == count * 3 / 4) break;
  }
  for (const ContactPtr& contact : nearest(target, count - result.size(), {}))
    result.push_back(contact);
  return result;
}

void Colluders::given(const RecordPtr& record) {
  auto& oldest = oldest_[record->key];
  if (!oldest || record->facts.version < oldest->facts.version) oldest = record;
}

RecordPtr Colluders::oldest(const RecordKey& key) const {
  const auto at = oldest_.find(key);
  return at == oldest_.end() ? nullptr : at->second;
}

std::optional<DirectoryReply> hostile_answer(World& world, Colluders& colluders, Attack attack,
                                             const DirectoryRequest& request) {
  DirectoryReply reply;
  if (request.kind == DirectoryRequest::Kind::put) {
    for (const RecordPtr& record : request.records) colluders.given(record);
    reply.stored = request.records.size();
    return reply;
  }
  const std::size_t count = std::min(request.contacts, contacts_per_reply_max);
  if (request.from) {  // a check: stay in the table, and bring the others in
    reply.contacts = colluders.nearest(request.target, count, request.known);
    return reply;
  }
  switch (attack) {
    case Attack::drop: return std::nullopt;
    case Attack::lie: reply.contacts = colluders.misleading(world, request.target, count); break;
    default:
      reply.contacts = colluders.nearest(request.target, count, request.known);
      if (request.kind == DirectoryRequest::Kind::get) reply.record = colluders.oldest(request.key);
      break;
  }
  return reply;
}

}  // namespace spatter::sim::directory
