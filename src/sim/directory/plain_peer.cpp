#include "plain_peer.h"

#include <algorithm>

#include "directory/places.h"

namespace spatter::sim::directory {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t bucket_max = 20;
constexpr std::size_t at_a_time = 3;
constexpr std::size_t told = 8;  // contacts in an answer, as many as the product's

}  // namespace

struct PlainPeer::Search {
  struct Node {
    ContactPtr contact;
    Distance away;
    std::size_t depth = 1;
    enum { fresh, asked, answered, failed } state = fresh;
  };
  Position target;
  std::optional<RecordKey> key;
  Purpose purpose;
  std::function<void(const Search&)> done;
  std::vector<Node> nodes;  // nearest first
  std::size_t under_way = 0, queries = 0, hops = 0;
  bool ended = false;
  RecordPtr record;

  void take(const ContactPtr& contact, std::size_t depth) {
    const Distance away = distance(contact->position, target);
    const auto at = std::ranges::lower_bound(nodes, away, {}, &Node::away);
    if (at != nodes.end() && at->contact->id == contact->id) return;
    nodes.insert(at, Node{contact, away, depth});
  }
};

PlainPeer::PlainPeer(World& world, std::uint32_t index, std::uint64_t seed)
    : world_(world), index_(index), random_(seed), own_(world.server(index).contact),
      buckets_(64), store_(own_->position) {}

std::size_t PlainPeer::bucket_of(const Position& position) const {
  return std::min<std::size_t>(
      static_cast<std::size_t>(distance(position, own_->position).shared_bits()),
      buckets_.size() - 1);
}

void PlainPeer::seen(const ContactPtr& contact) {
  if (contact->id == own_->id) return;
  auto& bucket = buckets_[bucket_of(contact->position)];
  const auto at = std::ranges::find_if(
      bucket, [&](const Entry& entry) { return entry.contact->id == contact->id; });
  if (at != bucket.end()) {
    at->seen = world_.now();
    at->failures = 0;
  } else if (bucket.size() < bucket_max) {
    bucket.push_back({contact, world_.now(), 0});
  }
}

void PlainPeer::failed(const ContactPtr& contact) {
  auto& bucket = buckets_[bucket_of(contact->position)];
  std::erase_if(bucket, [&](Entry& entry) {
    return entry.contact->id == contact->id && ++entry.failures >= 2;
  });
}

std::vector<ContactPtr> PlainPeer::nearest(const Position& target, std::size_t count) const {
  std::vector<std::pair<std::uint64_t, const ContactPtr*>> order;
  for (const auto& bucket : buckets_)
    for (const Entry& entry : bucket)
      if (entry.failures == 0)
        order.emplace_back(distance(entry.contact->position, target).words[0], &entry.contact);
  const std::size_t wanted = std::min(count, order.size());
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(wanted), {},
                            &std::pair<std::uint64_t, const ContactPtr*>::first);
  std::vector<ContactPtr> result;
  for (std::size_t i = 0; i < wanted; ++i) result.push_back(*order[i].second);
  return result;
}

std::optional<DirectoryReply> PlainPeer::answer(std::uint32_t, const DirectoryRequest& request) {
  DirectoryReply reply;
  if (request.from) seen(request.from);
  if (request.kind == DirectoryRequest::Kind::put) {
    for (const RecordPtr& record : request.records)
      if (store_.put(record, world_.now(), world_.wall(), random_.next_u64())) ++reply.stored;
    return reply;
  }
  if (request.kind == DirectoryRequest::Kind::get) reply.record = store_.get(request.key, world_.wall());
  reply.contacts = nearest(request.target, std::min(request.contacts, told));
  return reply;
}

void PlainPeer::come(const std::vector<ContactPtr>& first) {
  for (const ContactPtr& contact : first) seen(contact);
  search(own_->position, std::nullopt, Purpose::upkeep, [](const Search&) {});
  world_.after_of(index_, 2s + std::chrono::milliseconds(random_.below(4000)), [this] { tick(); });
}

void PlainPeer::go() { store_ = RecordStore(own_->position); }

