#include "directory/rpc_link.h"

#include "directory/wire_form.h"
#include "net/methods.h"

namespace spatter {

Task<Result<DirectoryReply>> RpcDirectoryLink::ask(ContactPtr to, DirectoryRequest request) {
  auto [method, body] = to_wire(request);
  const CallOptions options{.timeout = deadline_};
  // A connection that stands is used; else each address is tried.
  auto reply = co_await rpc_.call(to->id, {method, body, {}}, options);
  for (std::size_t i = 0; !reply && reply.error().code == Errc::unavailable &&
                          i < to->addresses.size(); ++i) {
    auto answer = co_await rpc_.call_address(to->addresses[i], to->id, {method, body, {}}, options);
    if (answer) reply = std::move(answer->second);
    else reply = fail(std::move(answer).error());
  }
  if (!reply) co_return fail(std::move(reply).error());
  co_return read_reply(request, reply->body, judge_, validators_);
}

DirectoryService::DirectoryService(
    Runtime& runtime, Rpc& rpc, Directory& directory, ContactJudge& judge,
    const RecordValidators& validators,
    std::function<std::optional<PersonId>(const ServerId&)> person_of)
    : runtime_(runtime), directory_(directory), judge_(judge), validators_(validators),
      person_of_(std::move(person_of)) {
  for (const auto number : {method::directory_ping, method::directory_find, method::directory_get,
                            method::directory_put})
    rpc.serve(number, [this](Caller caller, RpcRequest request) {
      return handle(std::move(caller), std::move(request));
    });
}

Task<Result<RpcReply>> DirectoryService::handle(Caller caller, RpcRequest request) {
  CO_TRY(auto foreign, read_request(request.method, request.body));
  std::optional<PersonId> person = person_of_(caller.server);
  if (!foreign.from.empty()) {
    // Its own record, or none: nobody introduces others here.
    CO_TRY_VOID(directory_.core().allow_introduction(caller.server, runtime_.now()));
    CO_TRY(auto from, judge_.judge(as_bytes(foreign.from)));
    if (from->id != caller.server)
      co_return fail(Errc::denied, "server {} shows the record of server {} as its own",
                     caller.server, from->id);
    person = from->person;
    foreign.request.from = std::move(from);
  }
  if (!person)
    co_return fail(Errc::denied, "server {} is of no trusted person known here", caller.server);
  DirectoryCore& core = directory_.core();
  if (!foreign.values.empty())
    CO_TRY_VOID(core.allow_put(caller.server, *person, foreign.values.size(), runtime_.now()));
  for (auto& [key, value] : foreign.values) {
    CO_TRY(auto record, validators_.check(key, std::move(value)));
    foreign.request.records.push_back(std::move(record));
  }
  const auto reply = core.answer(foreign.request, runtime_.now(), runtime_.wall_ms());
  co_return RpcReply{to_wire(request.method, reply), {}};
}

}  // namespace spatter
