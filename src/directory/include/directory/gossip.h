// The members list. Persons, admissions and revocations are known to every server of a network, and of
// the servers a view of at most `view_max`: all of them while they are fewer, then those that are of
// use here and a sample of the others (directory/roster.h). Records travel by gossip over Rpc: when a
// connection stands, and every now and then after, two servers compare what they know and exchange
// what differs; a changed record is pushed on by everybody to whom it is new. A server whose view is full
// asks for no more servers; what it learns from then on is who connects, what is pushed, whom the directory's
// table knows (node/directory_desk.h), and, of servers that it watches and lacks, what a look-up in the
// directory finds. Who is up is what Rpc's own connections say.
//
// Only self-proving records are taken, whoever brings them: a server's own signature, a certificate
// by its person for this network, admissions that lead from the founder to that person, a revocation by the person whom the server's own
// record names. Strangers
// (servers that are no members) may bring such records and are told nothing, but for servers whose
// person has changed his key meanwhile: they are told that he has.
//
// What was signed with another than a person's first key goes out together with the rotation records
// that led to it, so that whoever knows the person can judge it at once.
//
// Durable: a join that was answered, invites, and own records before anybody sees them. Others'
// records are saved soon after they came.
#pragma once

#include <deque>
#include <memory>

#include "base/runtime.h"
#include "base/sync.h"
#include "directory/allowances.h"
#include "directory/contact.h"
#include "directory/invite.h"
#include "directory/member_store.h"
#include "directory/members.h"
#include "directory/roster.h"
#include "net/rpc.h"
#include "trust/certificate.h"
#include "wire/proto/members.pb.h"

namespace spatter {

struct GossipOptions {
  Duration sync_every = std::chrono::seconds(60);  ///< with each member that is up; jittered
  Duration publish_every_min = std::chrono::seconds(10);  ///< own records, when only room changed
  Duration call_timeout = std::chrono::seconds(10);
  /// A changed record goes to at most so many others directly.
  std::size_t push_fanout = 16;
  /// Records one peer may push at once, and per second in the long run. All strangers together may push as
  /// much; those of one network prefix an eighth of it.
  std::size_t push_burst = 2 * Roster::view_max;
  std::size_t push_per_s = 50;
  std::size_t view_max = Roster::view_max;  ///< servers in the view; twice as many visitors beside it
  /// In a full view, a server that has been off for longer gives way to one that is up.
  Duration away_max = std::chrono::hours(1);
};

class GossipMembers final : public Members {
 public:
  /// Loads what is stored; Errc::corrupt when the genesis is missing or not that of
  /// `identity.network`. The references outlive the object.
  static Task<Result<std::unique_ptr<GossipMembers>>> open(Runtime& runtime, Rpc& rpc,
                                                           const Identity& identity,
                                                           MemberStore& store,
                                                           GossipOptions options = {});
  ~GossipMembers() override;

  /// Serves the membership methods, watches `rpc.on_reachability`, dials everybody.
  void start();
  Task<void> stop();  ///< before Rpc::stop

  Member own() const override;
  std::vector<Member> others() const override;
  std::vector<Member> all() const override;
  bool is_complete() const override;
  std::vector<Member> connected() const override;
  void watch(std::vector<ServerId> servers) override;
  Task<Result<Member>> look_up(ServerId id) override;
  Task<bool> introduce(ServerId id) override;
  std::optional<Member> find(const ServerId& id) const override;
  std::optional<PersonId> person_of(const ServerId& id) const override;
  bool is_up(const ServerId& id) const override;
  std::optional<PersonId> retired_by(const ServerId& id) const override;
  PersonId key_of(const PersonId& person) const override { return keys_.history.current_of(person); }
  bool was_key_of(const PersonId& key, const PersonId& person) const override {
    return keys_.history.was_of(key, person);
  }
  std::optional<PersonId> once_person_of(const ServerId& id) const override;
  bool is_trusted(const PersonId& person) const override;
  unsigned allowance_percent(const PersonId& person) const override;
  Subscription subscribe(std::function<void()> changed) override;
  void unsubscribe(Subscription id) override;
  void publish_own(std::vector<Address> addresses, std::uint64_t capacity_bytes,
                   std::uint64_t free_bytes) override;

