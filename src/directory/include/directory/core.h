// All that one server of the directory decides: what it answers, whom it checks, which records it
// passes on, how its look-ups start and what they teach. Pure: time and chance are given with each
// call, questions are returned for the caller to ask. Both drivers use it: `Directory` over real
// connections and the simulator.
#pragma once

#include <optional>

#include "base/random.h"
#include "directory/allowances.h"
#include "directory/lookup.h"
#include "directory/record_cache.h"
#include "directory/record_store.h"
#include "directory/routing_table.h"

namespace spatter {

struct DirectoryOptions {
  TableOptions table;
  StoreOptions store;
  RecordCache::Options cache;
  LookupOptions lookup;
  /// Records that one server may send in one go, and per second in the long run; likewise for all
  /// servers of one person together.
  double put_burst = 4096, puts_per_s = 4;
  double person_put_burst = 16384, person_puts_per_s = 16;
  /// Own records that one server may show, likewise.
  double introduction_burst = 64, introductions_per_s = 2;
  /// Look-ups that are made for all servers of one person together.
  double look_burst = 8, looks_per_s = 1.0 / 300;
  /// A record is refused when so many servers nearer to it are known.
  std::size_t keep_within = 3 * replicas;
};

class DirectoryCore {
 public:
  /// `own`: this server's contact, its signed record inside. `chance` outlives the core.
  DirectoryCore(ContactPtr own, Random& chance, DirectoryOptions options = {});

  const ContactPtr& own() const { return own_; }
  /// A newer record of this server; its position does not change.
  void set_own(ContactPtr own);

  RoutingTable& table() { return table_; }
  const RoutingTable& table() const { return table_; }
  RecordStore& store() { return store_; }
  const RecordStore& store() const { return store_; }
  RecordCache& cache() { return cache_; }
  const RecordCache& cache() const { return cache_; }

  // Answering.
  /// Whether this caller may show its record now: asked before it is verified, which costs.
  Result<void> allow_introduction(const ServerId& caller, TimePoint now);

  /// Whether a look-up is made for this caller.
  Result<void> allow_look(const PersonId& person, TimePoint now);
  /// Whether this caller may send so many records now: asked before they are verified.
  Result<void> allow_put(const ServerId& caller, const PersonId& person, std::size_t records,
                         TimePoint now);
  /// Everything in the request has been verified.
  DirectoryReply answer(const DirectoryRequest& request, TimePoint now, WallMs wall);

  // Upkeep.

  struct Ask {
    ContactPtr to;
    DirectoryRequest request;
  };
  /// The next contact that should be looked after; nothing when all is well.
  std::optional<Ask> next_check(TimePoint now);
  /// `reply` null: there was no answer.
  void check_ended(const Ask& ask, const DirectoryReply* reply, TimePoint now);
  /// Records to pass on to others that should keep them.
  std::vector<Ask> republish(TimePoint now, WallMs wall);
  void put_ended(const Ask& ask, bool answered, TimePoint now);

  // Looking up.

  /// Whoever has just come up looks more thoroughly than one that is among its neighbours already.
  enum class Look { arriving, again };
  /// A look-up for the own position, from the servers it knows and others it was told of (verified).
  /// Believes nothing of what the table says, in which liars may have left no honest neighbour: a
  /// server that has come up looks round at once, again when it has checked what it found, and then
  /// every look_round_every().
  Lookup look_round(const std::vector<ContactPtr>& first, Look look) const;
  Duration look_round_every() const;
  Lookup find_servers(const Position& target) const { return find(Lookup::Want::servers, target); }
  Lookup find_record(const RecordKey& key) const {
    return find(Lookup::Want::record, record_position(key));
  }
  /// What a look-up for servers has found near a point, this server included, nearest first: for a
  /// newcomer that will stand there. At most contacts_per_reply_max.
  std::vector<ContactPtr> found_for(const Lookup& lookup, const Position& position) const;
  /// With `introduce` the asked server is told who asks: so neighbours learn of one another.
  DirectoryRequest request_for(const Lookup::Query& query, const Position& target,
                               const std::optional<RecordKey>& key, bool introduce) const;
  /// Takes in what a look-up, now done, has seen of others.
  void learn(const Lookup& lookup, TimePoint now);
  /// The puts that publish a record after a look-up for its position; `self`: it is also to be kept
  /// here.
  struct Publication {
    std::vector<Ask> asks;
    bool self = false;
  };
  Publication publication(const Lookup& lookup, const RecordPtr& record) const;
  /// The same without a look-up, where the table holds everybody; else nothing.
  std::optional<Publication> publication_at_once(const RecordPtr& record) const;
  /// The puts that bring places up to date that lacked what a look-up found.
  std::vector<Ask> mending(const Lookup& lookup) const;

 private:
  bool is_ours_to_keep(const Position& position) const;
  /// All of the own contacts: those that a look-up starts with, and the others.
  struct Start {
    std::vector<ContactPtr> first, reserve;
  };
  Start start_for(const Position& target) const;
  Lookup find(Lookup::Want want, const Position& target) const;
  Publication publish_to(std::vector<ContactPtr> sorted, bool all, const RecordPtr& record) const;

  ContactPtr own_;
  Random& chance_;
  DirectoryOptions options_;
  RoutingTable table_;
  RecordStore store_;
  RecordCache cache_;
  Allowances<ServerId> introductions_;
  Allowances<PersonId> looks_;
  Allowances<ServerId> server_puts_;
  Allowances<PersonId> person_puts_;
};

}  // namespace spatter
