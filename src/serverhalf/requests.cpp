#include "requests.h"

#include "trust/contract.h"

namespace spatter::serverhalf {
namespace {

template <class Message>
Result<Message> parse(std::string_view body, std::string_view method) {
  Message message;
  if (!message.ParseFromArray(body.data(), static_cast<int>(body.size())))
    return fail(Errc::invalid, "a {} request that cannot be read", method);
  return message;
}

template <class IdType>
Result<IdType> id_of(const std::string& raw, std::string_view method, std::string_view field) {
  auto id = IdType::from(raw);
  if (!id)
    return fail(Errc::invalid, "a {} request whose {} has {} bytes instead of 32", method, field,
                raw.size());
  return *id;
}

template <class Message>
Result<ShardKey> key_of(const Message& message, std::string_view method) {
  ShardKey key;
  TRY(key.stripe, id_of<StripeId>(message.stripe(), method, "stripe"));
  key.index = message.index();
  if (key.index > shard_index_max)
    return fail(Errc::invalid, "a {} request for {}: no stripe has that many", method, key.text());
  return key;
}

Result<std::vector<ShardKey>> keys_of(
    const google::protobuf::RepeatedPtrField<wire::ShardReleaseRequest::Shard>& shards,
    std::size_t count_max, std::string_view method) {
  if (static_cast<std::size_t>(shards.size()) > count_max)
    return fail(Errc::invalid, "a {} request for {} shards, allowed are {}", method, shards.size(),
                count_max);
  std::vector<ShardKey> keys;
  keys.reserve(static_cast<std::size_t>(shards.size()));
  for (const auto& shard : shards) {
    TRY(const ShardKey key, key_of(shard, method));
    keys.push_back(key);
  }
  return keys;
}

/// Whose key signed the contract, as it claims.
Result<ServerId> owner_of(const wire::Contract& contract, std::string_view method) {
  wire::ContractBody body;
  if (contract.body().size() > record_bytes_max || !body.ParseFromString(contract.body()) ||
      body.owner_key().size() != 32)
    return fail(Errc::invalid, "a {} request with a contract that cannot be read", method);
  return server_id(as_bytes(body.owner_key()));
}

/// The signatures are checked later, off the executor.
template <class Message>
Result<PutRequest> put_of(Message& message, std::string_view method) {
  if (!message.has_stripe_descriptor() || !message.has_contract())
    return fail(Errc::invalid, "a {} request without {}", method,
                message.has_contract() ? "its stripe's descriptor" : "a contract");
  PutRequest request;
  TRY(request.owner, owner_of(message.contract(), method));
  request.descriptor = std::move(*message.mutable_stripe_descriptor());
  request.contract = std::move(*message.mutable_contract());
  return request;
}

}  // namespace

Result<PutRequest> decode_put(std::string_view body) {
  TRY(auto message, parse<wire::ShardPutRequest>(body, "shard.put"));
  return put_of(message, "shard.put");
}

Result<BeginRequest> decode_begin(std::string_view body) {
  TRY(const auto message, parse<wire::ShardBeginRequest>(body, "shard.begin"));
  BeginRequest request;
  TRY(request.key, key_of(message, "shard.begin"));
  TRY(request.person, id_of<PersonId>(message.person(), "shard.begin", "person"));
  TRY(request.mark.volume, id_of<VolumeId>(message.volume(), "shard.begin", "volume"));
  request.mark.number = message.writer_number();
  request.size = message.size();
  if (request.size < 1 || request.size > shard_bytes_max)
    return fail(Errc::invalid, "{} of {} bytes, allowed are 1 to {}", request.key.text(),
                request.size, shard_bytes_max);
  return request;
}

Result<WriteRequest> decode_write(std::string_view body) {
  TRY(const auto message, parse<wire::ShardWriteRequest>(body, "shard.write"));
  if (message.offset() > shard_bytes_max)
    return fail(Errc::invalid, "a shard.write request at offset {}", message.offset());
  return WriteRequest{message.handle(), message.offset()};
}

Result<CommitRequest> decode_commit(std::string_view body) {
  TRY(auto message, parse<wire::ShardCommitRequest>(body, "shard.commit"));
  CommitRequest request;
  request.handle = message.handle();
  TRY(request.put, put_of(message, "shard.commit"));
  return request;
}

Result<std::uint64_t> decode_abort(std::string_view body) {
  TRY(const auto message, parse<wire::ShardAbortRequest>(body, "shard.abort"));
  return message.handle();
}

Result<ReadRequest> decode_read(std::string_view body) {
  TRY(const auto message, parse<wire::ShardReadRequest>(body, "shard.read"));
  ReadRequest request;
  TRY(request.key, key_of(message, "shard.read"));
  request.offset = message.offset();
  request.length = message.length();
  if (request.offset >= shard_bytes_max || request.length > shard_bytes_max)
    return fail(Errc::invalid, "{}: {} bytes at {} were asked for, no shard is that long",
                request.key.text(), request.length, request.offset);
  return request;
}

Result<ShardQuery> decode_list(std::string_view body) {
  TRY(const auto message, parse<wire::ShardListRequest>(body, "shard.list"));
  ShardQuery query;
  TRY(query.person, id_of<PersonId>(message.person(), "shard.list", "person"));
  if (message.after_set()) {
    ShardKey after;
    TRY(after.stripe, id_of<StripeId>(message.after_stripe(), "shard.list", "stripe"));
    after.index = message.after_index();
    query.after = after;
  }
  query.limit = message.limit() == 0 ? 256 : std::min<std::size_t>(message.limit(), 1024);
  query.with_descriptors = message.with_descriptors();
  return query;
}

Result<ReleaseRequest> decode_release(std::string_view body) {
  TRY(const auto message, parse<wire::ShardReleaseRequest>(body, "shard.release"));
  ReleaseRequest request;
  TRY(request.keys, keys_of(message.shards(), release_keys_max, "shard.release"));
  request.writer_number = message.writer_number();
  return request;
}

Result<CheckRequest> decode_check(std::string_view body) {
  TRY(const auto message, parse<wire::ShardCheckRequest>(body, "shard.check"));
  CheckRequest request;
  request.deep = message.deep();
  TRY(request.keys, keys_of(message.shards(),
                            request.deep ? deep_check_keys_max : check_keys_max, "shard.check"));
  return request;
}

Result<RenewRequest> decode_renew(std::string_view body) {
  TRY(auto message, parse<wire::ShardRenewRequest>(body, "shard.renew"));
  if (static_cast<std::size_t>(message.contracts_size()) > renew_contracts_max)
    return fail(Errc::invalid, "a shard.renew request for {} contracts, allowed are {}",
                message.contracts_size(), renew_contracts_max);
  RenewRequest request;
  for (auto& contract : *message.mutable_contracts()) {
    TRY(const auto owner, owner_of(contract, "shard.renew"));
    if (std::ranges::find(request.owners, owner) == request.owners.end())
      request.owners.push_back(owner);
    request.contracts.push_back(std::move(contract));
  }
  return request;
}

Result<wire::Signed> decode_root_put(std::string_view body) {
  TRY(auto message, parse<wire::RootPutRequest>(body, "root.put"));
  if (!message.has_root()) return fail(Errc::invalid, "a root.put request without a record");
  return std::move(*message.mutable_root());
}

Result<PersonId> decode_root_get(std::string_view body) {
  TRY(const auto message, parse<wire::RootGetRequest>(body, "root.get"));
  return id_of<PersonId>(message.person(), "root.get", "person");
}

std::string encode_list(const ShardPage& page) {
  wire::ShardListReply reply;
  std::size_t bytes = 0;
  reply.set_more(page.more);
  for (const ShardListing& listing : page.shards) {
    wire::ShardListReply::Entry entry;
    entry.set_stripe(listing.key.stripe.raw());
    entry.set_index(listing.key.index);
    entry.set_size(listing.size);
    entry.set_lost(listing.lost);
    *entry.mutable_contract() = listing.contract;
    if (listing.descriptor) *entry.mutable_stripe_descriptor() = *listing.descriptor;
    bytes += entry.ByteSizeLong() + 8;
    if (bytes > list_reply_bytes_max && reply.entries_size() > 0) {
      reply.set_more(true);
      break;
    }
    *reply.add_entries() = std::move(entry);
  }
  return reply.SerializeAsString();
}

}  // namespace spatter::serverhalf
