// Reading files: extents, chunks, the cache of decrypted chunks, reading ahead.
#include "volume_impl.h"

namespace spatter {

std::optional<Buffer> ChunkCache::find(const ChunkId& id) {
  auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  kept_.splice(kept_.begin(), kept_, found->second);
  return kept_.front().plain;
}

void ChunkCache::put(const ChunkId& id, Buffer plain) {
  if (plain.size() > bytes_max_ || by_id_.contains(id)) return;
  bytes_ += plain.size();
  kept_.push_front({id, std::move(plain)});
  by_id_[id] = kept_.begin();
  while (bytes_ > bytes_max_) {
    bytes_ -= kept_.back().plain.size();
    by_id_.erase(kept_.back().id);
    kept_.pop_back();
  }
}

void ChunkCache::clear() {
  kept_.clear();
  by_id_.clear();
  bytes_ = 0;
}

namespace {

constexpr std::uint64_t read_bytes_max = 16 << 20;
constexpr std::uint64_t run_bytes_max = 4 << 20;    // read in one go
constexpr std::uint64_t ahead_bytes = 12 << 20;
constexpr std::size_t own_cache_bytes = ahead_bytes + 2 * run_bytes_max;
constexpr std::size_t window_extents = 256;

struct Extent {
  std::uint64_t offset = 0, length = 0, chunk_offset = 0;
  ChunkPlace chunk;
  std::uint64_t end() const { return offset + length; }
};

// The extents of a content from the one that covers or follows `offset` on.
Result<std::vector<Extent>> load_extents(Connected& db, std::uint64_t content,
                                         std::uint64_t offset) {
  std::vector<Extent> extents;
  TRY(auto select,
      db.prepare("SELECT e.offset, e.length, e.chunk_offset, c.id, c.sequence, c.offset, c.body, "
                 "c.plain, c.codec FROM extents e JOIN chunks c ON c.chunk = e.chunk "
                 "WHERE e.content = ?1 AND e.offset >= ifnull((SELECT max(offset) FROM extents "
                 "WHERE content = ?1 AND offset <= ?2), 0) ORDER BY e.offset LIMIT ?3"));
  select.bind(1, i64(content)).bind(2, i64(offset)).bind(3, std::int64_t{window_extents});
  while (true) {
    TRY(bool row, select.step());
    if (!row) return extents;
    Extent extent{u64(select.integer(0)), u64(select.integer(1)), u64(select.integer(2)), {}};
    TRY(extent.chunk.id, ChunkId::from(select.blob_view(3)));
    extent.chunk.sequence = u64(select.integer(4));
    extent.chunk.offset = u64(select.integer(5));
    extent.chunk.body_bytes = static_cast<std::uint32_t>(select.integer(6));
    extent.chunk.plain_bytes = static_cast<std::uint32_t>(select.integer(7));
    extent.chunk.codec = static_cast<Codec>(select.integer(8));
    if (extent.chunk_offset + extent.length > extent.chunk.plain_bytes)
      return fail(Errc::corrupt, "the extent at {} reaches past chunk {}", extent.offset,
                  extent.chunk.id);
    extents.push_back(std::move(extent));
  }
}

Task<void> load_in_background(VolumeImpl& volume, std::vector<ChunkPlace> run, ReadFrom from,
                              std::shared_ptr<ChunkCache> cache) {
  co_await volume.load_run(std::move(run), from, std::move(cache));
}

class FileReaderImpl final : public FileReader {
 public:
  FileReaderImpl(VolumeImpl& volume, std::string path, Node node, ReadFrom from)
      : volume_(volume), path_(std::move(path)), node_(std::move(node)), from_(from),
        cache_(from == ReadFrom::anywhere ? volume.cache()
                                          : std::make_shared<ChunkCache>(own_cache_bytes)) {
    if (node_.content != 0) ++volume_.open_contents[node_.content];
  }
  ~FileReaderImpl() override;

  const Node& node() const override { return node_; }
  Task<Result<Buffer>> read(std::uint64_t offset, std::uint64_t length) override;
  Task<Result<Buffer>> read_piece(std::uint64_t offset, std::uint64_t length) override;
  Task<Result<std::pair<std::uint64_t, std::uint64_t>>> next_data(std::uint64_t offset) override;

