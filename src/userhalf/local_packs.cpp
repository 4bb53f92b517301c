#include "userhalf/local_packs.h"

#include <algorithm>

#include "userhalf/pack_format.h"
#include "wire/proto/volume.pb.h"

namespace spatter {
namespace {

Result<Buffer> read_exactly(File& file, std::uint64_t offset, std::uint64_t length) {
  Buffer bytes = Buffer::allocate(length);
  TRY(const std::size_t got, file.read_at(offset, bytes.mutable_view()));
  if (got != length) return fail(Errc::corrupt, "a pack file ends inside an entry");
  return bytes;
}

/// The sequence that the pack's first entry tells.
Result<std::uint64_t> check_start(const VolumeKeys& keys, const PackId& pack, VolumeId volume,
                                  const EntryHeader& header, ByteView body) {
  TRY(const auto plain, open_entry_body(keys.metadata, pack, 0, header, body));
  wire::PackStart start;
  if (header.type != EntryType::start ||
      !start.ParseFromArray(plain.data(), static_cast<int>(plain.size())) ||
      start.version() > pack_format_version || start.volume() != volume.raw() ||
      start.sequence() != header.number)
    return fail(Errc::corrupt, "pack {} does not begin as packs of this volume do", pack);
  return start.sequence();
}

Result<void> check_entry(const VolumeKeys& keys, const PackId& pack, std::uint64_t at,
                         const EntryHeader& header, ByteView body) {
  if (header.type != EntryType::chunk) {
    TRY_VOID(open_entry_body(keys.metadata, pack, at, header, body));
    return {};
  }
  ChunkId id;
  id.bytes = header.id.bytes;
  TRY_VOID(open_chunk(keys.chunks, id, header.codec, header.plain_bytes, body));
  return {};
}

/// Entry by entry until one doesn't prove itself; memory is one entry.
Result<RestorePack> walk_file(Disk& disk, const std::string& path, const VolumeKeys& keys,
                              VolumeId volume, PackId id) {
  TRY(auto file, disk.open(path, OpenMode::read));
  TRY(const auto size, file->size());
  RestorePack pack{.id = id, .sealed = true, .has_log = false, .has_snapshot = false, .local = true};
  while (size - pack.length >= pack_header_bytes) {
    const auto at = pack.length;
    TRY(const auto head, read_exactly(*file, at, pack_header_bytes));
    const auto header = open_entry_header(keys.metadata, id, at, head);
    if (!header || size - at - pack_header_bytes < header->body_bytes) break;
    TRY(const auto body, read_exactly(*file, at + pack_header_bytes, header->body_bytes));
    if (at == 0) {
      TRY(pack.sequence, check_start(keys, id, volume, *header, body));
    }
    if (!check_entry(keys, id, at, *header, body)) break;
    pack.has_log |= header->type == EntryType::log;
    pack.has_snapshot |= header->type == EntryType::snapshot;
    pack.length += pack_header_bytes + header->body_bytes;
  }
  if (pack.length == 0) return fail(Errc::corrupt, "pack {} can't be opened", id);
  return pack;
}

}  // namespace

Task<Result<std::vector<RestorePack>>> find_local_packs(Runtime& runtime, std::string folder,
                                                        VolumeKeys keys, VolumeId volume) {
  std::vector<RestorePack> packs;
  auto files = co_await runtime.blocking([&] { return runtime.disk().list(folder); });
  if (!files) {
    if (files.error().code == Errc::not_found) co_return packs;
    co_return fail(std::move(files).error());
  }
  for (const auto& file : *files) {
    const auto id = PackId::from_hex(file.name);
    if (!id) continue;
    auto pack = co_await runtime.blocking(
        [&] { return walk_file(runtime.disk(), folder + "/" + file.name, keys, volume, *id); });
    if (pack) {
      packs.push_back(std::move(*pack));
    } else {
      runtime.log().warning("the file of pack {} is of no use: {}", *id, pack.error().message);
    }
  }
  std::ranges::sort(packs, {}, &RestorePack::sequence);
  co_return packs;
}

std::vector<RestorePack> merge_packs(std::vector<RestorePack> network,
                                     std::vector<RestorePack> local) {
  std::map<std::uint64_t, RestorePack> merged;
  for (auto& pack : network) merged.emplace(pack.sequence, std::move(pack));
  for (auto& pack : local) {
    const auto [at, fresh] = merged.emplace(pack.sequence, pack);
    if (fresh || at->second.id != pack.id || at->second.length > pack.length) continue;
    at->second = std::move(pack);
  }
  std::vector<RestorePack> result;
  for (auto& [sequence, pack] : merged) result.push_back(std::move(pack));
  return result;
}

LocalFirst::LocalFirst(Runtime& runtime, std::string folder, const std::vector<RestorePack>& packs,
                       RemotePacks& remote)
    : runtime_(runtime), folder_(std::move(folder)), remote_(remote) {
  for (const auto& pack : packs)
    if (pack.local) local_.emplace(pack.id, pack.length);
}

Task<Result<Buffer>> LocalFirst::read(PackId pack, std::uint64_t offset, std::uint64_t length) {
  const auto at = local_.find(pack);
  if (at == local_.end() || offset > at->second || length > at->second - offset)
    co_return co_await remote_.read(pack, offset, length);
  auto bytes = co_await runtime_.blocking([&]() -> Result<Buffer> {
    TRY(auto file, runtime_.disk().open(folder_ + "/" + pack.hex(), OpenMode::read));
    return read_exactly(*file, offset, length);
  });
  co_return bytes;
}

}  // namespace spatter
