// Compaction: moving what is still in use out of packs that are mostly dead.
#include "volume_impl.h"

namespace spatter {

namespace {
// The log and the snapshot that a restore would need today.
bool needed_for_restore(const PackInfo& pack, const LogState& log) {
  return pack.last_log > log.snapshot_covers || (pack.snapshot != 0 && pack.snapshot == log.snapshot);
}

Result<std::vector<ChunkPlace>> live_chunks(Connected& db, std::uint64_t sequence) {
  std::vector<ChunkPlace> chunks;
  TRY(auto select, db.prepare("SELECT id, offset, body, plain, codec FROM chunks "
                              "WHERE sequence = ? AND refs > 0 ORDER BY offset"));
  select.bind(1, i64(sequence));
  while (true) {
    TRY(bool row, select.step());
    if (!row) return chunks;
    ChunkPlace place;
    TRY(place.id, ChunkId::from(select.blob_view(0)));
    place.sequence = sequence;
    place.offset = u64(select.integer(1));
    place.body_bytes = static_cast<std::uint32_t>(select.integer(2));
    place.plain_bytes = static_cast<std::uint32_t>(select.integer(3));
    place.codec = static_cast<Codec>(select.integer(4));
    chunks.push_back(place);
  }
}

// The packs that the copies went to stay until the move is committed.
struct Pins {
  VolumeImpl& volume;
  std::vector<std::uint64_t> sequences;
  ~Pins() {
    for (std::uint64_t sequence : sequences)
      if (auto pin = volume.pins.find(sequence); --pin->second == 0) volume.pins.erase(pin);
  }
  void add(std::uint64_t sequence) {
    ++volume.pins[sequence];
    sequences.push_back(sequence);
  }
};

using Moved = std::map<ChunkId, ChunkPlace>;

// Same sealed bytes, new place; checked on the way, so that rot is never carried along.
Task<Result<ChunkPlace>> copy_chunk(VolumeImpl& volume, PackId pack, ChunkPlace place) {
  auto permit = co_await volume.flight().acquire(2 * place.entry_bytes());
  auto copy = [&](const Buffer& body) -> Result<PackPosition> {
    TRY_VOID(open_chunk(volume.keys().chunks, place.id, place.codec, place.plain_bytes, body));
    Buffer entry = Buffer::allocate(place.entry_bytes());
    std::memcpy(entry.mutable_data() + pack_header_bytes, body.data(), body.size());
    return volume.store().append_chunk(place.id, place.codec, place.plain_bytes,
                                       entry.mutable_view());
  };
  Result<PackPosition> at = fail(Errc::corrupt, "chunk {} can't be read", place.id);
  for (ReadFrom from : {ReadFrom::anywhere, ReadFrom::network}) {
    CO_TRY(Buffer body, co_await volume.store().read(pack, place.offset + pack_header_bytes,
                                                     place.body_bytes, from));
    at = co_await volume.runtime().blocking([&] { return copy(body); });
    if (at || at.error().code != Errc::corrupt || volume.store().remote() == nullptr) break;
  }
  volume.store().publish_sealed();
  if (!at) co_return fail(at.error().during(fmt::format("pack {}", pack)));
  ChunkPlace moved = place;
  moved.sequence = at->sequence;
  moved.offset = at->offset;
  co_return moved;
}

Result<void> switch_over(TreeEdit& edit, std::uint64_t sequence, const Moved& moved) {
  TRY(auto live, live_chunks(edit.db(), sequence));
  for (const ChunkPlace& old : live) {
    auto copy = moved.find(old.id);
    if (copy == moved.end())
      return fail(Errc::busy, "chunk {} came into use again while its pack was rewritten", old.id);
    TRY_VOID(edit.put_chunk(copy->second));
    edit.count_live(sequence, -i64(old.entry_bytes()));
    edit.count_live(copy->second.sequence, i64(old.entry_bytes()));
  }
  {
    TRY(auto remove, edit.db().prepare("DELETE FROM chunks WHERE sequence = ?"));
    TRY_VOID(remove.bind(1, i64(sequence)).run());
  }
  TRY(auto remove, edit.db().prepare("DELETE FROM packs WHERE sequence = ?"));
  return remove.bind(1, i64(sequence)).run();
}

}  // namespace

std::vector<PackId> VolumeImpl::compaction_candidates(double live_share_max) const {
  std::vector<std::pair<double, PackId>> found;
  for (const PackInfo& pack : store_->list()) {
    if (!pack.sealed || needed_for_restore(pack, log_state_)) continue;
    if (pins.contains(pack.sequence) || condemned.contains(pack.sequence)) continue;
    const double share = double(pack.live_bytes) / double(pack.length);
    if (share <= live_share_max) found.emplace_back(share, pack.id);
  }
  std::ranges::sort(found);
  std::vector<PackId> packs;
  for (auto& [share, pack] : found) packs.push_back(pack);
  return packs;
}

Task<Result<void>> VolumeImpl::rewrite_pack(PackId pack) {
  const auto info = store_->find(pack);
  if (!info) co_return fail(Errc::not_found, "no pack {}", pack);
  if (!info->sealed) co_return fail(Errc::invalid, "pack {} is still open", pack);
  if (needed_for_restore(*info, log_state_))
    co_return fail(Errc::busy, "pack {} holds log records or a snapshot that are still needed", pack);
  if (pins.contains(info->sequence))
    co_return fail(Errc::busy, "a file that is being written uses pack {}", pack);
  if (!condemned.insert(info->sequence).second)
    co_return fail(Errc::busy, "pack {} is being rewritten already", pack);

  struct Condemned {
    VolumeImpl& volume;
    std::uint64_t sequence;
    bool keep = false;
    ~Condemned() {
      if (!keep) volume.condemned.erase(sequence);
    }
  } mark{*this, info->sequence};
  Pins copies{*this, {}};
  const std::uint64_t sequence = info->sequence;
  std::function<Result<std::vector<ChunkPlace>>(Connected&)> look = [sequence](Connected& db) {
    return live_chunks(db, sequence);
  };
  CO_TRY(auto live, co_await database_.read_for<std::vector<ChunkPlace>>(std::move(look)));
  auto moved = std::make_shared<Moved>();
  for (const ChunkPlace& place : live) {
    CO_TRY(ChunkPlace copy, co_await copy_chunk(*this, pack, place));
    copies.add(copy.sequence);
    moved->emplace(place.id, copy);
  }
  CO_TRY_VOID(co_await commit_freeing(
      [sequence, moved](TreeEdit& edit) { return switch_over(edit, sequence, *moved); }));
  // Stays condemned: a look-up that began before may still come back with the old place.
  mark.keep = true;
  co_await store_->forget(sequence);
  co_return Result<void>{};
}

}  // namespace spatter