 private:
  using Window = std::shared_ptr<const std::vector<Extent>>;
  /// Whether more will probably be read after this.
  bool goes_on(std::uint64_t offset, std::uint64_t length) const {
    return (offset == expected_ && offset > 0) || length > chunk_bytes_average;
  }
  Task<Result<Buffer>> read_with(std::uint64_t offset, std::uint64_t length, bool ahead);
  Task<Result<Window>> window_at(std::uint64_t offset, bool fresh = false);
  Task<Result<Buffer>> chunk_of(Extent extent);
  void read_ahead(const Window& window, std::uint64_t offset, std::uint64_t length);
  Error named(const Error& error) const { return error.during(shown(path_)); }

  VolumeImpl& volume_;
  const std::string path_;
  const Node node_;
  const ReadFrom from_;
  const std::shared_ptr<ChunkCache> cache_;
  Window window_;                // extents around the last read
  std::uint64_t window_from_ = 0;  // the window knows all from here
  std::uint64_t window_to_ = 0;    // to here
  std::uint64_t expected_ = 0;   // where a sequential read would go on
  std::uint64_t ahead_to_ = 0;   // read ahead up to here
};

}  // namespace

FileReaderImpl::~FileReaderImpl() {
  auto open = volume_.open_contents.find(node_.content);
  if (open == volume_.open_contents.end() || --open->second > 0) return;
  volume_.open_contents.erase(open);
  volume_.reader_closed();
}

Task<Result<FileReaderImpl::Window>> FileReaderImpl::window_at(std::uint64_t offset, bool fresh) {
  if (!fresh && window_ && offset >= window_from_ && offset < window_to_) co_return window_;
  std::function<Result<std::vector<Extent>>(Connected&)> work =
      [content = node_.content, offset](Connected& db) { return load_extents(db, content, offset); };
  CO_TRY(auto extents, co_await volume_.database().read_for<std::vector<Extent>>(std::move(work)));
  window_from_ = offset;
  window_to_ = extents.size() < window_extents ? node_.size : extents.back().end();
  window_ = std::make_shared<const std::vector<Extent>>(std::move(extents));
  co_return window_;
}

Task<Result<Buffer>> FileReaderImpl::chunk_of(Extent extent) {
  auto plain = co_await volume_.load_chunk(extent.chunk, from_, cache_);
  if (!plain && plain.error().code == Errc::not_found) {
    // Its pack was rewritten meanwhile: ask where it is now.
    CO_TRY(Window window, co_await window_at(extent.offset, true));
    for (const Extent& moved : *window)
      if (moved.offset == extent.offset) plain = co_await volume_.load_chunk(moved.chunk, from_, cache_);
  }
  co_return plain;
}

Task<Result<Buffer>> FileReaderImpl::read_piece(std::uint64_t offset, std::uint64_t length) {
  const bool ahead = goes_on(offset, length);
  if (offset < node_.size && length > 0) {
    CO_TRY(const Window window, co_await window_at(offset));
    const auto it =
        std::ranges::partition_point(*window, [&](const Extent& e) { return e.end() <= offset; });
    const std::uint64_t end = it == window->end() ? node_.size
                              : it->offset > offset ? it->offset : it->end();
    length = std::min(length, end - offset);
  }
  co_return co_await read_with(offset, length, ahead);
}

Task<Result<Buffer>> FileReaderImpl::read(std::uint64_t offset, std::uint64_t length) {
  return read_with(offset, length, goes_on(offset, length));
}

Task<Result<Buffer>> FileReaderImpl::read_with(std::uint64_t offset, std::uint64_t length, bool ahead) {
  if (offset >= node_.size || length == 0) co_return Buffer();
  length = std::min({length, node_.size - offset, read_bytes_max});
  const std::uint64_t end = offset + length;
  expected_ = end;
  Buffer out;
  std::uint64_t at = offset;
  while (at < end) {
    auto found = co_await window_at(at);
    if (!found) co_return fail(named(found.error()));
    const Window window = std::move(*found);
    if (ahead) read_ahead(window, at, end - at);
    auto it = std::ranges::partition_point(*window, [&](const Extent& e) { return e.end() <= at; });
    const std::uint64_t data = it == window->end() ? end : std::min(end, it->offset);
    if (at < data) {  // a hole, up to the next extent or the end of the file
      if (out.empty()) out = Buffer::allocate(length);
      std::memset(out.mutable_data() + (at - offset), 0, data - at);
      at = data;
      continue;
    }
    const Extent extent = *it;
    auto plain = co_await chunk_of(extent);
    if (!plain) co_return fail(named(plain.error()));
    const std::uint64_t inside = extent.chunk_offset + (at - extent.offset);
    if (at == offset && end <= extent.end()) co_return plain->slice(inside, length);
    if (out.empty()) out = Buffer::allocate(length);
    const std::uint64_t to = std::min(end, extent.end());
    std::memcpy(out.mutable_data() + (at - offset), plain->data() + inside, to - at);
    at = to;
  }
  co_return out;
}

// Starts loading the chunks that a sequential reader will want next, in runs that lie together.
void FileReaderImpl::read_ahead(const Window& window, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t until = offset + length + ahead_bytes;
  if (offset < ahead_to_ && ahead_to_ - offset > ahead_bytes + length) ahead_to_ = 0;  // went back
  const std::uint64_t from = std::max(offset, ahead_to_);
  // In steps, so that runs get long.
  if (ahead_to_ > offset + length && until - from < run_bytes_max) return;
  std::vector<ChunkPlace> run;
  std::uint64_t run_end = 0;
  auto flush = [&] {
    if (run.empty()) return;
    volume_.tasks().spawn(load_in_background(volume_, std::move(run), from_, cache_));
    run.clear();
  };
  for (const Extent& extent : *window) {
    if (extent.end() <= from) continue;
    if (extent.offset >= until) break;
    const ChunkPlace& chunk = extent.chunk;
    const bool joins = !run.empty() && run.back().sequence == chunk.sequence &&
                       chunk.offset >= run_end && chunk.offset - run_end < (64 << 10) &&
                       chunk.offset + chunk.entry_bytes() - run.front().offset <= run_bytes_max;
    if (!joins) flush();
    run.push_back(chunk);
    run_end = chunk.offset + chunk.entry_bytes();
    ahead_to_ = extent.end();
  }
  flush();
}

Task<Result<std::pair<std::uint64_t, std::uint64_t>>> FileReaderImpl::next_data(
    std::uint64_t offset) {
  while (offset < node_.size) {
    CO_TRY(Window window, co_await window_at(offset));
    auto it = std::ranges::partition_point(*window, [&](const Extent& e) { return e.end() <= offset; });
    if (it == window->end()) {
      if (window->size() < window_extents) break;
      offset = std::max(offset + 1, window_to_);
      continue;
    }
    const std::uint64_t from = std::max(offset, it->offset);
    std::uint64_t to = it->end();
    for (++it; it != window->end() && it->offset == to; ++it) to = it->end();
    co_return std::pair(from, to - from);
  }
  co_return std::pair(node_.size, std::uint64_t{0});
}

// ---- chunks ----

struct VolumeImpl::Loading {
  explicit Loading(asio::any_io_executor executor) : done(std::move(executor)) {}
  Event done;
  Result<Buffer> plain = fail(Errc::cancelled, "reading was given up");
};

Task<Result<Buffer>> VolumeImpl::load_uncached(ChunkPlace place, ReadFrom from) {
  auto pack = store_->find_sequence(place.sequence);
  if (!pack)
    co_return fail(Errc::not_found, "chunk {} is in pack number {}, which is gone", place.id,
                   place.sequence);
  const std::uint64_t body = place.offset + pack_header_bytes;
  for (ReadFrom source : {from, ReadFrom::network}) {
    auto sealed = co_await store_->read(pack->id, body, place.body_bytes, source);
    if (!sealed) co_return fail(std::move(sealed).error());
    auto plain = co_await runtime_.blocking([&] {
      return open_chunk(keys_.chunks, place.id, place.codec, place.plain_bytes, *sealed);
    });
    // Rotten here: the network still has it.
    const bool again = !plain && from == ReadFrom::anywhere && source == from && pack->local &&
                       store_->remote() != nullptr;
    if (!again) {
      if (!plain) co_return fail(plain.error().during(fmt::format("pack {}", pack->id)));
      co_return plain;
    }
    runtime_.log().warning("pack {} is damaged on this disk, reading from the network instead: {}",
                           pack->id, plain.error().message);
  }
  co_return fail(Errc::corrupt, "chunk {} can't be read", place.id);
}

Task<Result<Buffer>> VolumeImpl::load_chunk(ChunkPlace place, ReadFrom from,
                                            std::shared_ptr<ChunkCache> cache) {
  if (auto kept = cache->find(place.id)) co_return *kept;
  const LoadKey key(place.id, cache.get());
  if (auto other = loading_.find(key); other != loading_.end()) {
    auto loading = other->second;
    co_await loading->done.wait();
    co_return loading->plain;
  }
  auto loading = std::make_shared<Loading>(runtime_.executor());
  loading_[key] = loading;
  // However this ends (a caller may be cancelled), nobody is left waiting.
  struct Ended {
    VolumeImpl& volume;
    LoadKey key;
    std::shared_ptr<Loading> loading;
    ~Ended() {
      volume.loading_.erase(key);
      loading->done.set();
    }
  } ended{*this, key, loading};
  loading->plain = co_await load_uncached(place, from);
  if (loading->plain) cache->put(place.id, *loading->plain);
  co_return loading->plain;
}

Task<void> VolumeImpl::load_run(std::vector<ChunkPlace> run, ReadFrom from,
                                std::shared_ptr<ChunkCache> cache) {
  const auto key_of = [&](const ChunkPlace& chunk) { return LoadKey(chunk.id, cache.get()); };
  std::erase_if(run, [&](const ChunkPlace& chunk) {
    return cache->find(chunk.id) || loading_.contains(key_of(chunk));
  });
  if (run.empty()) co_return;
  std::uint64_t bytes = 0;
  struct Ended {
    VolumeImpl& volume;
    const ChunkCache* cache;
    std::vector<std::pair<ChunkPlace, std::shared_ptr<Loading>>> chunks;
    ~Ended() {
      for (auto& [chunk, loading] : chunks) {
        if (!loading) continue;
        volume.loading_.erase(LoadKey(chunk.id, cache));
        loading->done.set();
      }
    }
  } ended{*this, cache.get(), {}};
  for (const ChunkPlace& chunk : run) {
    if (loading_.contains(key_of(chunk))) continue;  // twice in the run
    auto loading = std::make_shared<Loading>(runtime_.executor());
    loading_[key_of(chunk)] = loading;
    ended.chunks.emplace_back(chunk, loading);
    bytes += chunk.plain_bytes + chunk.entry_bytes();
  }
  auto permit = co_await read_flight_.acquire(bytes);
  const ChunkPlace first = ended.chunks.front().first;
  const ChunkPlace last = ended.chunks.back().first;
  auto pack = store_->find_sequence(first.sequence);
  Result<Buffer> sealed = fail(Errc::not_found, "pack number {} is gone", first.sequence);
  const std::uint64_t start = first.offset + pack_header_bytes;
  if (pack)
    sealed = co_await store_->read(pack->id, start, last.offset + last.entry_bytes() - start, from);
  for (auto& [chunk, loading] : ended.chunks) {
    if (sealed) {
      const ByteView body =
          sealed->view().subspan(chunk.offset + pack_header_bytes - start, chunk.body_bytes);
      const ChunkPlace& place = chunk;
      loading->plain = co_await runtime_.blocking([&] {
        return open_chunk(keys_.chunks, place.id, place.codec, place.plain_bytes, body);
      });
    }
    // One by one it may still succeed: from elsewhere, or where it has moved.
    if (!sealed || !loading->plain) loading->plain = co_await load_uncached(chunk, from);
    if (loading->plain) cache->put(chunk.id, *loading->plain);
    loading_.erase(key_of(chunk));
    loading->done.set();
    loading.reset();
  }
}

Task<Result<std::unique_ptr<FileReader>>> VolumeImpl::read_file(std::string path, ReadFrom from) {
  struct Opening {
    unsigned& count;
    explicit Opening(unsigned& counter) : count(counter) { ++count; }
    ~Opening() { --count; }
  } counted(opening);
  CO_TRY(Node node, co_await stat(path));
  if (node.is_directory()) co_return fail(Errc::is_directory, "is a directory: {}", shown(path));
  if (!node.is_file()) co_return fail(Errc::invalid, "not a regular file: {}", shown(path));
  co_return std::make_unique<FileReaderImpl>(*this, std::move(path), std::move(node), from);
}

}  // namespace spatter
