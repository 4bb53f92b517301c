// One running server: everything between a drive, a Runtime and a Transport put together. The same
// class runs in `spatter up` and in the simulator.
//
// All calls on the Runtime's executor. start() once, stop() once; doors call the accessors and the
// tasks below in between.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime.h"
#include "base/transport.h"
#include "cycles/job_desk.h"
#include "cycles/ledger_desk.h"
#include "cycles/work_desk.h"
#include "directory/gossip.h"
#include "directory/lan_finder.h"
#include "directory/rendezvous.h"
#include "directory/trust_exchange.h"
#include "net/port_mapping.h"
#include "net/relay.h"
#include "net/rpc.h"
#include "node/cycles_settings.h"
#include "node/directory_desk.h"
#include "node/work_runner.h"
#include "mend/auditor.h"
#include "mend/mode_desk.h"
#include "mend/owner_lists.h"
#include "node/drive.h"
#include "node/trust_desk.h"
#include "serverhalf/shard_store.h"
#include "spatter/keeper.h"
#include "spatter/placement.h"
#include "spatter/reader.h"
#include "spatter/stripe_table.h"
#include "userhalf/volume.h"

namespace spatter {

struct ServerOptions {
  RpcOptions rpc;
  GossipOptions gossip;
  KeeperOptions keeper;
  DirectoryDeskOptions directory;
  RelayOptions relay;  ///< `carry` and the rates follow the drive's settings
  Duration housekeeping_every = std::chrono::seconds(5);
  /// Addresses of this machine, for a server that listens on all of them; the runtime does not
  /// know them. Loopback ones are used only when nothing else is there.
  std::vector<std::string> local_hosts;
  /// Ways out of this machine that only the real world has; none of them need be given.
  std::shared_ptr<PortMapping> port_mapping;
  std::shared_ptr<Datagrams> lan;
  std::shared_ptr<PublicDht> public_dht;
  RendezvousOptions rendezvous;
  /// Minutes since midnight by the machine's local time; unset: UTC.
  std::function<unsigned(WallMs)> minute_of_day;
  /// Computes for others, within what is promised; none: this server does not. Outlives the server.
  std::shared_ptr<WorkRunner> runner;
  WorkOptions work;
  JobOptions jobs;
  LedgerDeskOptions ledger;
  /// Opens the halves only: no connections, no background work. For fsck and the like.
  bool offline = false;
  /// Not even those: what is known of the network alone, for key_state and take_key. With `offline`.
  bool records_only = false;
};

struct HalfStatus {
  std::uint64_t used = 0;
  std::uint64_t limit = 0;
};

/// What `spatter status` reports.
struct ServerStatus {
  NetworkId network;
  PersonId person;
  ServerId server;
  std::string name;
  Address listening;
  std::size_t servers_total = 0;  ///< that are known here, this one included
  bool view_complete = true;      ///< those are all there are, as far as can be known
  std::size_t servers_up = 0;
  HalfStatus user_half;
  HalfStatus server_half;
  std::uint64_t files = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t packs_local = 0;
  std::uint64_t packs_total = 0;
  SafetyReport safety;            ///< stripes, copies_min, can_lose, widest_k, backlog, held
  std::string mode;               ///< "serving", "repair-only", "fenced", "retired", "outdated", "behind", "offline"
  std::string note;               ///< why, for people; may be empty
  double departures_per_server_day = 0;  ///< the chance that a server goes for good within a day, as measured
  std::uint64_t repairs_waiting = 0;     ///< stripes that this server helps to keep and somebody has to rebuild
  double repair_seconds_left = 0;        ///< for them and what is to be shipped; 0: nothing; infinity: not known
  bool idle = false;              ///< nothing left to ship, move or release, as far as can be done now
  bool settled = false;           ///< idle, and no stripe is at risk or lost
  std::string reach;              ///< "unknown", "direct" or "relayed": how others get here
  std::vector<ServerId> relays;   ///< who carries connections to this server
  std::size_t links_carried = 0;  ///< now, for others
};

/// What `spatter key` reports. Keys are numbered from 1; each change makes the next.
struct PersonKeyState {
  PersonId person;
  PersonId key;              ///< that the network knows as the person's
  std::uint32_t number = 1;  ///< its number
  bool held = true;          ///< this server has it
  bool committed = false;    ///< the network knows of a recovery key: the key can be changed
  bool unfinished = false;   ///< a change was begun here and not ended
  std::size_t servers_outdated = 0;  ///< of the person: those that have to take the key
};

struct ServerContract {
  bool mine = false;  ///< true: others keep it for me; false: I keep it for others
  StripeId stripe;
  unsigned index = 0;
  std::uint64_t size = 0;
  PersonId person;    ///< owner
  ServerId owner;     ///< owner's server
  ServerId holder;
  WallMs signed_ms = 0;
  WallMs until_ms = 0;
};

/// One of the person's volumes; each of his servers has one of its own.
struct ServerVolume {
  VolumeId volume;
  ServerId server;   ///< that writes it
  bool up = false;   ///< reached from here, or from another member
  WallMs made_ms = 0;  ///< of its newest root record
};

struct ServerFinding {
  enum class Where { drive, user_half, server_half, network };
  Where where = Where::drive;
  std::string what;    ///< a sentence that names the thing
  bool mended = false; ///< nothing is left to be done here
  bool fatal = false;  ///< something cannot be read, here or at all
  std::string done{};  ///< what was done, when it was not simply put right
};
struct ServerCheckup {
  std::vector<ServerFinding> findings;
  std::uint64_t packs = 0;  ///< on this machine
  std::uint64_t shards = 0;
  std::uint64_t bytes = 0;  ///< of shards read and hashed
};
std::string_view to_string(ServerFinding::Where where);

class Server {
 public:
  /// References outlive the server. The transport was made for the drive's server key.
  Server(Runtime& runtime, Transport& transport, Drive drive, ServerOptions options = {});
  ~Server();

