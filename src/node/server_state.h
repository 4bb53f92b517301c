// The parts of a running Server, in the order in which they are made; they end in the reverse one.
#pragma once

#include "expiry.h"
#include "housekeeper.h"
#include "loss_notice.h"
#include "node/server.h"
#include "reachability.h"
#include "root_keeper.h"
#include "salvage.h"
#include "watch_list.h"

namespace spatter {

/// What the server of a person who has changed his key on another machine says.
inline constexpr auto outdated_words =
    "your key was changed on another machine: run `spatter key take` here (it may be stopped for that), with the "
    "recovery words; until then "
    "this server is no member of its network, and files here can only be read";

struct Server::State {
  State(Runtime& runtime, Transport& transport, Drive drive, ServerOptions options)
      : runtime(runtime), transport(transport), drive(std::move(drive)),
        options(std::move(options)), interrupted(runtime.executor()), key_work(runtime.executor()),
        key_tasks(runtime.executor()) {}

  Runtime& runtime;
  Transport& transport;
  Drive drive;
  ServerOptions options;
  Halves halves;
  Address listening;
  std::string note;  ///< what people should know, e.g. of an incomplete recovery

  Event interrupted;  ///< see interrupt_start
  Mutex key_work;     ///< one change of the person's key at a time
  bool changing_key = false;
  bool told_of_key = false;  ///< the log says that the key was changed elsewhere
  TaskGroup key_tasks;

  std::unique_ptr<MemberStore> member_store;
  GenesisFacts genesis;
  std::optional<Identity> identity;
  std::unique_ptr<Rpc> rpc;
  std::unique_ptr<GossipMembers> members;
  std::unique_ptr<TrustExchange> trust;
  std::unique_ptr<ClipStore> clips;
  std::unique_ptr<TrustDesk> desk;
  std::unique_ptr<DirectoryDesk> directory;
  std::unique_ptr<RelayService> relay;
  std::unique_ptr<Reachability> reachability;
  std::unique_ptr<LanFinder> lan;
  std::shared_ptr<PortMapping> mapping;  ///< once started
  std::unique_ptr<Rendezvous> rendezvous;
  std::unique_ptr<ShardStore> shards;
  std::unique_ptr<StripeTable> stripes;
  std::unique_ptr<Database> database;  ///< of the volume
  std::optional<VolumeKeys> keys;
  std::unique_ptr<Volume> volume;
  std::unique_ptr<StripeReader> reader;
  std::unique_ptr<Keeper> keeper;
  std::unique_ptr<Mender> mender;
  std::unique_ptr<OwnerLists> owner_lists;
  std::unique_ptr<Auditor> auditor;
  std::unique_ptr<ModeDesk> mode;
  CyclesSettings cycles;
  std::unique_ptr<WorkWire> wire;
  std::unique_ptr<LedgerDesk> ledger;
  std::unique_ptr<WorkDesk> work;
  std::unique_ptr<JobDesk> jobs;
  std::uint64_t repair_bytes_per_s = 0;  ///< the dial, whether it counts now or not
  std::vector<RepairHours> repair_hours;
  std::uint64_t dial = 0;  ///< the rate that the mender has
  void turn_dial();
  double departures_per_server_day() const;
  std::unique_ptr<RootKeeper> roots;
  std::unique_ptr<Housekeeper> housekeeper;
  std::unique_ptr<Salvage> salvage;
  std::unique_ptr<Expiry> expiry;
  std::unique_ptr<LossNotice> loss_notice;
  TaskGroup watching{runtime.executor()};

  SpatterContext context() {
    return SpatterContext{runtime, *rpc, *members, *shards, *identity, *stripes};
  }
  /// What others are told to dial.
  std::vector<Address> addresses() const;

  /// What the directory is told of the own stripes.
  DirectoryDesk::OwnData own_data();

  Task<Result<void>> open_network();
  /// Listens, and lets others find and reach this server.
  Result<void> open_to_others();
  Task<void> close_to_others();
  void find_others();
  /// Has the view keep those whom this server depends on; now and then, for that changes.
  Task<void> watch_loop();
  void watch();
  void publish();  ///< the addresses have changed
  Task<Result<void>> open_halves();
  Task<Result<void>> open_volume(std::uint64_t number, std::uint64_t version);
  /// Brings a volume back from the network into emptied databases and returns the writer number to
  /// use from now on; or 0, having noted down which lost volumes to copy into a new one.
  Task<Result<std::uint64_t>> recover_volume(Recovery recovery);
  /// The part of it that asks others, and may be cancelled: all that must be closed is this state's.
  Task<Result<std::uint64_t>> recover_from_network(Recovery recovery);
  Task<Result<std::vector<KnownVolume>>> survey_volumes(bool chosen);
  /// What the drive was made to recover, if that has still to be done.
  Task<Result<std::optional<Recovery>>> wanted_recovery();
  Task<Result<void>> start_mending();
  Task<void> stop_mending();
  Task<Result<void>> start_mode(std::function<void(bool, const std::string&)> announce);
  void mode_changed();
  Task<Result<void>> start_cycles();
  void month_began(std::uint64_t month);
  Task<Result<void>> put_cycles(CyclesSettings settings);
  void say_pledge();
  Task<void> stop_cycles();
  /// What this server sees of the stripes that it owns or helps to keep.
  Task<ModeFacts> mode_facts();
  Task<void> add_own_stripes(ModeFacts& facts, std::set<ServerId>& holders);
  void add_partners(ModeFacts& facts, const std::set<ServerId>& servers);
  Task<Result<void>> clear_user_half();
  /// Signs from now on with the key that the network knows as the person's, if it is held here. True: it is
  /// another than before.
  bool settle_key();
  void keys_changed();
  Task<Result<void>> key_is_new();
  Result<void> check_words(const PersonSecret& words) const;
  Task<Result<void>> put_keyring(Keyring keyring, std::optional<std::string> passphrase);
  Task<Result<void>> check_fence();
  Task<void> disown_keys();
  std::set<PersonId> disowned_keys() const;  ///< of the person, as the keyring says
  const PersonSecret& signing_secret() const;  ///< that of the identity's key
  /// Of the volume that is on this drive.
  Task<Result<VolumeKeys>> own_volume_keys(VolumeId volume, const std::optional<wire::RootRecord>& own_root);
  Task<Result<RpcReply>> take_loss_notice(Caller caller);
  Task<Result<void>> check_recovery(PersonId person);
};

}  // namespace spatter
