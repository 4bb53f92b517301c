// The contacts by which one server finds its way: few, spread over the key space, and hard to fill
// with liars.
//
// Two parts. The *siblings* are the servers nearest to the own position: those that share records
// with us, and everybody in a small network. The *buckets* are Kademlia's: bucket b holds servers
// that share exactly b leading bits with us, cut here into 16 *slots* by the next four bits.
//
// A slot draws among the living servers it hears of, by a secret of this server's own, and each person
// has one lot, which his servers share (weighted as in chance/rendezvous.h: by one over the number of
// his servers that were ever heard of). So holders are as likely hostile as *persons* are, not servers,
// whatever the hostile ones tell us and however long they stay; the more of theirs they bring in, the
// less each of these counts. (A table that keeps what lives longest fills with liars while honest servers
// come and go. One that wants whoever is nearest to a secret point, as in Castro, Druschel, Ganesh,
// Rowstron and Wallach, "Secure routing for structured peer-to-peer overlay networks", 2002, still
// fills with whom liars name, who name each other and know all of them.) Long life counts all the same:
// who is new waits as the slot's spare until it has been there for `settle`, unless the holder is
// gone. Within a bucket a second server of one person, or a third of one network prefix, holds no slot;
// among siblings a person has `siblings_per_person`.
//
// Nobody is believed to be up because somebody says so: contacts we are told of are candidates
// until they have answered ourselves. How often contacts are checked follows from how many are
// found gone.
//
// Pure: no clock, no network. Bounded: siblings and 32 contacts for each bucket, of which about
// log2(N/16) exist.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/time.h"
#include "directory/contact.h"

namespace spatter {

struct TableOptions {
  std::size_t siblings = 64;             ///< proven ones
  std::size_t siblings_unproven = 16;    ///< candidates beside them
  std::size_t siblings_per_person = 2;   ///< once there are enough others
  Duration settle = std::chrono::minutes(30);
  Duration check_min = std::chrono::minutes(10);  ///< a contact is checked at most this often,
  Duration check_max = std::chrono::hours(6);     ///< and at least this often
  Duration retry_after = std::chrono::seconds(30);
  Duration retry_met_after = std::chrono::seconds(2);  ///< when it has asked us something meanwhile
  /// So many of the contacts may be gone without our knowing: sets the pace of checks in between.
  double stale_share = 0.15;
  Duration shun_for = std::chrono::hours(3);
};

class RoutingTable {
 public:
  static constexpr std::size_t slots_per_bucket = 16;

  /// `secret` is random and this server's own: the slots draw by it.
  RoutingTable(ServerId own, Position position, std::uint64_t secret, TableOptions options = {});

  const ServerId& own() const { return own_; }
  const Position& position() const { return position_; }

  /// Whether a contact would be taken, or replace an older version. While a server of the same person with
  /// the same place number is there and answers, it is not.
  bool wants(const ServerId& id, const PersonId& person, unsigned place_number, const Position& position,
             std::uint64_t version, TimePoint now) const;
  bool wants(const Contact& contact, TimePoint now) const;
  /// Somebody told us of it.
  void heard(const ContactPtr& contact, TimePoint now);
  /// It asked us something: it is there, which does not prove that it can be reached.
  void met(const ContactPtr& contact, TimePoint now);
  /// Whether it is in the table, and has not answered yet.
  bool is_candidate(const Contact& contact) const;
  /// It answered us, `in_earnest` when it was asked for something we needed. Who answers checks and not
  /// the rest is in the end taken for a liar.
  void answered(const ContactPtr& contact, TimePoint now, bool in_earnest = false);
  /// It did not answer in time. The second time running it is forgotten, unless nobody answers.
  void failed(const ContactPtr& contact, TimePoint now, bool in_earnest = false);
  /// It was caught leaving things out. The third time it is forgotten and not taken for a while.
  void lied(const ContactPtr& contact, TimePoint now);
  /// Drops whoever may not be in the directory any more.
  void forget_if(const std::function<bool(const Contact&)>& gone, TimePoint now);

  /// At most `count` contacts nearest to a point, nearest first: those that answered when they were
  /// last asked.
  std::vector<ContactPtr> nearest(const Position& target, std::size_t count) const;
  /// The same without those whose tags are in `known`, which is sorted, or that are farther than
  /// `within` (the first word of a distance).
  std::vector<ContactPtr> nearest_but(const Position& target, std::size_t count,
                                      const std::vector<std::uint64_t>& known,
                                      std::uint64_t within) const;