  /// Opens everything, brings the volume back first when the drive asks for it, listens and serves.
  /// On an error the server is stopped again.
  Task<Result<void>> start();
  /// Ends a start() that is bringing a volume back: it fails with Errc::cancelled soon, and the next
  /// start begins to recover anew. A start that does anything else is not disturbed.
  void interrupt_start();
  /// Ends all work cleanly. The transport is the caller's to stop.
  Task<void> stop();

  const Identity& identity() const;
  const GenesisFacts& genesis() const;  ///< of the network it belongs to
  Address listening() const;  ///< with the port it really got
  const Drive& drive() const;

  Volume& volume();
  Members& members();
  ShardStore& shards();
  StripeTable& stripes();
  StripeReader& reader();
  Keeper& keeper();
  Mender& mender();     ///< as owner_lists and auditor: not of a server that is `offline`
  OwnerLists& owner_lists();
  Auditor& auditor();
  JobDesk& jobs();      ///< likewise
  LedgerDesk& ledger(); ///< likewise
  WorkDesk* work();     ///< none: this server cannot compute for others
  const WorkRunner* runner() const;  ///< likewise
  const CyclesSettings& cycles() const;
  /// Durable when it completes, and in force. What was taken goes on, unless nothing is promised any more.
  Task<Result<void>> set_cycles(CyclesSettings settings);
  Rpc& rpc();
  TrustExchange& trust();     ///< as trust_desk: not of a server that is `offline`
  TrustDesk& trust_desk();
  DirectoryDesk& directory();  ///< likewise

  /// Refuses writes when another server has taken the volume over, when this one was retired
  /// (Errc::fenced and why), or while its certificate is by a key that was changed (denied).
  Result<void> may_write() const;

  /// While the network only mends (repair-only) no file is read or written, at any door: Errc::unavailable says
  /// why, how far it is, and what helps. What is whole in the user half may still be read from there alone.
  Result<void> may_serve() const;
  bool is_repair_only() const;
  ModeStatus mode() const;
  /// One line for everybody to see while the network only mends; else empty.
  std::string mode_notice() const;
  /// Called after the mode has changed, with what to tell people. Set before start().
  std::function<void(bool repair_only, const std::string& text)> on_mode_change;
  std::uint64_t mode_changes() const;  ///< since the start
  Task<void> wait_mode_change(std::uint64_t seen);  ///< until there are more
  /// The speed dial of repair; while the network only mends it counts for nothing, and again afterwards. The
  /// hours have a rate of their own.
  void set_repair_rate(std::uint64_t bytes_per_s);
  void set_repair_hours(std::vector<RepairHours> hours);
  std::uint64_t repair_rate() const;  ///< outside of the hours
  const std::vector<RepairHours>& repair_hours() const;

  /// Completes when everything before `position` has reached `level`. For safe and full, what a new
  /// machine needs to find the volume is at the others too.
  Task<Result<void>> wait_for(PackPosition position, Level level);

  Task<Result<ServerStatus>> status();
  /// How safe a file's content is with the others; nullopt for what has none. Errors as of Volume::stat.
  Task<Result<std::optional<FileSafety>>> safety_of(std::string path);
  /// An invite link, valid for so long.
  Task<Result<std::string>> invite(Duration valid_for = std::chrono::hours(72));
  /// Both sides, by stripe and index; at most `limit` of each.
  Task<Result<std::vector<ServerContract>>> contracts(std::size_t limit);

  /// Whether a stripe's holders, as its record names them, are those whom chance named among the servers
  /// that are known here. Unless that is all servers, the owner may have known others: then a holder
  /// without a rank is no sign of anything.
  struct HoldersCheck {
    PlacementCheck placement;
    bool view_complete = true;
  };
  HoldersCheck check_holders(const StripeHoldersFacts& stripe) const;

  /// Retires another server of this person for good: the others refuse it, forget it and count its
  /// shards as lost at once. `which`: the first digits of its id. Errors name what is in the way:
  /// not_found, invalid (ambiguous, or this server), denied (another person's), busy (it is up; not
  /// with `even_if_up`, for a key in wrong hands).
  Task<Result<ServerId>> forget(std::string which, bool even_if_up);
  /// Which key the person has, as far as is known here. Not of a server that is `offline`, as what follows,
  /// unless it is that for its `records_only`: then it may take a key that is known here.
  PersonKeyState key_state() const;
  /// Changes the person's key: the next number becomes it, everywhere and for ever. Durable here when it
  /// completes, and on its way to all others. Ends a change that was interrupted, if one was, instead of
  /// beginning another. `passphrase`: of a sealed keyring. Errors: denied (words of another person, nothing
  /// committed to, wrong passphrase), no_space (no more numbers).
  /// `disown_older`: the keys before were in wrong hands, and root records that they have signed say nothing
  /// about who writes this server's volume. Without it a server whose volume somebody has taken over, or whose
  /// index is behind what it told the others, changes nothing (fenced, corrupt): it may have been its owner.
  Task<Result<PersonKeyState>> change_key(PersonSecret words, std::optional<std::string> passphrase,
                                          bool disown_older = false);
  /// Takes the key that the person has changed to on another machine. Likewise.
  Task<Result<PersonKeyState>> take_key(PersonSecret words, std::optional<std::string> passphrase,
                                        bool disown_older = false);

  /// The person's volumes of which the members that are up know.
  Task<Result<std::vector<ServerVolume>>> volumes();

  using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;
  /// Checks both halves. Changes nothing without `mend`.
  Task<Result<ServerCheckup>> fsck(bool deep, bool mend, Progress progress = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace spatter
