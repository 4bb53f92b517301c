// What a holder is asked, decoded from foreign bytes and checked as far as that goes without the
// store. Every error names what is wrong. docs/PROTOCOL.md has the messages and limits.
#pragma once

#include <string_view>
#include <vector>

#include "serverhalf/shard_store.h"

namespace spatter::serverhalf {

inline constexpr std::size_t release_keys_max = 1024;
inline constexpr std::size_t check_keys_max = 1024;
inline constexpr std::size_t renew_contracts_max = 256;
inline constexpr std::size_t deep_check_keys_max = 32;  ///< each reads and hashes a whole shard
/// Replies stay below what an RPC body may have.
inline constexpr std::size_t list_reply_bytes_max = 400 << 10;

struct PutRequest {
  wire::Signed descriptor;
  wire::Contract contract;
  ServerId owner;  ///< whose key signed the contract, as it claims
};
Result<PutRequest> decode_put(std::string_view body);

struct BeginRequest {
  ShardKey key;
  std::uint64_t size = 0;
  PersonId person;
  WriterMark mark;
};
Result<BeginRequest> decode_begin(std::string_view body);

struct WriteRequest {
  std::uint64_t handle = 0;
  std::uint64_t offset = 0;
};
Result<WriteRequest> decode_write(std::string_view body);

struct CommitRequest {
  std::uint64_t handle = 0;
  PutRequest put;
};
Result<CommitRequest> decode_commit(std::string_view body);

Result<std::uint64_t> decode_abort(std::string_view body);

struct ReadRequest {
  ShardKey key;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
Result<ReadRequest> decode_read(std::string_view body);

Result<ShardQuery> decode_list(std::string_view body);

struct ReleaseRequest {
  std::vector<ShardKey> keys;
  std::uint64_t writer_number = 0;
};
Result<ReleaseRequest> decode_release(std::string_view body);

struct CheckRequest {
  std::vector<ShardKey> keys;
  bool deep = false;
};
Result<CheckRequest> decode_check(std::string_view body);

struct RenewRequest {
  std::vector<wire::Contract> contracts;
  std::vector<ServerId> owners;  ///< whose keys signed them, as they claim; each once
};
Result<RenewRequest> decode_renew(std::string_view body);

Result<wire::Signed> decode_root_put(std::string_view body);
Result<PersonId> decode_root_get(std::string_view body);

/// As much of the page as fits a reply; `more` is set when something was left out.
std::string encode_list(const ShardPage& page);

}  // namespace spatter::serverhalf