  /// Where this server stands in the directory, as its own record says; set_place puts another draw in
  /// with the next record, at once.
  const std::optional<PlaceDraw>& place() const { return place_; }
  void set_place(PlaceDraw place);
  /// Makes the own record anew though nothing has changed: records of the directory expire.
  void renew_own();
  /// Takes in what was found elsewhere: another server's record. True: it is newer than what was known.
  Result<bool> learn_record(const wire::Signed& record);
  /// Those that are watched, and whether up or not, in the view or not.
  const std::set<ServerId>& watched() const { return watched_; }
  /// Finds a server's record in the directory, for look_up(). Unset: nobody is found there.
  std::function<Task<Result<wire::Signed>>(ServerId)> search;
  /// How this server can be reached, other than at its addresses; goes to the others at once.
  void publish_reach(Reach reach);

  /// A link that lets one server join, valid for `valid_for`. Durable before it is returned.
  /// Errc::unavailable when this server knows no address of its own to put in.
  Task<Result<std::string>> invite(Duration valid_for);

  /// Retires a server of the own person for good, also one whose certificate is by an older key of his:
  /// signed, durable here, and on its way to everybody when this completes. not_found, denied (another
  /// person's), invalid (this server itself).
  Task<Result<void>> retire(ServerId id);

  /// The host under which another server saw this one last; empty while nobody has said.
  const std::string& observed_host() const { return observed_host_; }
  /// Called when that changes.
  std::function<void()> on_observed_host;

  /// What a person who is admitted is (trust/standing.h); unset: trusted. Whoever sets it calls
  /// trust_changed() when the answers may have changed.
  struct Trust {
    bool trusted = true;
    unsigned allowance_percent = 100;
  };
  std::function<Trust(const PersonId&)> trust_in;
  void trust_changed() { notify(); }

  /// Who has which key; set by whoever keeps the rotation records. Unset: everybody his first one.
  struct Keys {
    KeyHistory history;
    /// Those by the recovery key that counts, by number.
    std::function<std::vector<wire::Signed>(const PersonId&)> rotations_of;
    /// Takes rotation records in.
    std::function<void(const google::protobuf::RepeatedPtrField<wire::Signed>&, const ServerId& from)> take;
  };
  void set_keys(Keys keys);
  /// Stored records that could not be placed for want of rotation records are tried again; true when one
  /// was. Before start().
  bool place_again();
  /// Persons have other keys than before: whose certificates are by old ones are no members any more,
  /// and their servers are told.
  void keys_changed();
  /// The own person's key is another: own records go out anew, signed with what the identity has now.
  Task<Result<void>> own_key_changed();
  /// Whether the certificate of this server counts.
  bool own_key_counts() const;

  /// Asked before somebody is let in who wants to recover: an error, which is passed on, when nobody
  /// keeps a volume of that person. Unset: everybody may.
  std::function<Task<Result<void>>(PersonId)> check_recovery;

  const Roster& roster() const { return roster_; }

  /// What this server has asked of others and told them since it was made.
  struct Counts {
    std::uint64_t comparisons = 0;  ///< questions members.sync,
    std::uint64_t lists = 0;        ///< of those, with a list
    std::uint64_t records = 0;      ///< of servers, sent with answers and pushes
    std::uint64_t introductions = 0;  ///< own records shown to those who did not know this server
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Peer {
    bool up = false;
    TimePoint since{};
    bool syncing = false;
    bool seen = false;  ///< was up at some time, or in the view when we started
    bool full = false;  ///< its view is, as it said last
  };
  struct Introduction {
    TimePoint at{};
    bool taken = false;
    std::shared_ptr<Event> running;  ///< set when it has ended; null when none runs
  };