/// Republishes what is due, and asks whoever was not seen for longest for a point of its bucket.
void PlainPeer::tick() {
  for (const RecordPtr& record : store_.take_due(world_.now(), world_.wall(), random_.next_u64()))
    put(nearest(record->position, replicas), record, Purpose::republish);
  std::optional<Entry> oldest;
  for (const auto& bucket : buckets_)
    for (const Entry& entry : bucket)
      if (!oldest || entry.seen < oldest->seen) oldest = entry;
  if (oldest) {
    DirectoryRequest request;
    request.kind = DirectoryRequest::Kind::find;
    request.from = own_;
    request.contacts = told;
    request.target = random_.id<Position>();
    const std::size_t shared = bucket_of(oldest->contact->position) + 1;
    for (std::size_t bit = 0; bit < shared; ++bit) {
      const auto mask = static_cast<std::uint8_t>(0x80U >> bit % 8);
      auto& byte = request.target.bytes[bit / 8];
      byte = static_cast<std::uint8_t>((byte & ~mask) | (oldest->contact->position.bytes[bit / 8] & mask));
    }
    world_.ask(index_, oldest->contact, std::move(request), Purpose::upkeep,
               [this, contact = oldest->contact](const DirectoryReply* reply) {
                 if (!reply) return failed(contact);
                 seen(contact);
                 for (const ContactPtr& one : reply->contacts) seen(one);
               });
  }
  world_.after_of(index_, 10s + std::chrono::milliseconds(random_.below(4000)), [this] { tick(); });
}

void PlainPeer::search(const Position& target, std::optional<RecordKey> key, Purpose purpose,
                       std::function<void(const Search&)> done) {
  auto search = std::make_shared<Search>();
  search->target = target;
  search->key = key;
  search->purpose = purpose;
  search->done = std::move(done);
  for (const ContactPtr& contact : nearest(target, bucket_max)) search->take(contact, 1);
  step(search);
}

void PlainPeer::step(const std::shared_ptr<Search>& search) {
  if (search->ended) return;
  std::size_t alive = 0;
  bool all = true;
  for (auto& node : search->nodes) {
    if (node.state == Search::Node::failed) continue;
    if (++alive > bucket_max) break;
    if (node.state == Search::Node::asked) all = false;
    if (node.state != Search::Node::fresh) continue;
    all = false;
    if (search->under_way == at_a_time) break;
    node.state = Search::Node::asked;
    ++search->under_way;
    ++search->queries;
    DirectoryRequest request;
    request.kind = search->key ? DirectoryRequest::Kind::get : DirectoryRequest::Kind::find;
    request.target = search->target;
    request.contacts = told;
    if (search->key) request.key = *search->key;
    world_.ask(index_, node.contact, std::move(request), search->purpose,
               [this, search, contact = node.contact](const DirectoryReply* reply) {
                 --search->under_way;
                 auto& node = *std::ranges::find_if(search->nodes, [&](const auto& one) {
                   return one.contact->id == contact->id;
                 });
                 const std::size_t depth = node.depth;
                 node.state = reply ? Search::Node::answered : Search::Node::failed;
                 if (reply) seen(contact);
                 else failed(contact);
                 if (search->ended) return;
                 if (reply && reply->record) {
                   search->record = reply->record;
                   search->hops = depth;
                   search->ended = true;
                   return search->done(*search);
                 }
                 if (reply)
                   for (const ContactPtr& one : reply->contacts)
                     if (one->id != own_->id) search->take(one, depth + 1);
                 step(search);
               });
  }
  if (!all || search->under_way > 0) return;
  search->ended = true;
  search->done(*search);
}

void PlainPeer::put(const std::vector<ContactPtr>& places, const RecordPtr& record,
                    Purpose purpose) {
  for (const ContactPtr& place : places) {
    DirectoryRequest request;
    request.kind = DirectoryRequest::Kind::put;
    request.records.push_back(record);
    world_.ask(index_, place, std::move(request), purpose, [this, place](const DirectoryReply* reply) {
      if (reply) seen(place);
      else failed(place);
    });
  }
}

void PlainPeer::publish(RecordPtr record, std::function<void()> done) {
  search(record->position, std::nullopt, Purpose::lookup,
         [this, record, done = std::move(done)](const Search& search) {
           std::vector<ContactPtr> places;
           for (const auto& node : search.nodes)
             if (node.state == Search::Node::answered && places.size() < replicas)
               places.push_back(node.contact);
           put(places, record, Purpose::lookup);
           done();
         });
}

void PlainPeer::look_up(const RecordKey& key, std::function<void(const Found&)> done) {
  search(record_position(key), key, Purpose::lookup, [done = std::move(done)](const Search& search) {
    std::vector<ContactPtr> places;
    for (const auto& node : search.nodes)
      if (node.state != Search::Node::failed && places.size() < replicas) places.push_back(node.contact);
    done({search.record, search.hops, search.queries, 1, std::move(places)});
  });
}

Peer::State PlainPeer::state() const {
  State state;
  for (const auto& bucket : buckets_)
    for (const Entry& entry : bucket) {
      ++state.contacts;
      const ServerState& there = world_.server(world_.index_of(entry.contact->id));
      state.hostile_contacts += there.hostile;
      state.gone_contacts += !there.online;
    }
  state.records = store_.records();
  state.memory_bytes = static_cast<double>(
      store_.bytes() + state.contacts * (sizeof(Entry) + own_->memory_bytes()));
  return state;
}

}  // namespace spatter::sim::directory
