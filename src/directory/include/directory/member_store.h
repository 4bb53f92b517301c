// What the members list remembers across restarts, in the drive: the genesis, the admissions, the
// newest record of each server, the revocations, and the invites this server has given out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/database.h"
#include "base/ids.h"
#include "base/runtime.h"
#include "wire/proto/records.pb.h"

namespace spatter {

class MemberStore {
 public:
  /// `path` below the drive, e.g. "network/members.db"; its folder must exist.
  static Task<Result<std::unique_ptr<MemberStore>>> open(Runtime& runtime, std::string path);

  struct Contents {
    std::optional<wire::Signed> genesis;  ///< none: belongs to no network yet
    std::vector<wire::Signed> admissions; ///< in order of admission
    std::vector<wire::Signed> records;
    std::vector<wire::Signed> revocations;
  };
  Task<Result<Contents>> load();

  /// Puts a network in place of whatever was there; invites of the old one are gone. Durable.
  Task<Result<void>> replace(Contents contents);

  struct ServerRow {
    ServerId id;
    std::uint64_t version = 0;
    wire::Signed record;
  };
  struct AdmissionRow {
    PersonId person;
    wire::Signed record;
  };
  struct RevocationRow {
    ServerId server;  ///< whose record goes
    wire::Signed record;
  };
  /// `forgotten`: servers whose rows go. Durable on return.
  Task<Result<void>> save(std::vector<AdmissionRow> admissions, std::vector<ServerRow> servers,
                          std::vector<RevocationRow> revocations = {}, std::vector<ServerId> forgotten = {});

  /// Remembers the hash of an invite's secret, never the secret.
  Task<Result<void>> add_invite(Digest secret_hash, WallMs now, WallMs expires_ms);

  /// In one durable step: the invite is there, neither expired nor used by another server, and is
  /// from now on used by `server`; the admission (if any) and the record are saved. The same server
  /// may use it again: its first answer may have been lost.
  Task<Result<void>> use_invite(Digest secret_hash, WallMs now, std::optional<AdmissionRow> admission,
                                ServerRow server);
  /// The same checks without using it.
  Task<Result<void>> check_invite(Digest secret_hash, WallMs now, ServerId server);

  Task<void> close();

 private:
  explicit MemberStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  std::unique_ptr<Database> database_;
};

}  // namespace spatter
