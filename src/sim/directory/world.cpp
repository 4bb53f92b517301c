#include "world.h"

#include <algorithm>
#include <cmath>

namespace spatter::sim::directory {
namespace {

constexpr Duration answer_deadline = std::chrono::milliseconds(1500);

double request_bytes(const DirectoryRequest& request) {
  double bytes = envelope_bytes;
  if (request.from) bytes += server_record_bytes;
  if (request.kind == DirectoryRequest::Kind::find || request.kind == DirectoryRequest::Kind::get)
    bytes += 40 + 8 * static_cast<double>(request.known.size());
  for (const RecordPtr& record : request.records)
    bytes += 40 + static_cast<double>(record->value.size());
  return bytes;
}

double reply_bytes(const DirectoryReply& reply) {
  double bytes = envelope_bytes;
  bytes += static_cast<double>(reply.contacts.size() * (server_record_bytes + 4));
  if (reply.record) bytes += 4 + static_cast<double>(reply.record->value.size());
  return bytes;
}

}  // namespace

std::uint32_t World::add(ContactPtr contact, bool hostile) {
  const auto index = static_cast<std::uint32_t>(servers_.size());
  by_id_.emplace(contact->id, index);
  ServerState server;
  server.contact = std::move(contact);
  server.hostile = hostile;
  server.x = random_.unit();
  server.y = random_.unit();
  servers_.push_back(std::move(server));
  return index;
}

void World::at(TimePoint when, std::function<void()> what) {
  events_.push_back({when, order_++, std::move(what)});
  std::push_heap(events_.begin(), events_.end());
}

void World::after_of(std::uint32_t index, Duration delay, std::function<void()> what) {
  after(delay, [this, index, session = servers_[index].sessions, what = std::move(what)] {
    if (servers_[index].online && servers_[index].sessions == session) what();
  });
}

void World::run_until(TimePoint when) {
  while (!events_.empty() && events_.front().when <= when) {
    std::pop_heap(events_.begin(), events_.end());
    Event event = std::move(events_.back());
    events_.pop_back();
    now_ = event.when;
    event.what();
  }
  now_ = when;
}

/// 10 to 220 ms.
Duration World::round_trip(std::uint32_t a, std::uint32_t b) const {
  const double distance =
      std::hypot(servers_[a].x - servers_[b].x, servers_[a].y - servers_[b].y);
  return std::chrono::microseconds(static_cast<std::int64_t>(10'000 + 150'000 * distance));
}

void World::ask(std::uint32_t from, const ContactPtr& to, DirectoryRequest request,
                Purpose purpose, Answer answer) {
  const auto category = static_cast<std::size_t>(purpose);
  const std::uint32_t there = index_of(to->id);
  ++asks_;
  ++asks_of_[category];
  const auto session = servers_[from].sessions;
  const auto deliver = [this, from, session](const Answer& call, const DirectoryReply* reply) {
    if (servers_[from].online && servers_[from].sessions == session) call(reply);
  };
  if (!servers_[there].online) {  // connection requests that nobody answers
    bytes_[category] += 180;
    ++unanswered_[category];
    after(answer_deadline, [deliver, answer = std::move(answer)] { deliver(answer, nullptr); });
    return;
  }
  bytes_[category] += handshake_bytes + request_bytes(request);
  const Duration trip = round_trip(from, there);
  // A new connection: TCP's and TLS's round trips come before the question's own.
  after(trip * 5 / 2, [this, from, there, trip, category, deliver, request = std::move(request),
                       answer = std::move(answer)] {
    std::optional<DirectoryReply> reply;
    if (servers_[there].online) reply = servers_[there].peer->answer(from, request);
    if (!reply) {
      ++unanswered_[category];
      after(answer_deadline - trip * 5 / 2,
            [deliver, answer = std::move(answer)] { deliver(answer, nullptr); });
      return;
    }
    bytes_[category] += reply_bytes(*reply);
    after(trip / 2, [deliver, answer = std::move(answer),
                     reply = std::move(*reply)] { deliver(answer, &reply); });
  });
}

}  // namespace spatter::sim::directory
