// A holder as owners and readers use it: over the wire, or directly when it is the own server half.
// Foreign replies are checked for shape here; receipts and shard bytes are verified by the callers.
#pragma once

#include "proto/holder.pb.h"
#include "spatter/context.h"
#include "trust/contract.h"

namespace spatter {

/// A stretch of a shard as a holder sent it; nothing in it is verified yet.
struct SentPart {
  std::uint64_t first_leaf = 0;
  Rope leaves;  ///< their bytes
  Bytes proof;
};

class HolderLink {
 public:
  explicit HolderLink(SpatterContext context) : context_(context) {}

  Task<Result<wire::Contract>> put(ServerId holder, wire::Signed descriptor, wire::Contract offer,
                                   Buffer shard);
  Task<Result<std::uint64_t>> begin(ServerId holder, ShardKey key, std::uint64_t size,
                                    WriterMark mark);
  Task<Result<void>> write(ServerId holder, std::uint64_t handle, std::uint64_t offset,
                           Buffer piece);
  Task<Result<wire::Contract>> commit(ServerId holder, std::uint64_t handle,
                                      wire::Signed descriptor, wire::Contract offer);
  Task<Result<void>> abort(ServerId holder, std::uint64_t handle);

  Task<Result<SentPart>> read(ServerId holder, ShardKey key, std::uint64_t offset,
                              std::uint64_t length, Duration timeout);
  Task<Result<std::vector<bool>>> check(ServerId holder, std::vector<ShardKey> keys, bool deep);
  Task<Result<void>> release(ServerId holder, std::vector<ShardKey> keys,
                             std::uint64_t writer_number);
  /// One contract for each offer, in order; see ShardStore::renew. At most renewals_max.
  Task<Result<std::vector<wire::Contract>>> renew(ServerId holder,
                                                  std::vector<wire::Contract> offers);
  static constexpr std::size_t renewals_max = 128;
  /// One page of what the holder keeps of our person.
  Task<Result<wire::ShardListReply>> list(ServerId holder, std::optional<ShardKey> after,
                                          unsigned limit, bool with_descriptors);

  bool is_own(const ServerId& holder) const { return holder == context_.identity.server; }

 private:
  Asker self() const { return {context_.identity.server, context_.identity.person}; }
  template <class Reply, class Request>
  Task<Result<std::pair<Reply, Rope>>> call(ServerId holder, std::uint16_t method,
                                              const Request& request, Buffer payload,
                                              CallOptions options);

  SpatterContext context_;
};

}  // namespace spatter
