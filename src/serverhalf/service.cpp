#include "serverhalf/service.h"

#include <memory>
#include <set>

#include "net/methods.h"
#include "requests.h"

namespace spatter {
namespace {

using namespace serverhalf;

struct Service {
  Rpc& rpc;
  ShardStore& store;
  PersonOf person_of;
  MayStore may_store;
  KeyOf key_of;

  Result<Asker> asker(const Caller& caller) const {
    const auto person = person_of(caller.server);
    if (!person)
      return fail(Errc::denied, "server {} is not a member of this network", caller.server);
    Asker asker{caller.server, *person};
    if (key_of) asker.key = key_of(*person);
    return asker;
  }

  /// The same for what takes room that was not taken before.
  Result<Asker> storing_asker(const Caller& caller) const {
    TRY(const Asker found, asker(caller));
    if (may_store) TRY_VOID(may_store(found.person));
    return found;
  }

  /// Only a server of the person may sign the person's contracts.
  Result<void> check_owner(const Asker& asker, const ServerId& owner) const {
    if (owner == asker.server || person_of(owner) == asker.person) return {};
    return fail(Errc::denied, "the contract is signed by server {}, which is none of person {}'s",
                owner, asker.person);
  }
};
using ServicePtr = std::shared_ptr<const Service>;

Result<void> no_payload(const RpcRequest& request) {
  if (request.payload.empty()) return {};
  return fail(Errc::invalid, "a {} request with {} bytes of payload", method_name(request.method),
              request.payload.size());
}

template <class Message>
RpcReply reply_with(const Message& message) {
  return {.body = message.SerializeAsString()};
}

Task<Result<RpcReply>> put(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->storing_asker(caller));
  CO_TRY(auto decoded, decode_put(request.body));
  CO_TRY_VOID(service->check_owner(asker, decoded.owner));
  wire::ShardPutReply reply;
  CO_TRY(*reply.mutable_contract(),
         co_await service->store.put(asker, std::move(decoded.descriptor),
                                     std::move(decoded.contract), std::move(request.payload)));
  co_return reply_with(reply);
}

Task<Result<RpcReply>> begin(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->storing_asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(const auto decoded, decode_begin(request.body));
  if (decoded.person != asker.person)
    co_return fail(Errc::denied, "{} is to be begun for person {}, who is not the caller's",
                   decoded.key.text(), decoded.person);
  wire::ShardBeginReply reply;
  CO_TRY(const auto handle,
         co_await service->store.begin(asker, decoded.key, decoded.size, decoded.mark));
  reply.set_handle(handle);
  co_return reply_with(reply);
}

Task<Result<RpcReply>> write(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->asker(caller));
  CO_TRY(const auto decoded, decode_write(request.body));
  CO_TRY_VOID(co_await service->store.write(asker, decoded.handle, decoded.offset,
                                            std::move(request.payload)));
  co_return reply_with(wire::ShardWriteReply());
}

Task<Result<RpcReply>> commit(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(auto decoded, decode_commit(request.body));
  CO_TRY_VOID(service->check_owner(asker, decoded.put.owner));
  wire::ShardCommitReply reply;
  CO_TRY(*reply.mutable_contract(),
         co_await service->store.commit(asker, decoded.handle, std::move(decoded.put.descriptor),
                                        std::move(decoded.put.contract)));
  co_return reply_with(reply);
}

Task<Result<RpcReply>> abort(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(const auto handle, decode_abort(request.body));
  CO_TRY_VOID(co_await service->store.abort(asker, handle));
  co_return reply_with(wire::ShardAbortReply());
}

Task<Result<RpcReply>> read(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY_VOID(service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(const auto decoded, decode_read(request.body));
  CO_TRY(auto part, co_await service->store.read(decoded.key, decoded.offset, decoded.length));
  wire::ShardReadReply reply;
  reply.set_shard_size(part.shard_size);
  reply.set_first_leaf(part.first_leaf);
  reply.set_leaf_count(part.leaf_count);
  reply.set_proof(part.proof.data(), part.proof.size());
  co_return RpcReply{.body = reply.SerializeAsString(), .payload = std::move(part.leaves)};
}

Task<Result<RpcReply>> list(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(auto query, decode_list(request.body));
  if (query.person != asker.person)
    co_return fail(Errc::denied, "what is kept for person {} is for that person to list",
                   *query.person);
  CO_TRY(const auto page, co_await service->store.list(std::move(query)));
  co_return RpcReply{.body = encode_list(page)};
}

Task<Result<RpcReply>> release(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(auto decoded, decode_release(request.body));
  wire::ShardReleaseReply reply;
  CO_TRY(const auto released, co_await service->store.release(asker, std::move(decoded.keys),
                                                              decoded.writer_number));
  reply.set_released(released);
  co_return reply_with(reply);
}

Task<Result<RpcReply>> check(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY_VOID(service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(auto decoded, decode_check(request.body));
  CO_TRY(const auto whole,
         co_await service->store.check(std::move(decoded.keys), decoded.deep));
  wire::ShardCheckReply reply;
  for (const bool one : whole) reply.add_whole(one);
  co_return reply_with(reply);
}

Task<Result<RpcReply>> renew(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(auto decoded, decode_renew(request.body));
  for (const auto& owner : decoded.owners) CO_TRY_VOID(service->check_owner(asker, owner));
  CO_TRY(auto renewed, co_await service->store.renew(asker, std::move(decoded.contracts)));
  wire::ShardRenewReply reply;
  for (auto& contract : renewed) *reply.add_contracts() = std::move(contract);
  co_return reply_with(reply);
}

Task<Result<RpcReply>> put_root(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY(const Asker asker, service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(auto root, decode_root_put(request.body));
  CO_TRY_VOID(co_await service->store.put_root(asker, std::move(root)));
  co_return reply_with(wire::RootPutReply());
}

Task<Result<RpcReply>> get_roots(ServicePtr service, Caller caller, RpcRequest request) {
  CO_TRY_VOID(service->asker(caller));
  CO_TRY_VOID(no_payload(request));
  CO_TRY(const auto person, decode_root_get(request.body));
  CO_TRY(auto roots, co_await service->store.roots(person));
  wire::RootGetReply reply;
  std::set<std::string> writers;
  for (auto& root : roots) {
    wire::RootRecord content;
    if (content.ParseFromString(root.body())) writers.insert(content.writer());
    *reply.add_roots() = std::move(root);
  }
  for (const auto& server : service->rpc.connected())
    if (writers.contains(server.raw())) reply.add_writers_up(server.raw());
  co_return reply_with(reply);
}

}  // namespace

void serve_shards(Rpc& rpc, ShardStore& store, PersonOf person_of, MayStore may_store, KeyOf key_of) {
  const auto service = std::make_shared<const Service>(
      Service{rpc, store, std::move(person_of), std::move(may_store), std::move(key_of)});
  using Handle = Task<Result<RpcReply>> (*)(ServicePtr, Caller, RpcRequest);
  const auto serve = [&](std::uint16_t method, Handle handle) {
    rpc.serve(method, [service, handle](Caller caller, RpcRequest request) {
      return handle(service, std::move(caller), std::move(request));
    });
  };
  serve(method::shard_put, put);
  serve(method::shard_begin, begin);
  serve(method::shard_write, write);
  serve(method::shard_commit, commit);
  serve(method::shard_abort, abort);
  serve(method::shard_read, read);
  serve(method::shard_list, list);
  serve(method::shard_release, release);
  serve(method::shard_check, check);
  serve(method::shard_renew, renew);
  serve(method::root_put, put_root);
  serve(method::root_get, get_roots);
}

}  // namespace spatter
