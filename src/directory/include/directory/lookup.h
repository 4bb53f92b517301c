// One look-up: finds the servers nearest to a point, or the record that they keep, through a network
// of which a third may be liars. Decides whom to ask next and when to stop; asking is the caller's.
//
// Two stages, repeated if need be.
//
// *Walking*: `paths` disjoint walks towards the point (S/Kademlia: Baumgart and Mies, 2007), disjoint in
// persons: all servers of a person and of a network prefix belong to the walk that met them first. A walk
// does not die with its first liar. Each answer opens branches, and the next branch taken is where,
// on the way to it, fewest were taken already, the nearest first among equals; so a liar, and whoever
// it leads to, gets its turn and no more, whatever they say. A branch must halve the distance of who
// told of it, so a chain of liars that lead one another along is short.
//
// *Closing*: all that any walk was told of is put together, and the record's places among it (nearest
// first, one for each person: directory/places.h) are asked, until no answer brings a nearer one. One
// honest server near the point is enough to bring all of its honest neighbours in, for contacts prove
// themselves: liars can leave out, not make up.
//
// Then the result is judged: the servers found are as dense round the point as the network's size
// predicts; half as dense will do where answers agree. If not, somebody has left servers out: the walks go on with more branches,
// then with more of the own contacts, and in the end the whole region is asked.
//
// Pure and bounded: `queries_max` questions, `nodes_max` contacts remembered.
#pragma once

#include <limits>
#include <optional>
#include <vector>

#include "base/time.h"
#include "directory/messages.h"
#include "directory/places.h"

namespace spatter {

/// Then no walk ends early, and nothing is believed before the last round.
inline constexpr double size_unknown = std::numeric_limits<double>::infinity();

struct LookupOptions {
  std::size_t paths = 8;
  std::size_t start_near = 24;  ///< own contacts to begin with: the nearest to the target,
  std::size_t start_far = 8;    ///< and some of all the others, for the nearest may be liars all
  std::size_t contacts_per_reply = 8;
  std::size_t places = replicas;
  /// So many places, the nearest, that answer with one and the same version are believed, unless the
  /// region is so empty that they may be liars who agree on an old one.
  std::size_t agree = 6;
  std::size_t rounds = 4;
  std::size_t reserve_from = 2;  ///< the round, from 0, that begins with the reserve
  std::size_t walk_first = 6;    ///< questions a walk may ask in the first round,
  std::size_t walk_more = 4;     ///< in each later one,
  std::size_t walk_reserve = 12; ///< and in those with the reserve
  std::size_t queries_max = 320;
  std::size_t nodes_max = 1024;
  double region_servers = 24;    ///< the density is judged on a region that should hold so many,
  double density_least = 0.7;    ///< and must hold this share of them,
  double density_agreed = 0.5;   ///< or this, when the nearest places agree
  Duration hedge_after = std::chrono::milliseconds(500);  ///< another is asked beside one as slow as this
};

class Lookup {
 public:
  enum class Want { servers, record };

  /// `start`: contacts of the own table, dealt to the walks in this order. `everybody`: they are all
  /// there are. `network_size`: as the own table estimates it, or size_unknown. `reserve`: more contacts,
  /// for when those have led to nothing.
  Lookup(Want want, const Position& target, ServerId own, std::vector<ContactPtr> start,
         double network_size, bool everybody, LookupOptions options = {},
         std::vector<ContactPtr> reserve = {});

  struct Query {
    std::size_t number = 0;
    ContactPtr to;
    std::size_t contacts = 0;          ///< how many are wanted
    std::uint64_t within = 0;          ///< how near they must be to the target
    std::vector<std::uint64_t> known;  ///< sorted tags
  };
  /// Whom to ask now. Call again after each answer or failure, and at wake_at.
  std::vector<Query> next(TimePoint now);
  /// When the next question becomes slow enough to ask another beside it.
  std::optional<TimePoint> wake_at(TimePoint now) const;
  /// `reply.contacts` and `reply.record` have been verified.
  void answered(std::size_t number, const DirectoryReply& reply, TimePoint now);
  void failed(std::size_t number);
  bool done() const { return stage_ == Stage::done; }

