// Writing files: cut, name, look up, seal, append; several chunks at a time, appended in order so
// that what is read together lies together.
#include "volume_impl.h"

namespace spatter {

namespace {

constexpr std::size_t assembly_bytes = 4 << 20;
static_assert(assembly_bytes >= chunk_bytes_max);

struct Piece {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::shared_ptr<PendingChunk> chunk;
};

// What the chunks under way share with their writer, and outlives it when it is dropped.
struct Flow {
  explicit Flow(asio::any_io_executor executor) : changed(executor) {}
  WaitQueue changed;
  std::vector<Piece> pieces;
  std::vector<bool> turn_over;    // per piece: it has appended, or has nothing to append
  std::size_t turn = 0;           // the first piece whose turn is not over
  std::size_t under_way = 0;
  std::optional<Error> error;

  void end_turn(std::size_t index) {
    turn_over[index] = true;
    while (turn < turn_over.size() && turn_over[turn]) ++turn;
    changed.wake_all();
  }
};

// What a file becomes at commit.
struct NewFile {
  std::string path;
  Attributes attributes;
  std::uint64_t size = 0;
  bool unshare = false;  // see CommitOptions
};

Result<void> put_file(TreeEdit& edit, const NewFile& file, std::uint64_t content) {
  edit.group();
  TRY(auto place, edit.place(file.path));
  wire::InodeRow row = new_inode_row(file.attributes, mode_file, edit.now_ns());
  row.set_size(file.size);
  row.set_content(content);
  const bool replaced = place.row && file.unshare && place.row->links() > 1;
  if (place.row && !replaced) {
    row.set_inode(place.row->inode());
    row.set_links(place.row->links());
    return edit.put_inode(row);
  }
  if (replaced) TRY_VOID(edit.unlink(place.parent, place.name, *place.row));
  row.set_inode(edit.new_inode());
  row.set_links(1);
  TRY_VOID(edit.put_inode(row));
  TRY_VOID(edit.put_dirent(place.parent.inode(), place.name, row.inode()));
  return edit.touch(place.parent, 0);
}

Result<void> check_target(TreeView& view, const std::string& path) {
  TRY(auto place, view.place(path));
  if (!place.row) return {};
  if (is_directory(*place.row)) return fail(Errc::is_directory, "is a directory: {}", shown(path));
  if (!is_file(*place.row)) return fail(Errc::exists, "exists already: {}", shown(path));
  return {};
}

Task<Result<PackPosition>> commit_small(VolumeImpl& volume, NewFile file, std::uint64_t data_offset,
                                        Buffer bytes, CommitOptions options) {
  VolumeImpl* self = &volume;
  co_return co_await volume.commit(
      [self, file = std::move(file), data_offset, bytes](TreeEdit& edit) -> Result<void> {
        TRY_VOID(check_target(edit, file.path));
        std::uint64_t content = 0;
        if (file.size > 0) content = edit.new_content();
        if (!bytes.empty()) {
          TRY(ChunkPlace place, self->store_now(edit.db(), bytes));
          TRY_VOID(edit.put_extent(content, data_offset, bytes.size(), place, 0));
        }
        return put_file(edit, file, content);
      },
      options);
}

// Finds the chunk in the index, or stores it; either way its PendingChunk becomes ready.
Task<Result<ChunkPlace>> find_or_store(VolumeImpl& volume, std::shared_ptr<Flow> flow,
                                       std::size_t index, ChunkId id, Buffer plain) {
  std::function<Result<std::optional<ChunkPlace>>(Connected&)> look =
      [id](Connected& db) { return find_chunk(db, id); };
  CO_TRY(auto known, co_await volume.database().read_for<std::optional<ChunkPlace>>(std::move(look)));
  if (known && !volume.condemned.contains(known->sequence)) co_return *known;

  auto sealed = co_await volume.runtime().blocking([&] { return volume.seal_chunk(id, plain); });
  while (flow->turn < index) co_await flow->changed.wait();
  if (flow->error) co_return fail(*flow->error);
  auto appended = co_await volume.runtime().blocking([&] {
    return volume.store().append_chunk(id, sealed.codec, sealed.plain_bytes,
                                       sealed.entry.mutable_view());
  });
  volume.store().publish_sealed();
  CO_TRY(PackPosition at, std::move(appended));
  co_return ChunkPlace{id, at.sequence, at.offset,
                       static_cast<std::uint32_t>(sealed.entry.size() - pack_header_bytes),
                       sealed.plain_bytes, sealed.codec};
}

Task<void> store_piece(VolumeImpl& volume, std::shared_ptr<Flow> flow, std::size_t index,
                       Buffer plain, Semaphore::Permit permit) {
  (void)permit;  // held until this ends
  const ChunkId id =
      co_await volume.runtime().blocking([&] { return volume.keys().chunks.id(plain); });
  std::shared_ptr<PendingChunk> chunk;
  if (auto other = volume.pending.find(id); other != volume.pending.end())
    chunk = other->second.lock();
  if (chunk) {
    flow->end_turn(index);  // before waiting: the other may be a later piece of this very file
    co_await chunk->ready.wait();
  } else {
    chunk = std::make_shared<PendingChunk>(volume, id);
    volume.pending[id] = chunk;
    chunk->place = co_await find_or_store(volume, flow, index, id, plain);
    if (chunk->place) {
      ++volume.pins[chunk->place->sequence];
      chunk->pinned = true;
    } else {
      volume.pending.erase(id);  // who comes later tries again
    }
    chunk->ready.set();
  }
  if (!chunk->place && !flow->error) flow->error = chunk->place.error();
  flow->pieces[index].chunk = std::move(chunk);
  --flow->under_way;
  flow->end_turn(index);
}

class FileWriterImpl final : public FileWriter {
 public:
  FileWriterImpl(VolumeImpl& volume, std::string path, Attributes attributes)
      : volume_(volume),
        path_(std::move(path)),
        attributes_(std::move(attributes)),
        chunker_(volume.gear()),
        flow_(std::make_shared<Flow>(volume.runtime().executor())) {}

