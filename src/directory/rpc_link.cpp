#include "directory/rpc_link.h"

#include "directory/wire_form.h"
#include "net/methods.h"
#include "wire/proto/directory.pb.h"

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
  if (!reply && reply.error().code == Errc::denied && introduce_ && co_await introduce_(to->id))
    reply = co_await rpc_.call(to->id, {method, body, {}}, options);
  if (!reply) co_return fail(std::move(reply).error());
  co_return read_reply(request, reply->body, judge_, validators_);
}

Task<Result<std::vector<ContactPtr>>> RpcDirectoryLink::have_looked_up(ServerId helper, ContactPtr own) {
  // Longer than one question: the helper asks many.
  constexpr auto look_timeout = std::chrono::seconds(15);
  wire::DirectoryLook message;
  message.set_from(own->record);
  CO_TRY(const auto reply, co_await rpc_.call(helper, {method::directory_look, message.SerializeAsString(), {}},
                                              {.timeout = look_timeout}));
  wire::DirectoryFound found;
  if (!found.ParseFromString(reply.body) ||
      found.contacts_size() > static_cast<int>(contacts_per_reply_max))
    co_return fail(Errc::invalid, "server {} sent an answer that cannot be read", helper);
  std::vector<ContactPtr> contacts;
  for (const std::string& record : found.contacts())
    if (auto contact = judge_.judge(as_bytes(record)); contact && (*contact)->id != own->id)
      contacts.push_back(std::move(*contact));
  co_return contacts;
}

DirectoryService::DirectoryService(
    Runtime& runtime, Rpc& rpc, Current current, ContactJudge& judge, const RecordValidators& validators,
    std::function<std::optional<PersonId>(const ServerId&)> person_of)
    : runtime_(runtime), current_(std::move(current)), judge_(judge), validators_(validators),
      person_of_(std::move(person_of)) {
  for (const auto number : {method::directory_ping, method::directory_find, method::directory_get,
                            method::directory_put})
    rpc.serve(number, [this](Caller caller, RpcRequest request) {
      return handle(std::move(caller), std::move(request));
    });
  rpc.serve(method::directory_look, [this](Caller caller, RpcRequest request) {
    return handle_look(std::move(caller), std::move(request));
  });
}

/// Its own record: nobody introduces others here.
Result<ContactPtr> DirectoryService::judge_caller(Directory& directory, const Caller& caller,
                                                  std::string_view record) {
  TRY_VOID(directory.core().allow_introduction(caller.server, runtime_.now()));
  TRY(auto from, judge_.judge(as_bytes(record)));
  if (from->id != caller.server)
    return fail(Errc::denied, "server {} shows the record of server {} as its own", caller.server, from->id);
  return from;
}

Task<Result<RpcReply>> DirectoryService::handle(Caller caller, RpcRequest request) {
  const auto directory = current_();
  if (!directory) co_return fail(Errc::unavailable, "this server has no place in the directory yet");
  CO_TRY(auto foreign, read_request(request.method, request.body));
  std::optional<PersonId> person = person_of_(caller.server);
  if (!foreign.from.empty()) {
    CO_TRY(foreign.request.from, judge_caller(*directory, caller, foreign.from));
    person = foreign.request.from->person;
  }
  if (!person)
    co_return fail(Errc::denied, "server {} is of no trusted person known here", caller.server);
  DirectoryCore& core = directory->core();
  if (!foreign.values.empty())
    CO_TRY_VOID(core.allow_put(caller.server, *person, foreign.values.size(), runtime_.now()));
  for (auto& [key, value] : foreign.values) {
    auto record = validators_.check(key, std::move(value));
    // What counts no more here may still count where it was kept, and says nothing about what came with it.
    if (!record && record.error().code == Errc::denied && foreign.values.size() > 1) continue;
    if (!record) co_return fail(std::move(record).error());
    foreign.request.records.push_back(std::move(*record));
  }
  co_return RpcReply{to_wire(request.method, directory->answer(foreign.request)), {}};
}

Task<Result<RpcReply>> DirectoryService::handle_look(Caller caller, RpcRequest request) {
  const auto directory = current_();
  if (!directory) co_return fail(Errc::unavailable, "this server has no place in the directory yet");
  wire::DirectoryLook message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "a directory look that cannot be read");
  CO_TRY(const auto from, judge_caller(*directory, caller, message.from()));
  CO_TRY_VOID(directory->core().allow_look(from->person, runtime_.now()));
  DirectoryReply reply;
  CO_TRY(reply.contacts, co_await directory->look_for(from->position));
  co_return RpcReply{to_wire(method::directory_find, reply), {}};
}

}  // namespace spatter