  // Once done:
  const RecordPtr& record() const { return record_; }  ///< the highest version found; null: none
  /// Where the record is or should be: the places found, nearest first, but those that are down.
  const std::vector<ContactPtr>& places() const { return places_; }
  /// Places that answered without the record, or with an older one.
  const std::vector<ContactPtr>& lacking() const { return lacking_; }
  /// All found in the region of the target, nearest first.
  std::vector<ContactPtr> region() const;
  /// Whether the density was what the network's size predicts.
  bool dense() const { return dense_; }
  std::size_t hops() const { return hops_; }  ///< to the first server that had the record
  std::size_t queries() const { return asked_; }
  std::size_t rounds() const { return round_ + 1; }
  std::vector<ContactPtr> answering() const;
  std::vector<ContactPtr> failing() const;
  std::vector<ContactPtr> told() const;  ///< contacts that were not asked
  std::vector<ContactPtr> liars() const;   ///< who left out what they must have known

 private:
  enum class Stage { walking, closing, done };
  enum class State : std::uint8_t { fresh, asked, answered, failed };
  static constexpr int from_table = -1;
  struct Node {
    ContactPtr contact;
    Distance distance;
    int path = -1;            ///< -1: not for walking
    int source = from_table;  ///< the node that told of it
    unsigned followed = 0;    ///< branches taken of what it told
    std::uint16_t depth = 1;
    State state = State::fresh;
    bool walking = false;     ///< asked by its walk, which waits for it
    TimePoint asked{};
    std::size_t nodes_then = 0;        ///< how many nodes were known when it was asked
    std::vector<std::uint32_t> told;   ///< nodes it told of
    RecordPtr record;
  };
  struct Walk {
    std::size_t budget = 0;
    unsigned followed_table = 0;
    bool arrived = false;
    std::size_t waiting = 0, slow = 0;
  };

  void take(const ContactPtr& contact, std::size_t source);
  int walk_of(const ContactPtr& contact, int otherwise);
  Node& add_node(const ContactPtr& contact, const Distance& away);
  std::optional<std::size_t> find_node(const ContactPtr& contact, const Distance& away) const;
  bool is_slow(const Node& node, TimePoint now) const;
  unsigned turns(const Node& node) const;
  std::optional<std::size_t> pick(int path) const;
  void ask(std::size_t index, TimePoint now, std::vector<Query>& out);
  bool walk(TimePoint now, std::vector<Query>& out);
  void close(TimePoint now, std::vector<Query>& out);
  std::vector<std::size_t> place_nodes(std::size_t count) const;
  bool agreed(const std::vector<std::size_t>& places) const;
  void judge(const std::vector<std::size_t>& places);
  bool is_dense(double least) const;
  void begin_round();
  void deal(const std::vector<ContactPtr>& contacts);
  void finish(const std::vector<std::size_t>& places);

  Want want_;
  Position target_;
  ServerId own_;
  double network_size_;
  bool everybody_;
  LookupOptions options_;
  Stage stage_ = Stage::walking;
  std::vector<Node> nodes_;
  std::vector<std::size_t> order_;  ///< of the nodes, nearest first
  std::vector<Walk> walks_;
  std::vector<ContactPtr> reserve_;
  int turn_ = 0;  ///< the walk that gets the next contact dealt
  std::vector<std::pair<PersonId, int>> walk_of_person_;
  std::vector<std::pair<NetworkPrefix, int>> walk_of_prefix_;
  std::size_t round_ = 0;
  std::size_t asked_ = 0;
  std::size_t under_way_ = 0;
  std::size_t places_wanted_;

  RecordPtr record_;
  std::vector<ContactPtr> places_, lacking_;
  bool dense_ = true;
  std::size_t hops_ = 0;
};

}  // namespace spatter
