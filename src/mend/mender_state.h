// The inside of Mender. What one stripe goes through: told (a list comes), looked at (who is gone?),
// waiting (others come first), rebuilt (repair.cpp), signed (sign.cpp), told again.
#pragma once

#include "base/task_groups.h"
#include "gathered.h"
#include "mend/mender.h"
#include "net/methods.h"

namespace spatter {

/// A stripe with shards here and a list of its holders.
struct MendedStripe {
  PersonId person;
  ServerId owner;
  unsigned k = 1, n = 3;
  std::uint64_t shard_size = 0;
  HolderList list;
  std::vector<std::uint8_t> own;  ///< indices that are here and whole
  bool own_lost = false;          ///< something here is not whole
  bool mendable = false;          ///< so much is missing that holders rebuild it
  Danger danger = Danger::none;
  std::optional<TimePoint> since; ///< when the danger was first seen under this list
  TimePoint again_at{};           ///< not before, after a failure
  /// The holders that were up when they were too few: another one that comes up is reason to try at once.
  std::optional<std::set<ServerId>> tried;
  bool no_takers = false;         ///< when it was last tried, nobody had room for what is missing
};

/// What the store has of a stripe, checked.
struct KeptFacts {
  KeptStripe kept;
  wire::Signed signed_descriptor;
  Descriptor descriptor;
  wire::HolderChain chain;
  std::optional<HolderChainFacts> facts;  ///< none: no list has come
};

struct Mender::State {
  State(Parts parts, MendOptions options);

  using Handle = Task<Result<RpcReply>> (State::*)(Caller, RpcRequest);
  static Task<Result<RpcReply>> serve_while_there(std::shared_ptr<State> state, Handle handle, Caller caller,
                                                  RpcRequest request);

  // Looking (mender.cpp)
  Task<Result<void>> load();
  Task<void> run();
  Task<void> look();
  void count_machines();
  void judge(const StripeId& id, MendedStripe& stripe);
  bool is_gone(const ServerId& holder);
  bool is_absent(const ServerId& holder);
  std::optional<Duration> away(const ServerId& holder);
  bool counts(const StripeId& stripe, unsigned index, const ServerId& holder);
  bool can_be_read(const StripeId& id, const MendedStripe& stripe);
  bool owner_is_up(const PersonId& person) const;
  void note(const KeptFacts& kept);
  Task<Result<std::optional<KeptFacts>>> kept(StripeId id);
  Result<KeptFacts> check(KeptStripe kept, bool loading) const;
  SignsForOwner signs() const;
  Task<void> end_trials();
  Task<void> look_at_released();
  Task<void> load_seen();
  Task<void> save_seen();
  Task<void> heal_own(StripeId id);
  void start_repairs();
  std::vector<ServerId> able_to_rebuild(const MendedStripe& stripe) const;

  /// Hashing and coding, off the executor; what it took is told to whoever holds the machine's share of such work.
  template <class F>
  Task<std::invoke_result_t<F>> heavily(F work) {
    Duration used{};
    auto result = co_await parts.runtime.blocking([&] {
      const auto begun = parts.thread_time ? parts.thread_time() : Duration{};
      auto made = work();
      if (parts.thread_time) used = parts.thread_time() - begun;
      return made;
    });
    if (parts.computed && used > Duration{}) parts.computed(used);
    co_return result;
  }

  // Rebuilding (repair.cpp)
  struct Job;
  struct Step;
  struct StepEnd;
  using StepPtr = std::shared_ptr<Step>;
  Task<void> repair(StripeId id);
  Task<Result<void>> try_repair(StripeId id, std::shared_ptr<Job> job);
  void reckon(Job& job);
  Result<void> plan(Job& job);
  Result<void> can_agree(Job& job);
  Task<Result<void>> fetch(std::shared_ptr<Job> job);
  using Sources = std::vector<std::pair<unsigned, ServerId>>;
  Task<void> ask_for(std::shared_ptr<Job> job, Sources sources);
  Task<void> fetch_one(std::shared_ptr<Job> job, StepPtr step, unsigned index, ServerId holder);
  using Share = std::span<const std::pair<unsigned, ServerId>>;  ///< of what is wanted
  Result<std::map<unsigned, Buffer>> rebuild(const Job& job, Share share) const;  ///< any thread
  Task<Result<void>> rebuild_and_place(std::shared_ptr<Job> job);
  Task<void> place_one(std::shared_ptr<Job> job, StepPtr step, unsigned index, ServerId holder, Buffer shard);
  void note_takers(const StripeId& id, bool any);
  Task<void> pace(std::uint64_t bytes, Danger danger);

