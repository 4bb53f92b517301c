#include "directory/clip_store.h"

#include "crypto/hash.h"
#include "net/methods.h"
#include "wire/proto/trust.pb.h"

namespace spatter {
namespace {

constexpr std::uint64_t piece_bytes = rpc_inline_bytes_max;
constexpr Duration piece_timeout = std::chrono::seconds(30);

}  // namespace

void ClipStore::start() {
  rpc_.serve(method::trust_clip, [this](Caller caller, RpcRequest request) {
    return handle_clip(std::move(caller), std::move(request));
  });
}

/// What nobody needs goes, as long as there would be too much.
Task<Result<void>> ClipStore::make_room(std::uint64_t bytes) {
  auto listed = co_await runtime_.blocking([&]() -> Result<std::vector<DiskEntry>> {
    TRY_VOID(runtime_.disk().make_directories(folder_));
    return runtime_.disk().list(folder_);
  });
  if (!listed) co_return fail(std::move(listed).error());
  std::uint64_t used = bytes;
  for (const auto& entry : *listed) used += entry.size;
  std::vector<std::string> superfluous;
  for (const auto& entry : *listed) {
    if (used <= bytes_max_) break;
    const auto clip = Digest::from_hex(entry.name);
    if (clip && is_needed && is_needed(*clip)) continue;
    superfluous.push_back(folder_ + "/" + entry.name);
    used -= entry.size;
  }
  if (used > bytes_max_)
    co_return fail(Errc::no_space, "this server keeps {} bytes of clips that wait for a verdict, and "
                   "no more than {}", used - bytes, bytes_max_);
  co_return co_await runtime_.blocking([&]() -> Result<void> {
    for (const auto& path : superfluous) TRY_VOID(runtime_.disk().remove(path));
    return {};
  });
}

Task<Result<void>> ClipStore::keep(Digest clip, Bytes sealed) {
  if (sealed.size() > sealed_clip_bytes_max)
    co_return fail(Errc::invalid, "a clip of {} bytes: {} at most", sealed.size(), sealed_clip_bytes_max);
  CO_TRY_VOID(co_await make_room(sealed.size()));
  co_return co_await runtime_.blocking(
      [&] { return write_file_durably(runtime_.disk(), path_of(clip), sealed); });
}

Task<Result<Bytes>> ClipStore::read(Digest clip) {
  co_return co_await runtime_.blocking([&]() -> Result<Bytes> {
    TRY(auto sealed, read_file(runtime_.disk(), path_of(clip), sealed_clip_bytes_max));
    if (sha256(sealed) == clip) return sealed;
    TRY_VOID(runtime_.disk().remove(path_of(clip)));
    return fail(Errc::corrupt, "the clip {} has rotted on this disk", clip);
  });
}

Task<Result<Bytes>> ClipStore::fetch(Digest clip, std::uint64_t bytes, std::vector<ServerId> from) {
  if (auto here = co_await read(clip)) co_return here;
  Error last{Errc::not_found, "no server that is up has it"};
  for (const auto& server : from) {
    auto got = co_await fetch_from(server, clip, bytes);
    if (!got) {
      last = std::move(got).error();
      continue;
    }
    CO_TRY_VOID(co_await keep(clip, *got));
    co_return got;
  }
  co_return fail(last.during(fmt::format("the clip {} cannot be fetched", clip)));
}

Task<Result<Bytes>> ClipStore::fetch_from(ServerId server, Digest clip, std::uint64_t bytes) {
  Bytes sealed;
  while (sealed.size() < bytes) {
    wire::TrustClipRequest ask;
    ask.set_clip(clip.raw());
    ask.set_offset(sealed.size());
    const auto wanted = std::min<std::uint64_t>(piece_bytes, bytes - sealed.size());
    CO_TRY(auto reply, co_await rpc_.call(server, {method::trust_clip, ask.SerializeAsString(), {}},
                                          {.timeout = piece_timeout,
                                           .priority = Priority::bulk,
                                           .reply_payload_bytes = wanted}));
    if (reply.payload.size() != wanted)
      co_return fail(Errc::invalid, "server {} sent {} bytes of a clip instead of {}", server,
                     reply.payload.size(), wanted);
    const auto at = sealed.size();
    sealed.resize(at + wanted);
    reply.payload.copy_to(0, MutableBytes(sealed).subspan(at));
  }
  const bool right = co_await runtime_.blocking([&] { return sha256(sealed) == clip; });
  if (!right) co_return fail(Errc::corrupt, "server {} sent another clip", server);
  co_return sealed;
}

Task<Result<RpcReply>> ClipStore::handle_clip(Caller caller, RpcRequest request) {
  if (!members_.person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not known here as a member", caller.server);
  wire::TrustClipRequest message;
  if (!message.ParseFromString(request.body))
    co_return fail(Errc::invalid, "trust.clip: a request that cannot be read");
  CO_TRY(const auto clip, Digest::from(message.clip()));
  std::uint64_t size = 0;
  auto piece = co_await runtime_.blocking([&]() -> Result<Buffer> {
    TRY(auto file, runtime_.disk().open(path_of(clip), OpenMode::read));
    TRY(size, file->size());
    if (message.offset() >= size)
      return fail(Errc::invalid, "the clip {} has {} bytes, none at {}", clip, size, message.offset());
    auto buffer = Buffer::allocate(std::min<std::uint64_t>(piece_bytes, size - message.offset()));
    TRY(const auto got, file->read_at(message.offset(), buffer.mutable_view()));
    if (got != buffer.size()) return fail(Errc::io, "the clip {} became shorter", clip);
    return buffer;
  });
  if (!piece) co_return fail(std::move(piece).error());
  wire::TrustClipReply reply;
  reply.set_clip_bytes(size);
  co_return RpcReply{reply.SerializeAsString(), Rope(std::move(*piece))};
}

}  // namespace spatter
