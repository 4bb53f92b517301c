// Ten thousand servers of the directory in one process: virtual time, delays between servers, who is
// up, and what every question costs in bytes. What a server does is a Peer: an honest one of the
// product's own DirectoryCore, a hostile one, or plain Kademlia for comparison.
//
// Deterministic: everything follows from the seed.
#pragma once

#include <functional>
#include <memory>
#include <queue>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "directory/messages.h"

namespace spatter::sim::directory {

/// What a question is asked for; traffic is counted apart.
enum class Purpose { upkeep, republish, lookup };
inline constexpr std::size_t purposes = 3;

/// What crosses the network beside a message's own fields. docs/directory.md says where they are from.
inline constexpr double handshake_bytes = 2300;  ///< TCP and TLS 1.3 set-up and end, greeting, both ways
inline constexpr double envelope_bytes = 90;     ///< of one message: TCP/IP, TLS record, frame, header
inline constexpr std::size_t server_record_bytes = 745;

/// One server's behaviour. Calls come from the World, one at a time.
class Peer {
 public:
  virtual ~Peer() = default;
  /// Nothing: it does not answer.
  virtual std::optional<DirectoryReply> answer(std::uint32_t from,
                                               const DirectoryRequest& request) = 0;
  /// It has come up, for the first time or again; some servers that it may ask first.
  virtual void come(const std::vector<ContactPtr>& first) = 0;
  virtual void go() = 0;  ///< what is not on its disk is gone
  /// Looks round for a newcomer that it has invited: servers near where that will be. Plain Kademlia
  /// knows no such help.
  virtual void look_for(const Position&, std::function<void(std::vector<ContactPtr>)> done) { done({}); }
  virtual void publish(RecordPtr record, std::function<void()> done) = 0;

  struct Found {
    RecordPtr record;
    std::size_t hops = 0;
    std::size_t queries = 0;
    std::size_t rounds = 1;
    std::vector<ContactPtr> places;  ///< where it takes the record to be kept
  };
  virtual void look_up(const RecordKey& key, std::function<void(const Found&)> done) = 0;

  struct State {
    std::size_t contacts = 0;
    std::size_t hostile_contacts = 0;
    std::size_t gone_contacts = 0;
    double network_size = 0;
    double memory_bytes = 0;
    double check_minutes = 0;
    std::vector<RecordPtr> records;
  };
  virtual State state() const = 0;
};

struct ServerState {
  ContactPtr contact;
  bool hostile = false;
  bool online = false;
  std::uint32_t sessions = 0;  ///< counts comings; answers to an earlier session are lost
  double x = 0, y = 0;         ///< where it is: decides delays
  std::unique_ptr<Peer> peer;
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  TimePoint now() const { return now_; }
  WallMs wall() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch()).count();
  }
  Random& random() { return random_; }

  std::uint32_t add(ContactPtr contact, bool hostile);
  ServerState& server(std::uint32_t index) { return servers_[index]; }
  std::size_t size() const { return servers_.size(); }
  std::uint32_t index_of(const ServerId& id) const { return by_id_.at(id); }

  void at(TimePoint when, std::function<void()> what);
  void after(Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  /// As `after`, unless the server has gone meanwhile.
  void after_of(std::uint32_t index, Duration delay, std::function<void()> what);
  void run_until(TimePoint when);

  /// Null: no answer in time. Not called when the asker has gone meanwhile.
  using Answer = std::function<void(const DirectoryReply*)>;
  void ask(std::uint32_t from, const ContactPtr& to, DirectoryRequest request, Purpose purpose,
           Answer answer);

  double bytes(Purpose purpose) const { return bytes_[static_cast<std::size_t>(purpose)]; }
  std::uint64_t asks() const { return asks_; }
  std::uint64_t unanswered(Purpose purpose) const { return unanswered_[static_cast<std::size_t>(purpose)]; }
  std::uint64_t asks(Purpose purpose) const { return asks_of_[static_cast<std::size_t>(purpose)]; }

 private:
  struct Event {
    TimePoint when;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {  // the earliest on top of a heap
      return when != other.when ? when > other.when : order > other.order;
    }
  };
  Duration round_trip(std::uint32_t a, std::uint32_t b) const;

  SeededRandom random_;
  TimePoint now_{std::chrono::hours(1)};
  std::vector<ServerState> servers_;
  std::unordered_map<ServerId, std::uint32_t> by_id_;
  std::vector<Event> events_;
  std::uint64_t order_ = 0;
  std::array<double, purposes> bytes_{};
  std::array<std::uint64_t, purposes> asks_of_{}, unanswered_{};
  std::uint64_t asks_ = 0;
};

}  // namespace spatter::sim::directory