  // Gathering what cannot be had all at once (gather.cpp)
  bool may_try(const StripeId& id, MendedStripe& stripe);
  std::bitset<256> at_hand(const StripeId& id) const;
  bool in_reach(const Job& job) const;
  Task<Result<void>> gather(std::shared_ptr<Job> job);
  Task<void> take_gathered(std::shared_ptr<Job> job);
  Task<void> keep_fetched(std::shared_ptr<Job> job);
  Result<void> grant_gathering(const KeptFacts& kept, const ServerId& coordinator);
  Task<void> tidy_gathered();

  // Claims (claim.cpp)
  enum class ClaimTo { rebuild, gather, sign };
  struct Claim;
  Task<Result<void>> claim(std::shared_ptr<Job> job, ClaimTo what);
  Task<void> ask_claim(std::shared_ptr<Job> job, StepPtr step, ServerId holder, ClaimTo what);
  Result<void> grant(const KeptFacts& kept, const ServerId& coordinator, ClaimTo what);
  bool is_held(const Claim& claim) const;
  bool goes_before(const ServerId& one, const Claim& other, const StripeId& stripe) const;
  bool is_left_to_another(const StripeId& id, const MendedStripe& stripe) const;
  Result<void> check_claim(const Job& job) const;
  Task<void> release_claim(std::shared_ptr<Job> job);
  void take_back_claim(const StripeId& stripe, const ServerId& coordinator);
  void learn_from(const Job& job, const ServerId& holder, const Error& refusal);
  void prolong_claim(const StripeId& stripe, const ServerId& coordinator);

  // Lists (sign.cpp)
  Task<bool> shows(ServerId holder, StripeId stripe, unsigned index);
  Task<Result<void>> agree(std::shared_ptr<Job> job);
  Result<void> propose(Job& job);
  Task<Result<void>> collect(std::shared_ptr<Job> job);
  struct Proposal;
  Proposal* open_proposal(const KeptFacts& kept);
  void take_over_receipts(Job& job);
  Task<Result<void>> sign_on(std::shared_ptr<Job> job);
  Task<void> finish(std::shared_ptr<Job> job);
  Task<void> ask_signature(std::shared_ptr<Job> job, StepPtr step, ServerId holder);
  Task<Result<RpcReply>> handle_sign(Caller caller, RpcRequest request);
  Task<Result<void>> check_removed(const KeptFacts& kept, const HolderList& next);
  Result<void> check_added(const KeptFacts& kept, const HolderList& next,
                           const google::protobuf::RepeatedPtrField<wire::Contract>& receipts, const ServerId& asker);
  Result<void> promise(const StripeId& stripe, const HolderList& next, const std::string& body);

