#include "holder_link.h"

#include "net/methods.h"

namespace spatter {

namespace {

using std::chrono::seconds;
/// Longer reads wait their turn behind other bulk.
constexpr std::uint64_t control_read_bytes_max = 128 << 10;
constexpr CallOptions quick{.timeout = seconds(10)};
constexpr CallOptions durable{.timeout = seconds(30)};
constexpr CallOptions bulk{.timeout = seconds(60), .priority = Priority::bulk};

}  // namespace

template <class Reply, class Request>
Task<Result<std::pair<Reply, Rope>>> HolderLink::call(ServerId holder, std::uint16_t method,
                                                      const Request& request, Buffer payload,
                                                      CallOptions options) {
  RpcRequest message{.method = method, .body = {}, .payload = std::move(payload)};
  message.body = request.SerializeAsString();
  auto called = co_await context_.rpc.call(holder, message, options);
  // A holder need not have this server in its view.
  if (!called && called.error().code == Errc::denied && co_await context_.members.introduce(holder))
    called = co_await context_.rpc.call(holder, std::move(message), options);
  CO_TRY(auto answer, std::move(called));
  std::pair<Reply, Rope> reply;
  if (!reply.first.ParseFromString(answer.body))
    co_return fail(Errc::invalid, "server {}: its answer to {} cannot be read", holder,
                   method_name(method));
  reply.second = std::move(answer.payload);
  co_return std::move(reply);
}

Task<Result<wire::Contract>> HolderLink::put(ServerId holder, wire::Signed descriptor,
                                             wire::Contract offer, Buffer shard) {
  if (is_own(holder))
    co_return co_await context_.own_store.put(self(), std::move(descriptor), std::move(offer),
                                              std::move(shard));
  wire::ShardPutRequest request;
  *request.mutable_stripe_descriptor() = std::move(descriptor);
  *request.mutable_contract() = std::move(offer);
  CO_TRY(auto reply, co_await call<wire::ShardPutReply>(holder, method::shard_put, request,
                                                        std::move(shard), durable));
  co_return std::move(*reply.first.mutable_contract());
}

Task<Result<std::uint64_t>> HolderLink::begin(ServerId holder, ShardKey key, std::uint64_t size,
                                              WriterMark mark) {
  if (is_own(holder)) co_return co_await context_.own_store.begin(self(), key, size, mark);
  wire::ShardBeginRequest request;
  request.set_stripe(key.stripe.raw());
  request.set_index(key.index);
  request.set_size(size);
  request.set_person(context_.identity.person.raw());
  request.set_volume(mark.volume.raw());
  request.set_writer_number(mark.number);
  CO_TRY(auto reply, co_await call<wire::ShardBeginReply>(holder, method::shard_begin, request, {},
                                                          quick));
  co_return reply.first.handle();
}

Task<Result<void>> HolderLink::write(ServerId holder, std::uint64_t handle, std::uint64_t offset,
                                     Buffer piece) {
  if (is_own(holder))
    co_return co_await context_.own_store.write(self(), handle, offset, std::move(piece));
  wire::ShardWriteRequest request;
  request.set_handle(handle);
  request.set_offset(offset);
  CO_TRY(auto reply, co_await call<wire::ShardWriteReply>(holder, method::shard_write, request,
                                                          std::move(piece), bulk));
  co_return Result<void>{};
}

Task<Result<wire::Contract>> HolderLink::commit(ServerId holder, std::uint64_t handle,
                                                wire::Signed descriptor, wire::Contract offer) {
  if (is_own(holder))
    co_return co_await context_.own_store.commit(self(), handle, std::move(descriptor),
                                                 std::move(offer));
  wire::ShardCommitRequest request;
  request.set_handle(handle);
  *request.mutable_stripe_descriptor() = std::move(descriptor);
  *request.mutable_contract() = std::move(offer);
  CO_TRY(auto reply, co_await call<wire::ShardCommitReply>(holder, method::shard_commit, request,
                                                           {}, durable));
  co_return std::move(*reply.first.mutable_contract());
}

Task<Result<void>> HolderLink::abort(ServerId holder, std::uint64_t handle) {
  if (is_own(holder)) co_return co_await context_.own_store.abort(self(), handle);
  wire::ShardAbortRequest request;
  request.set_handle(handle);
  CO_TRY(auto reply, co_await call<wire::ShardAbortReply>(holder, method::shard_abort, request, {},
                                                          quick));
  co_return Result<void>{};
}

Task<Result<SentPart>> HolderLink::read(ServerId holder, ShardKey key, std::uint64_t offset,
                                        std::uint64_t length, Duration timeout) {
  if (is_own(holder)) {
    CO_TRY(auto part, co_await context_.own_store.read(key, offset, length));
    co_return SentPart{part.first_leaf, std::move(part.leaves), std::move(part.proof)};
  }
  wire::ShardReadRequest request;
  request.set_stripe(key.stripe.raw());
  request.set_index(key.index);
  request.set_offset(offset);
  request.set_length(length);
  CallOptions options{.timeout = timeout,
                      .priority = length > control_read_bytes_max ? Priority::bulk
                                                                  : Priority::control,
                      .reply_payload_bytes = static_cast<std::size_t>(length)};
  CO_TRY(auto reply, co_await call<wire::ShardReadReply>(holder, method::shard_read, request, {},
                                                         options));
  co_return SentPart{reply.first.first_leaf(), std::move(reply.second),
                     to_bytes(as_bytes(reply.first.proof()))};
}

Task<Result<std::vector<bool>>> HolderLink::check(ServerId holder, std::vector<ShardKey> keys,
                                                 bool deep) {
  const auto count = keys.size();
  if (is_own(holder)) co_return co_await context_.own_store.check(std::move(keys), deep);
  wire::ShardCheckRequest request;
  for (const auto& key : keys) {
    auto* shard = request.add_shards();
    shard->set_stripe(key.stripe.raw());
    shard->set_index(key.index);
  }
  request.set_deep(deep);
  CO_TRY(auto reply, co_await call<wire::ShardCheckReply>(holder, method::shard_check, request, {},
                                                          durable));
  if (static_cast<std::size_t>(reply.first.whole_size()) != count)
    co_return fail(Errc::invalid, "server {}: asked about {} shards, answered about {}", holder,
                   count, reply.first.whole_size());
  co_return std::vector<bool>(reply.first.whole().begin(), reply.first.whole().end());
}

Task<Result<void>> HolderLink::release(ServerId holder, std::vector<ShardKey> keys,
                                       std::uint64_t writer_number) {
  if (is_own(holder)) {
    CO_TRY(const auto count,
           co_await context_.own_store.release(self(), std::move(keys), writer_number));
    static_cast<void>(count);
    co_return Result<void>{};
  }
  wire::ShardReleaseRequest request;
  for (const auto& key : keys) {
    auto* shard = request.add_shards();
    shard->set_stripe(key.stripe.raw());
    shard->set_index(key.index);
  }
  request.set_writer_number(writer_number);
  CO_TRY(auto reply, co_await call<wire::ShardReleaseReply>(holder, method::shard_release, request,
                                                            {}, durable));
  co_return Result<void>{};
}

Task<Result<std::vector<wire::Contract>>> HolderLink::renew(ServerId holder,
                                                            std::vector<wire::Contract> offers) {
  const auto count = offers.size();
  if (is_own(holder)) co_return co_await context_.own_store.renew(self(), std::move(offers));
  wire::ShardRenewRequest request;
  for (auto& offer : offers) *request.add_contracts() = std::move(offer);
  CO_TRY(auto reply, co_await call<wire::ShardRenewReply>(holder, method::shard_renew, request, {},
                                                          durable));
  if (static_cast<std::size_t>(reply.first.contracts_size()) != count)
    co_return fail(Errc::invalid, "server {}: {} contracts were offered, {} came back", holder,
                   count, reply.first.contracts_size());
  auto& contracts = *reply.first.mutable_contracts();
  co_return std::vector<wire::Contract>(std::make_move_iterator(contracts.begin()),
                                        std::make_move_iterator(contracts.end()));
}

Task<Result<wire::ShardListReply>> HolderLink::list(ServerId holder, std::optional<ShardKey> after,
                                                    unsigned limit, bool with_descriptors) {
  if (is_own(holder)) {
    ShardQuery query{.person = context_.identity.person,
                     .after = after,
                     .limit = limit,
                     .with_descriptors = with_descriptors};
    CO_TRY(auto page, co_await context_.own_store.list(std::move(query)));
    wire::ShardListReply reply;
    reply.set_more(page.more);
    for (auto& shard : page.shards) {
      auto* entry = reply.add_entries();
      entry->set_stripe(shard.key.stripe.raw());
      entry->set_index(shard.key.index);
      entry->set_size(shard.size);
      entry->set_lost(shard.lost);
      if (shard.descriptor) *entry->mutable_stripe_descriptor() = std::move(*shard.descriptor);
      *entry->mutable_contract() = std::move(shard.contract);
    }
    co_return std::move(reply);
  }
  wire::ShardListRequest request;
  request.set_person(context_.identity.person.raw());
  if (after) {
    request.set_after_set(true);
    request.set_after_stripe(after->stripe.raw());
    request.set_after_index(after->index);
  }
  request.set_limit(limit);
  request.set_with_descriptors(with_descriptors);
  CO_TRY(auto reply, co_await call<wire::ShardListReply>(holder, method::shard_list, request, {},
                                                         durable));
  co_return std::move(reply.first);
}

}  // namespace spatter
