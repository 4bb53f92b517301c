// Pack files put back: whole ones from the network, damaged ones from what is left of them and the
// network.
#include "pack_files.h"

namespace spatter {
namespace {

constexpr std::uint64_t window_bytes = 4 << 20;

}  // namespace

/// What was read last of one source.
struct PackFiles::Window {
  std::function<Task<Result<Buffer>>(std::uint64_t offset, std::uint64_t length)> read;
  Buffer bytes;
  std::uint64_t from = 0;

  /// Reads ahead while the source has so much.
  static Task<Result<Buffer>> get(Window& window, std::uint64_t offset, std::uint64_t length,
                                  std::uint64_t end) {
    if (offset < window.from || offset + length > window.from + window.bytes.size()) {
      const auto wanted = std::min(std::max(length, window_bytes), end - offset);
      auto bytes = co_await window.read(offset, wanted);
      if (!bytes && wanted > length) bytes = co_await window.read(offset, length);
      if (!bytes) co_return bytes;
      if (bytes->size() < length)
        co_return fail(Errc::corrupt, "{} bytes came instead of {}", bytes->size(), length);
      window.bytes = std::move(*bytes);
      window.from = offset;
    }
    co_return window.bytes.slice(offset - window.from, length);
  }
};

Result<void> PackFiles::check_entry(const PackId& pack, std::uint64_t at, const EntryHeader& header,
                                    ByteView body) const {
  if (header.type != EntryType::chunk) {
    TRY_VOID(open_entry_body(keys_.metadata, pack, at, header, body));
    return {};
  }
  ChunkId id;
  id.bytes = header.id.bytes;
  TRY_VOID(open_chunk(keys_.chunks, id, header.codec, header.plain_bytes, body));
  return {};
}

/// The whole entry that begins at `at`, proven.
Task<Result<Buffer>> PackFiles::entry_at(PackInfo info, std::uint64_t at, Window& window) {
  if (info.length - at < pack_header_bytes)
    co_return fail(Errc::corrupt, "pack {} ends inside the entry at {}", info.id, at);
  CO_TRY(const Buffer head, co_await Window::get(window, at, pack_header_bytes, info.length));
  CO_TRY(const auto header, open_entry_header(keys_.metadata, info.id, at, head));
  const std::uint64_t size = pack_header_bytes + header.body_bytes;
  if (info.length - at < size)
    co_return fail(Errc::corrupt, "pack {} ends inside the entry at {}", info.id, at);
  CO_TRY(Buffer entry, co_await Window::get(window, at, size, info.length));
  auto good = co_await runtime_.blocking(
      [&] { return check_entry(info.id, at, header, entry.view().subspan(pack_header_bytes)); });
  if (!good) co_return fail(good.error().during(fmt::format("pack {} at {}", info.id, at)));
  co_return entry;
}

/// Entry by entry: the own file's if it proves itself, else the network's. The new file takes the old
/// one's place when it is whole and durable.
Task<Result<void>> PackFiles::write_anew(PackInfo info, bool with_own) {
  const std::string temporary = path_of(info.id) + ".tmp";
  Window own{[&](std::uint64_t offset, std::uint64_t length) {
    return read(info.id, offset, length, ReadFrom::local);
  }, {}};
  Window others{[&](std::uint64_t offset, std::uint64_t length) {
    return remote_->read(info.id, offset, length);
  }, {}};
  std::unique_ptr<File> file;
  CO_TRY_VOID(co_await runtime_.blocking([&]() -> Result<void> {
    (void)runtime_.disk().remove(temporary);
    TRY(file, runtime_.disk().open(temporary, OpenMode::create_new));
    return {};
  }));
  Result<void> done;
  for (std::uint64_t at = 0; at < info.length && done;) {
    Result<Buffer> entry = fail(Errc::not_found, "the file of pack {} is missing", info.id);
    if (with_own) entry = co_await entry_at(info, at, own);
    if (!entry && remote_) entry = co_await entry_at(info, at, others);
    if (!entry) {
      done = fail(entry.error());
      break;
    }
    done = co_await runtime_.blocking([&] { return file->write_at(at, *entry); });
    at += entry->size();
  }
  if (done) {
    done = co_await runtime_.blocking([&]() -> Result<void> {
      TRY_VOID(file->sync());
      TRY_VOID(runtime_.disk().rename(temporary, path_of(info.id)));
      return runtime_.disk().sync_directory(options_.folder);
    });
  }
  if (!done) {
    co_await runtime_.blocking([&] { (void)runtime_.disk().remove(temporary); });
    co_return done;
  }
  const std::int64_t sequence = i64(info.sequence);
  CO_TRY_VOID(co_await database_.write([sequence](Connected& db) -> Result<void> {
    TRY(auto update, db.prepare("UPDATE packs SET local = 1 WHERE sequence = ?"));
    return update.bind(1, sequence).run();
  }));
  std::lock_guard lock(mutex_);
  handles_.remove_if([&](const auto& entry) { return entry.first == info.id; });
  auto found = by_id_.find(info.id);
  if (found == by_id_.end()) co_return Result<void>{};
  found->second->missing = false;
  if (std::exchange(found->second->info.local, true)) co_return Result<void>{};
  used_ += found->second->end;
  co_return Result<void>{};
}

Task<Result<void>> PackFiles::fetch_local(PackId pack) {
  auto info = find(pack);
  if (!info) co_return fail(Errc::not_found, "no pack {}", pack);
  if (!info->sealed) co_return fail(Errc::invalid, "pack {} is still open", pack);
  if (!remote_) co_return fail(Errc::unavailable, "pack {}: the network can't be asked", pack);
  if (!info->local) CO_TRY_VOID(check_room(info->length, false));
  co_return co_await write_anew(*info, false);
}

Task<Result<void>> PackFiles::make_whole(PackId pack) {
  auto info = find(pack);
  if (!info) co_return fail(Errc::not_found, "no pack {}", pack);
  if (!info->local) co_return Result<void>{};
  Window own{[&](std::uint64_t offset, std::uint64_t length) {
    return read(pack, offset, length, ReadFrom::local);
  }, {}};
  std::uint64_t at = 0;
  while (at < info->length) {
    auto entry = co_await entry_at(*info, at, own);
    if (!entry) break;
    at += entry->size();
  }
  if (at == info->length) co_return Result<void>{};
  if (!info->sealed) {
    CO_TRY_VOID(co_await close_off(true));
    info = find(pack);
    if (!info) co_return fail(Errc::not_found, "no pack {}", pack);
  }
  runtime_.log().warning("pack {} is damaged on this disk from {} on; its file is written anew", pack,
                         at);
  co_return co_await write_anew(*info, true);
}

}  // namespace spatter