  // Telling (tell.cpp)
  Task<Result<bool>> adopt(wire::HolderChain chain);
  Task<void> tell_all(std::shared_ptr<Job> job);
  Task<void> tell(ServerId server, wire::HolderChain chain);
  Task<void> tell_returned();
  Task<void> catch_up();  ///< asks others for lists that came while this server was away
  Task<Result<void>> catch_up_with(ServerId server, std::vector<std::pair<StripeId, std::uint64_t>> known);
  Task<void> catch_up_with_returned();
  Task<void> ask_what_followed(ServerId server, StripeId stripe, std::uint64_t version);
  Task<void> settle_surplus(StripeId id);
  Task<Result<RpcReply>> handle_tell(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_get(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_versions(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_put(Caller caller, RpcRequest request);
  Result<PersonId> member(const Caller& caller) const;

  Parts parts;
  MendOptions options;
  std::unordered_map<StripeId, MendedStripe> stripes;
  unsigned machines = 0;                        ///< that could keep copies, this one included
  std::uint64_t untold = 0;
  std::uint64_t lost_here = 0;                  ///< shards of the own half, when they were last looked at
  /// Shards that were found wrong or missing at holders that are up.
  std::map<StripeId, std::set<std::pair<unsigned, ServerId>>> failed;
  /// When other servers were last seen, by the wall clock, from before this start: nobody becomes present
  /// by our having been off. Kept in a file.
  std::map<ServerId, WallMs> seen;
  WallMs seen_saved_ms = 0;
  std::set<StripeId> released;                  ///< to be looked at: shards of theirs have gone
  std::set<ServerId> relieved;                  ///< holders that newer lists have left out because they were gone
  std::set<ServerId> gone_before;               ///< as of the last look
  std::map<ServerId, TimePoint> unknown_since;  ///< holders that are no members
  std::set<StripeId> repairing;
  std::map<StripeId, TimePoint> trials;         ///< stripes with shards here that no list names yet
  /// Which list this server has signed last to follow which: one at a time.
  struct Promise {
    Digest previous;
    std::uint64_t version = 0;
    Digest body;
  };
  std::map<StripeId, Promise> promises;
  /// Who rebuilds a stripe, as far as this server was asked.
  struct Claim {
    ServerId coordinator;
    TimePoint since{}, until{};
    std::uint64_t version = 0;  ///< of the list that is to be followed
    std::set<ServerId> had;     ///< who has had his time with that one
  };
  std::map<StripeId, Claim> claims;
  /// Who gathers the shards of a stripe that nobody can rebuild yet, likewise. He keeps that for as long as he is up, so
  /// that it comes to those who are always on.
  struct GatheringClaim {
    ServerId coordinator;
    TimePoint since{}, until{};
    std::optional<TimePoint> free_since;  ///< nobody has had it
    std::uint64_t version = 0;
    std::set<ServerId> had;
  };
  std::map<StripeId, GatheringClaim> gathering;
  Gathered gathered;
  std::set<StripeId> needless;  ///< a new list has come and they are in no danger: what was gathered goes
  /// A list that was proposed and that too few have signed so far. Its new holders keep their shards for as long
  /// as their trial lasts.
  struct Proposal {
    std::shared_ptr<Job> job;
    TimePoint until{};
    bool stale = false;  ///< nobody will sign it any more; its receipts are as good as they were
  };
  std::map<StripeId, Proposal> proposals;
  std::set<std::pair<ServerId, StripeId>> off_when_told;  ///< of a new list, by this server
  std::set<StripeId> surplus;                   ///< lists have left this server out
  MendReport done;                              ///< the sums since the start
  TimePoint busy_since{};
  double busy_seconds = 0;
  std::unique_ptr<ByteRate> rate;
  Members::Subscription subscription = 0;
  std::function<void(wire::HolderChain)>* on_told_owner = nullptr;
  Event wanted;
  TaskGroups groups;
  TaskGroup tasks;
};

/// The key after which a listing begins with `key`.
std::optional<ShardKey> before_key(const ShardKey& key);

/// The calls that one step of a rebuilding makes. A call may come to its end when the step is over already:
/// then it must leave everything alone.
struct Mender::State::Step {
  explicit Step(const asio::any_io_executor& executor) : changed(executor) {}
  std::size_t running = 0;
  bool over = false;
  WaitQueue changed;

  void ended() {
    --running;
    changed.wake_all();
  }
};
/// Ends the step when the one who made the calls has what he needs.
struct Mender::State::StepEnd {
  Step& step;
  ~StepEnd() { step.over = true; }
};

/// What a rebuilding works on; shared with the calls that it makes, some of which outlive it.
struct Mender::State::Job {
  explicit Job(StripeId id) : id(id) {}

  StripeId id;
  KeptFacts kept;
  Danger danger = Danger::none;
  std::vector<std::optional<ServerId>> present;   ///< by index: who keeps it and counts
  std::set<ServerId> up;                          ///< of the holders, when it began
  bool gathering = false;                         ///< what comes is for the drive, not for now
  bool claimed = false;                           ///< others know that it is rebuilt here
  bool over_time = false;                         ///< those who have to agree are there one after another
  TimePoint placed_at{};                          ///< the first of the receipts
  std::vector<std::pair<unsigned, ServerId>> wanted;  ///< to be rebuilt, and for whom
  std::map<unsigned, Rope> columns;               ///< verified
  std::map<std::pair<unsigned, ServerId>, wire::Contract> receipts;
  HolderList next;
  std::string body;
  std::vector<wire::HolderList::Signature> signatures;
  std::vector<ServerId> signers;
  std::vector<Error> refusals;
  wire::HolderChain chain;                        ///< the new one
};

}  // namespace spatter