  /// The contact to ask next, to see whether it is still there, and the point to ask it for, so
  /// that a check also teaches; nothing when all is fresh. It counts as tried from now on.
  struct Check {
    ContactPtr contact;
    Position target;
    bool sibling = false;
  };
  std::optional<Check> next_check(TimePoint now, std::uint64_t chance);

  /// How many servers the network has, this one included, by how dense they are round our position.
  double network_size() const;
  /// Whether the siblings are all there is: then everybody is one hop away.
  bool holds_everybody() const;

  std::size_t size() const { return entries_.size(); }
  std::size_t proven() const;
  /// Of contacts in use (siblings and slot holders).
  std::vector<ContactPtr> contacts() const;
  /// All that is known, for people who want to see it.
  struct Known {
    ContactPtr contact;
    bool sibling = false;  ///< else of a bucket
    bool proven = false;   ///< it has answered ourselves
    TimePoint last_ok{};   ///< when it last did
  };
  std::vector<Known> known() const;
  Duration check_interval() const;
  /// Without the Contacts themselves.
  std::size_t memory_bytes() const;

 private:
  enum class Role : std::uint8_t { sibling, holder, spare };
  struct Entry {
    ContactPtr contact;
    TimePoint first_ok{}, last_ok{}, last_try{};
    std::uint16_t slot = 0;  ///< also of siblings: where it goes when nearer ones push it out
    Role role = Role::spare;
    bool proven = false;
    bool promising = false;  ///< a spare that would make a better holder
    std::uint8_t failures = 0;
    std::uint8_t lies = 0;
    bool silent = false;     ///< did not answer a question in earnest
  };

  std::uint64_t own_distance(std::size_t index) const { return heads_[index] ^ own_head_; }
  std::optional<std::size_t> find(const ServerId& id, std::uint64_t head) const;
  std::optional<std::size_t> find(const ContactPtr& contact) const {
    return find(contact->id, position_word(contact->position, 0));
  }
  std::optional<std::size_t> in_the_way(const ServerId& id, const PersonId& person, unsigned place_number) const;
  void forget_where_it_was(const Contact& contact, TimePoint now);
  std::uint16_t slot_of(const Position& position) const;
  Position point_in(std::uint16_t slot, std::uint64_t chance) const;
  Position point_among_siblings(std::uint64_t chance) const;
  std::optional<std::size_t> in_slot(std::uint16_t slot, Role role) const;
  bool crowds(std::size_t index) const;
  bool is_better(std::size_t a, std::size_t b) const;
  double lot_of(const ServerId& id, const PersonId& person, std::uint16_t slot) const;
  void count_server(const Contact& contact);
  unsigned servers_of(const PersonId& person) const;
  bool is_sibling_distance(std::uint64_t distance, bool proven) const;
  bool is_shunned(const ServerId& id, TimePoint now) const;
  void add(const ContactPtr& contact, bool proven, TimePoint now);
  void remove(std::size_t index);
  void shun(std::size_t index, TimePoint now);
  void trim_siblings();
  void fill_siblings();
  bool is_crowded_sibling(std::size_t index) const;
  bool has_crowd() const;
  void place_in_slot(std::size_t index);
  void settle_slot(std::uint16_t slot, TimePoint now);
  void count_exposure(const Entry& entry, TimePoint now, bool gone);
  int urgency(const Entry& entry, TimePoint now, Duration interval) const;

  ServerId own_;
  Position position_;
  std::uint64_t own_head_;
  std::uint64_t secret_;
  TableOptions options_;
  std::vector<Entry> entries_;
  std::vector<std::uint64_t> heads_;  ///< of the entries' positions, side by side: scans are quick
  std::vector<std::uint64_t> persons_;  ///< of the entries' persons, likewise
  std::uint64_t sibling_radius_ = ~std::uint64_t{0};  ///< of the farthest proven sibling, when full
  std::uint64_t unproven_radius_ = ~std::uint64_t{0};  ///< of the farthest candidate, when full
  std::size_t siblings_proven_ = 0, siblings_unproven_ = 0;
  unsigned silence_ = 0;  ///< failures since somebody last answered
  // Begins as if a quarter of all contacts vanished in an hour, until more is known.
  double gone_ = 2.5;            ///< contacts found gone ...
  double exposed_hours_ = 10.0;  ///< ... in so many hours of being relied on; both fade
  /// How many servers of a person were heard of, nearly: of those with the same last hash bits, whoever
  /// has most. A bit for each server, by its hash.
  struct Counted {
    std::uint32_t person = 0;
    std::uint32_t servers = 0;
  };
  static constexpr std::size_t counted_max = 4096;
  std::vector<Counted> counted_;
  struct Shunned {
    std::uint64_t tag;
    TimePoint until;
  };
  std::vector<Shunned> shunned_;
};

}  // namespace spatter
