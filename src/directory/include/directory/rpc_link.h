// The directory over the authenticated connections between servers: asks through an Rpc, and answers
// what comes in through it. The connection proves who is on the other side; a contact's record proves
// the rest.
#pragma once

#include "directory/directory.h"
#include "directory/judge.h"
#include "net/rpc.h"

namespace spatter {

class RpcDirectoryLink final : public DirectoryLink {
 public:
  /// A question that takes longer has no answer. The references outlive the object.
  RpcDirectoryLink(Rpc& rpc, ContactJudge& judge, const RecordValidators& validators,
                   Duration deadline = std::chrono::milliseconds(1500))
      : rpc_(rpc), judge_(judge), validators_(validators), deadline_(deadline) {}

  Task<Result<DirectoryReply>> ask(ContactPtr to, DirectoryRequest request) override;

 private:
  Rpc& rpc_;
  ContactJudge& judge_;
  const RecordValidators& validators_;
  Duration deadline_;
};

/// Serves directory.ping, find, get and put for a Directory. Callers whose person is not trusted may
/// ask nothing.
class DirectoryService {
 public:
  /// `person_of`: the trusted person behind a connection's server, if there is one. The references
  /// outlive the Rpc's last call.
  DirectoryService(Runtime& runtime, Rpc& rpc, Directory& directory, ContactJudge& judge,
                   const RecordValidators& validators,
                   std::function<std::optional<PersonId>(const ServerId&)> person_of);

 private:
  Task<Result<RpcReply>> handle(Caller caller, RpcRequest request);

  Runtime& runtime_;
  Directory& directory_;
  ContactJudge& judge_;
  const RecordValidators& validators_;
  std::function<std::optional<PersonId>(const ServerId&)> person_of_;
};

}  // namespace spatter
