// What one server does in the directory (directory/directory.h) by itself: gets its place drawn, comes
// in as soon as its person is trusted, tells the table of the members it knows and the members' view of the
// servers that the table knows, and keeps its own records published: where it is, which servers its person
// has, who keeps the shards of its stripes, and how healthy they are. Servers that are watched and not in
// the view it looks up; likewise, whether members that cannot be reached have moved.
//
// All calls on the executor.
#pragma once

#include <map>
#include <set>

#include "base/sync.h"
#include "directory/gossip.h"
#include "directory/place_promises.h"
#include "directory/place_rule.h"
#include "directory/record_kinds.h"
#include "directory/rpc_link.h"
#include "directory/trust_exchange.h"

namespace spatter {

struct DirectoryDeskOptions {
  DirectoryOptions directory;
  DirectoryPace pace;
  Duration look_every = std::chrono::seconds(60);  ///< for own records to publish, and members that moved
  Duration publish_after = std::chrono::seconds(5);  ///< the own record has changed, or its place
  /// A stripe's record is published when the stripe is so old: most small ones are folded into larger
  /// ones before.
  Duration stripe_settles = std::chrono::minutes(10);
  std::size_t stripes_at_once = 64;   ///< records of stripes each time it looks
  /// Servers that are looked up each time, of those watched that are not up, and as many of the others.
  std::size_t members_at_once = 4;
  std::size_t contacts_at_once = 64;  ///< of the table that are offered to the members' view each time
};

class DirectoryDesk {
 public:
  /// References outlive it.
  struct Parts {
    Runtime& runtime;
    Rpc& rpc;
    const Identity& identity;
    GossipMembers& members;
    TrustExchange& trust;
  };
  /// A stripe of this server's, as its record tells of it.
  struct PublishedStripe {
    StripeId stripe;
    unsigned k = 1, n = 3;
    WallMs created_ms = 0;
    std::vector<HeldShards> holders;
  };
  /// What is published of the own data; set when the volume is open, unset when it closes.
  struct OwnData {
    std::function<std::vector<PublishedStripe>()> stripes;
    std::function<std::uint64_t()> stripes_version;  ///< equal numbers mean equal stripes
    std::function<HealthFacts()> health;             ///< its counts alone
  };

  explicit DirectoryDesk(Parts parts, DirectoryDeskOptions options = {});
  ~DirectoryDesk();

  /// After the members and the trust exchange have started.
  void start();
  Task<void> stop();  ///< before them
  void set_own_data(std::optional<OwnData> data) { own_data_ = std::move(data); }

  /// Null while this server has no place in the directory.
  std::shared_ptr<Directory> directory() const { return directory_; }
  const RecordValidators& validators() const { return validators_; }

  struct Answer {
    Directory::Found found;
    Duration took{};
  };
  /// Errors as of Directory::look_up; unavailable, and why, while this server is not in the directory.
  Task<Result<Answer>> get(RecordKey key);
  /// How long a server takes to answer; looks it up when the table does not hold it. invalid: it is this one.
  Task<Result<Duration>> ping(ServerId id);
  /// Looks at once for what is to be published; completes when that is done.
  Task<void> publish_now();

  /// Which place this server has, and who drew it; nothing while it has none.
  const std::optional<PlaceClaim>& place() const { return place_; }
  /// The own person's key has changed: what it certifies is published anew.
  void key_changed();
  /// Why this server is not in the directory, for people; empty when it is.
  std::string why_absent() const;

 private:
  struct Published {
    std::uint64_t what = 0;  ///< a version, or a hash of what was published
    TimePoint at{};
  };

  Task<void> follow();
  void look_at_trust();
  bool may_enter(const ServerId& server, const PersonId& person) const;
  std::uint64_t trusted_since(const PersonId& person) const;
  std::vector<PublicKey> keys_of(const std::vector<PersonId>& drawers) const;
  PersonId drawer_of(const PublicKey& key, std::uint64_t epoch) const;
  PlaceClaim claim_of(const PersonId& owner, unsigned number, std::uint64_t epoch,
                      const std::vector<PublicKey>& keys) const;
  Result<void> may_have(const PlaceClaim& claim) const;

  enum class PlaceState { none, passable, good };
  /// A place that is being asked for: always the same draws, until it is had or given up.
  struct Asked {
    PlaceOccasion occasion;
    std::map<PublicKey, DrawProof> draws;
    TimePoint since{};
  };
  PlaceState place_state();
  std::vector<ServerId> servers_up(const PersonId& person) const;
  std::vector<unsigned> free_numbers(std::uint64_t epoch) const;
  std::optional<Asked> choose_place(bool in_a_hurry, bool has_none);
  Task<bool> gather_draws();
  Task<bool> obtain_place(bool in_a_hurry, bool has_none);
  Task<Result<DrawProof>> ask_for_draw(ServerId server, PublicKey key, PlaceOccasion occasion);
  Task<Result<RpcReply>> handle_place(Caller caller, RpcRequest request);
  Result<ContactPtr> own_contact();
  Task<void> open(ContactPtr own);
  Task<void> close();
  Task<std::vector<ContactPtr>> helped(const ContactPtr& own);
  Task<void> feed();
  Task<void> fill_view();

  Task<void> publish_loop();
  Task<void> look_to_publish();
  bool is_due(const Published& before, std::uint64_t what) const;
  Task<bool> publish(Published& before, std::uint64_t what, RecordKey key, std::string value);
  Task<void> publish_stripes();
  Task<void> find_moved();
  std::vector<ServerId> whom_to_find();
  Task<Result<wire::Signed>> search(ServerId id);

  Parts parts_;
  DirectoryDeskOptions options_;
  std::vector<PersonId> trusted_;  ///< sorted
  std::set<ServerId> retired_;
  std::map<PersonId, PersonId> changed_keys_;  ///< of persons who have changed theirs, what it is now
  ContactJudge judge_;
  RecordValidators validators_;
  RpcDirectoryLink link_;
  DirectoryService service_;
  std::shared_ptr<Directory> directory_;
  PlacePromises promises_;
  std::optional<Asked> asked_;
  std::set<unsigned> numbers_tried_;  ///< in vain
  std::optional<PlaceClaim> place_;
  std::optional<PlaceDraw> place_judged_;  ///< what place_ was read from
  std::optional<PlaceFacts> place_facts_;  ///< what it shows, when that is right
  std::string absent_because_ = "it has just started";
  /// Of a member's newest record: its version, which place it shows, and where that is.
  struct Seen {
    std::uint64_t version = 0;
    unsigned number = 0;
    std::optional<Position> position;
  };
  std::map<ServerId, Seen> seen_;
  std::map<ServerId, std::uint64_t> offered_;  ///< to the view, of the table's contacts: the versions

  std::optional<OwnData> own_data_;
  Published server_published_, person_published_, health_published_;
  std::map<StripeId, Published> stripes_published_;
  std::uint64_t stripes_seen_ = 0;
  bool publish_anew_ = false;  ///< what was published was signed with a key that has changed since
  std::map<ServerId, TimePoint> looked_up_;
  Mutex publishing_;
  Event publish_wanted_;

  Members::Subscription subscription_ = 0;
  Event changed_;
  TaskGroup tasks_;
};

}  // namespace spatter
