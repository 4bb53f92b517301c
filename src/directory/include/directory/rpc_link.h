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
  /// A question that takes longer has no answer. `introduce`: Members::introduce, for those asked who
  /// do not know this server. The references outlive the object.
  static constexpr Duration deadline_default = std::chrono::milliseconds(1500);
  using Introduce = std::function<Task<bool>(ServerId)>;
  RpcDirectoryLink(Rpc& rpc, ContactJudge& judge, const RecordValidators& validators,
                   Duration deadline = deadline_default, Introduce introduce = {})
      : rpc_(rpc), judge_(judge), validators_(validators), deadline_(deadline),
        introduce_(std::move(introduce)) {}

  Task<Result<DirectoryReply>> ask(ContactPtr to, DirectoryRequest request) override;

  /// Asks a server that is trusted more than others, because its person let this one's in, to look up
  /// who is near `own`. Those contacts that prove themselves.
  Task<Result<std::vector<ContactPtr>>> have_looked_up(ServerId helper, ContactPtr own);

 private:
  Rpc& rpc_;
  ContactJudge& judge_;
  const RecordValidators& validators_;
  Duration deadline_;
  Introduce introduce_;
};

/// Serves directory.ping, find, get, put and look for a Directory. Callers whose person is not trusted
/// may ask nothing.
class DirectoryService {
 public:
  /// `current`: the Directory of now; null while this server has no place, when everything is refused
  /// (Errc::unavailable). `person_of`: the trusted person behind a connection's server, if there is one.
  /// All outlive the Rpc's last call.
  using Current = std::function<std::shared_ptr<Directory>()>;
  DirectoryService(Runtime& runtime, Rpc& rpc, Current current, ContactJudge& judge,
                   const RecordValidators& validators,
                   std::function<std::optional<PersonId>(const ServerId&)> person_of);

 private:
  Task<Result<RpcReply>> handle(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_look(Caller caller, RpcRequest request);
  Result<ContactPtr> judge_caller(Directory& directory, const Caller& caller, std::string_view record);

  Runtime& runtime_;
  Current current_;
  ContactJudge& judge_;
  const RecordValidators& validators_;
  std::function<std::optional<PersonId>(const ServerId&)> person_of_;
};

}  // namespace spatter