  Task<Result<void>> write(Buffer bytes) override;
  Task<Result<void>> write_hole(std::uint64_t length) override;
  Task<Result<PackPosition>> commit(CommitOptions options) override;
  std::uint64_t size() const override { return size_; }

 private:
  Task<Result<void>> fill(Buffer bytes);
  Task<Result<void>> cut(bool last);
  Task<Result<void>> wait_for_chunks();

  VolumeImpl& volume_;
  std::string path_;
  Attributes attributes_;
  Chunker chunker_;
  std::shared_ptr<Flow> flow_;
  std::uint64_t size_ = 0;
  std::vector<Buffer> small_;  // the file so far, while it is small
  std::size_t small_bytes_ = 0;
  bool streaming_ = false;
  Buffer assembly_;            // bytes since the last cut
  std::size_t filled_ = 0;
  std::uint64_t run_offset_ = 0;  // of the assembly's first byte in the file
  bool committed_ = false;
};

Task<Result<void>> FileWriterImpl::write(Buffer bytes) {
  if (flow_->error) co_return fail(*flow_->error);
  if (bytes.empty()) co_return Result<void>{};
  size_ += bytes.size();
  if (!streaming_) {
    small_bytes_ += bytes.size();
    small_.push_back(std::move(bytes));
    if (small_bytes_ <= chunk_bytes_min && small_.size() < 4096) co_return Result<void>{};
    streaming_ = true;
    for (Buffer& piece : std::exchange(small_, {})) CO_TRY_VOID(co_await fill(std::move(piece)));
    co_return Result<void>{};
  }
  co_return co_await fill(std::move(bytes));
}

Task<Result<void>> FileWriterImpl::fill(Buffer bytes) {
  std::size_t used = 0;
  while (used < bytes.size()) {
    if (assembly_.empty()) assembly_ = Buffer::allocate(assembly_bytes);
    const std::size_t take = std::min(bytes.size() - used, assembly_bytes - filled_);
    std::memcpy(assembly_.mutable_data() + filled_, bytes.data() + used, take);
    filled_ += take;
    used += take;
    if (filled_ == assembly_bytes) CO_TRY_VOID(co_await cut(false));
  }
  co_return Result<void>{};
}

// A hole ends the stretch of data before it; what follows is cut as if it began anew.
Task<Result<void>> FileWriterImpl::write_hole(std::uint64_t length) {
  if (flow_->error) co_return fail(*flow_->error);
  if (length == 0) co_return Result<void>{};
  if (length > (1ull << 62) - size_)
    co_return fail(Errc::invalid, "a file can't be that large: {}", shown(path_));
  streaming_ = true;
  for (Buffer& piece : std::exchange(small_, {})) CO_TRY_VOID(co_await fill(std::move(piece)));
  CO_TRY_VOID(co_await cut(true));
  size_ += length;
  run_offset_ = size_;
  co_return Result<void>{};
}

Task<Result<void>> FileWriterImpl::cut(bool last) {
  if (filled_ == 0) co_return Result<void>{};
  std::vector<std::size_t> lengths;
  std::size_t used = 0;
  Buffer next;
  co_await volume_.runtime().blocking([&] {
    const ByteView all = assembly_.view().first(filled_);
    while (std::size_t length = chunker_.next(all.subspan(used), last)) {
      lengths.push_back(length);
      used += length;
    }
    if (used < filled_) {
      next = Buffer::allocate(assembly_bytes);
      std::memcpy(next.mutable_data(), all.data() + used, filled_ - used);
    }
  });
  Buffer whole = std::exchange(assembly_, std::move(next));
  filled_ -= used;
  std::size_t at = 0;
  for (std::size_t length : lengths) {
    // The plaintext and about as much sealed.
    auto permit = co_await volume_.flight().acquire(2 * length);
    if (flow_->error) co_return fail(*flow_->error);
    const std::size_t index = flow_->pieces.size();
    flow_->pieces.push_back({run_offset_ + at, length, nullptr});
    flow_->turn_over.push_back(false);
    ++flow_->under_way;
    volume_.tasks().spawn(
        store_piece(volume_, flow_, index, whole.slice(at, length), std::move(permit)));
    at += length;
  }
  run_offset_ += at;
  co_return Result<void>{};
}

Task<Result<void>> FileWriterImpl::wait_for_chunks() {
  while (flow_->under_way > 0) co_await flow_->changed.wait();
  if (flow_->error) co_return fail(*flow_->error);
  co_return Result<void>{};
}

Task<Result<PackPosition>> FileWriterImpl::commit(CommitOptions options) {
  if (committed_) co_return fail(Errc::invalid, "{} was committed already", shown(path_));
  committed_ = true;
  NewFile file{path_, attributes_, size_, options.unshare};
  if (!streaming_) {
    Buffer bytes;
    if (small_.size() == 1) {
      bytes = small_.front();
    } else if (small_bytes_ > 0) {
      bytes = Buffer::allocate(small_bytes_);
      std::size_t at = 0;
      for (const Buffer& piece : small_) {
        std::memcpy(bytes.mutable_data() + at, piece.data(), piece.size());
        at += piece.size();
      }
    }
    co_return co_await commit_small(volume_, std::move(file), 0, std::move(bytes), options);
  }
  CO_TRY_VOID(co_await cut(true));
  CO_TRY_VOID(co_await wait_for_chunks());
  auto flow = flow_;
  co_return co_await volume_.commit(
      [flow, file](TreeEdit& edit) -> Result<void> {
        TRY_VOID(check_target(edit, file.path));
        const std::uint64_t content = edit.new_content();
        for (const Piece& piece : flow->pieces)
          TRY_VOID(edit.put_extent(content, piece.offset, piece.length, *piece.chunk->place, 0));
        return put_file(edit, file, content);
      },
      options);
}

}  // namespace

PendingChunk::PendingChunk(VolumeImpl& owner, const ChunkId& chunk)
    : volume(owner),
      id(chunk),
      ready(owner.runtime().executor()),
      place(fail(Errc::cancelled, "chunk {} was not stored", chunk)) {}

PendingChunk::~PendingChunk() {
  if (auto known = volume.pending.find(id); known != volume.pending.end() && known->second.expired())
    volume.pending.erase(known);
  if (!pinned) return;
  auto pin = volume.pins.find(place->sequence);
  if (--pin->second == 0) volume.pins.erase(pin);
}

VolumeImpl::Sealed VolumeImpl::seal_chunk(const ChunkId& id, ByteView plain) const {
  auto packed = compress(plain, options_.zstd_level);
  Sealed sealed;
  sealed.codec = packed ? Codec::zstd : Codec::plain;
  sealed.plain_bytes = static_cast<std::uint32_t>(plain.size());
  ByteView body = packed ? ByteView(*packed) : plain;
  sealed.entry = Buffer::allocate(pack_header_bytes + body.size() + ChunkKeys::overhead);
  keys_.chunks.seal(id, packed ? ChunkForm::packed : ChunkForm::plain, body,
                    sealed.entry.mutable_view().subspan(pack_header_bytes));
  return sealed;
}

Result<ChunkPlace> VolumeImpl::store_now(Connected& db, ByteView plain) {
  const ChunkId id = keys_.chunks.id(plain);
  TRY(auto known, find_chunk(db, id));
  if (known) return *known;
  Sealed sealed = seal_chunk(id, plain);
  TRY(PackPosition at, store_->append_chunk(id, sealed.codec, sealed.plain_bytes,
                                            sealed.entry.mutable_view()));
  return ChunkPlace{id, at.sequence, at.offset,
                    static_cast<std::uint32_t>(sealed.entry.size() - pack_header_bytes),
                    sealed.plain_bytes, sealed.codec};
}

Task<Result<std::unique_ptr<FileWriter>>> VolumeImpl::write_file(std::string path,
                                                                 Attributes attributes) {
  // Refused now rather than after gigabytes.
  CO_TRY_VOID(co_await database_.read([path](Connected& db) -> Result<void> {
    TreeView view(db);
    return check_target(view, path);
  }));
  co_return std::make_unique<FileWriterImpl>(*this, std::move(path), std::move(attributes));
}

Task<Result<PackPosition>> VolumeImpl::put_small(std::string path, Attributes attributes,
                                                 Buffer bytes, CommitOptions options) {
  if (bytes.size() > chunk_bytes_min) {
    CO_TRY(auto writer, co_await write_file(std::move(path), std::move(attributes)));
    CO_TRY_VOID(co_await writer->write(std::move(bytes)));
    co_return co_await writer->commit(options);
  }
  NewFile file{std::move(path), std::move(attributes), bytes.size(), options.unshare};
  co_return co_await commit_small(*this, std::move(file), 0, std::move(bytes), options);
}

}  // namespace spatter