  GossipMembers(Runtime& runtime, Rpc& rpc, const Identity& identity, MemberStore& store,
                GossipOptions options, Roster roster);

  using Records = google::protobuf::RepeatedPtrField<wire::Signed>;
  /// What is new here, and goes on to others.
  struct News {
    std::vector<wire::Signed> admissions;
    std::vector<ServerId> servers;
    std::vector<wire::Signed> revocations;
  };

  void take_own_entry();
  bool is_connected(const ServerId& id) const;
  void reachability_changed(const ServerId& id, bool up);
  void records_changed(News news, std::optional<ServerId> from);
  void barred_by(const ServerId& id, std::string proof);
  void notify();
  Use use_of(const Member& member) const;
  void keep(const ServerId& id);
  void settle_view();
  bool take_allowance(const ServerId& from, std::size_t records, NetworkPrefix prefix = {});
  void learn(const Records& admissions, const Records& records, const Records& revocations,
             const Records& rotations, const ServerId& from);
  void add_rotations(Records& list, std::set<PersonId>& done, const PersonId& person) const;
  void add_rotations(wire::PushRequest& push) const;
  void tell_of_rotation(const ServerId& outdated, const PersonId& person);
  void observed(const std::string& host);
  wire::SyncRequest sync_request(bool with_list) const;
  void fill_difference(const wire::SyncRequest& request, wire::SyncReply& reply, const ServerId& caller) const;
  void fill_servers(const wire::SyncRequest& request, wire::SyncReply& reply, const ServerId& caller,
                    const std::function<bool(const wire::Signed&)>& add) const;
  std::uint64_t next_own_version() const;

  Task<Result<RpcReply>> handle_join(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_sync(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_push(Caller caller, RpcRequest request);

  Task<void> sync_loop();
  Task<void> sync_with(ServerId id);
  Task<Result<void>> sync_once(ServerId id);
  Task<Result<void>> show_own_record(ServerId id);
  Task<void> part_with(ServerId id, std::string push, std::string proof);
  Task<void> push_to(ServerId id, std::string body);
  Task<void> save_loop();
  Task<void> publish_loop();

  Runtime& runtime_;
  Rpc& rpc_;
  const Identity& identity_;
  MemberStore& store_;
  GossipOptions options_;
  Roster roster_;
  Keys keys_;
  MemberStore::Contents unplaced_;  ///< stored records that no key known here has signed
  TimePoint started_{};
  std::map<ServerId, Peer> peers_;
  std::set<ServerId> watched_;
  std::map<ServerId, Introduction> introductions_;
  Allowances<ServerId> allowances_;
  Allowances<std::uint64_t> prefix_allowances_;
  std::string observed_host_;
  Counts counts_;

  struct OwnFacts {
    std::vector<Address> addresses;
    std::uint64_t capacity_bytes = 0;
    std::uint64_t free_bytes = 0;
    std::optional<PlaceDraw> place;
    bool operator==(const OwnFacts&) const = default;
  };
  std::optional<OwnFacts> wanted_own_;  ///< as last given to publish_own; without the place
  std::optional<PlaceDraw> place_;
  Reach wanted_reach_;                  ///< as last given to publish_reach
  Reach published_reach_;
  OwnFacts published_own_;
  Event publish_wanted_;
  WaitQueue own_published_;  ///< a record of this server was made

  std::vector<MemberStore::AdmissionRow> unsaved_admissions_;
  std::map<ServerId, MemberStore::ServerRow> unsaved_servers_;
  std::vector<MemberStore::RevocationRow> unsaved_revocations_;
  std::set<ServerId> unsaved_losses_;  ///< out of the view
  Event save_wanted_;

  std::map<Subscription, std::function<void()>> subscribers_;
  Subscription next_subscription_ = 1;
  std::shared_ptr<bool> notify_pending_;  ///< outlives us in posted calls
  TaskGroup tasks_;
};

}  // namespace spatter
