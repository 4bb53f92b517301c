// A drive: the folder that holds all that a server is and keeps. docs/PROTOCOL.md has
// its layout.
//
// Making one takes two steps, so that joining can fail and be tried again with the same keys:
// prepare_drive writes keys and settings, then found_network or adopt_network puts a network in and
// marks the drive complete. Only a complete drive opens. Each step survives a crash at any moment.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/runtime.h"
#include "crypto/keyring.h"
#include "directory/member_store.h"
#include "node/config.h"
#include "trust/certificate.h"
#include "wire/proto/trust.pb.h"

namespace spatter {

inline constexpr unsigned drive_format_version = 1;

/// Paths below the drive's folder.
namespace drive_path {
inline constexpr auto format = "format";
inline constexpr auto keyring = "keyring";
inline constexpr auto config = "spatter.toml";
inline constexpr auto lock = "lock";
inline constexpr auto members = "network/members.db";
inline constexpr auto trust = "network/trust.db";
inline constexpr auto clips = "network/clips";
inline constexpr auto volume = "user/volume.db";
inline constexpr auto stripes = "user/stripes.db";
inline constexpr auto packs = "user/packs";
inline constexpr auto root = "user/root";
inline constexpr auto recovering = "user/recovering";
inline constexpr auto salvage = "user/salvage";
inline constexpr auto salvage_volume = "user/salvage-volume.db";
inline constexpr auto salvage_stripes = "user/salvage-stripes.db";
inline constexpr auto salvage_packs = "user/salvage-packs";
inline constexpr auto server = "server";
}  // namespace drive_path

struct Drive {
  Keyring keyring;
  Config config;
  std::vector<std::string> warnings;  ///< about the settings, for people
  /// What only the making of a drive has at hand, and the drive does not keep.
  struct Fresh {
    PersonSecret words;
    std::optional<std::string> passphrase;  ///< of the keyring
  };
  std::optional<Fresh> fresh{};

  PersonId person() const { return keyring.person.person(); }
  ServerId server() const { return server_id(keyring.server_key.public_key()); }
};

struct NewDrive {
  std::optional<PersonSecret> secret;  ///< none: a new person
  std::optional<std::string> passphrase;
  std::uint64_t size_bytes = 0;        ///< 0: the file system's
  std::optional<Address> listen;
  std::string name;
};

/// What a new drive is to bring back from the network at its first start.
struct Recovery {
  /// The first digits of the volume to take over; empty: as is best for the volumes that are found.
  std::string volume;
  /// Copied into a new volume, whatever of it can be read, instead of taken over.
  bool copy = false;
};

/// none: there is no drive here (an interrupted making counts as none).
Task<Result<bool>> drive_is_complete(Runtime& runtime);

/// Keys, folders and settings, durable on return. An interrupted making for a person whose words are
/// given is taken up: its keys are kept. One for a new person begins anew with other keys, for nobody has
/// seen his words. Errc::exists when a complete drive is here; Errc::denied when an interrupted one is of
/// another person than `secret`, or its passphrase is another.
Task<Result<Drive>> prepare_drive(Runtime& runtime, NewDrive options);

/// Removes what prepare_drive wrote, so that the next try begins anew, with other words for instance:
/// for a drive that nobody can have let into a network. A complete drive is left alone.
Task<Result<void>> abandon_drive(Runtime& runtime);

/// What a founder decides, once and for all.
struct NewNetwork {
  std::uint32_t epoch_seconds = 3600;
  std::optional<TrustRules> rules;  ///< none: whoever is invited is trusted
  std::optional<MendRules> mend;    ///< none: the defaults
  std::optional<std::uint32_t> cycles_month_epochs;
};

/// Puts a new network in, founded by the drive's person, and completes the drive.
Task<Result<NetworkId>> found_network(Runtime& runtime, const Drive& drive, NewNetwork network = {});

/// Puts a joined network in and completes the drive. With `recovery`, the next start of the server
/// brings the person's volumes back from that network before anything else.
Task<Result<void>> adopt_network(Runtime& runtime, const Drive& drive,
                                 MemberStore::Contents contents,
                                 std::optional<Recovery> recovery,
                                 std::vector<wire::TrustRecord> rotations = {});

/// Errors: not_found (no drive here, or an unfinished one), newer_format (naming both versions),
/// denied (passphrase), invalid (settings), corrupt.
Task<Result<Drive>> open_drive(Runtime& runtime, std::optional<std::string> passphrase);

/// Puts another keyring in place of the drive's, durably and at once or not at all. Errc::denied when the
/// one that is there is sealed and the passphrase is not its own.
Task<Result<void>> replace_keyring(Runtime& runtime, const Keyring& keyring,
                                   std::optional<std::string> passphrase);

/// True when the keyring asks for a passphrase.
Task<Result<bool>> drive_needs_passphrase(Runtime& runtime);

/// The sizes that follow from the settings and the disk.
struct Halves {
  std::uint64_t user_bytes = 0;
  std::uint64_t server_bytes = 0;
};
Result<Halves> halves_of(const Config& config, const DiskSpace& space);

/// Held by the one process that may use a drive; given back when it dies, however it dies. For real
/// drives only: `folder` is a path of the file system.
class DriveLock {
 public:
  /// Errc::busy names the process that has it.
  static Result<DriveLock> take(const std::string& folder);
  DriveLock(DriveLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DriveLock& operator=(DriveLock&& other) noexcept;
  ~DriveLock();

 private:
  explicit DriveLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace spatter
