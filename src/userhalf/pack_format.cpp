#include "userhalf/pack_format.h"

#include <zstd.h>

namespace spatter {

namespace {

// Header plaintext: type u8, codec u8, two zero bytes, body u32, plain u32, count u32, number u64,
// eight zero bytes, id; integers little endian.
constexpr std::size_t header_plain_bytes = 64;
static_assert(header_plain_bytes + RecordKeys::overhead == pack_header_bytes);

enum class Part : std::uint8_t { header = 'h', body = 'b' };

// What a record is sealed for: the place where it lies, so that none can be moved.
std::array<std::uint8_t, 41> place(const PackId& pack, std::uint64_t offset, Part part) {
  std::array<std::uint8_t, 41> context;
  std::memcpy(context.data(), pack.bytes.data(), 32);
  std::memcpy(context.data() + 32, &offset, 8);
  context[40] = static_cast<std::uint8_t>(part);
  return context;
}

template <class T>
void put(std::uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof value);
}
template <class T>
T get(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

struct CompressContext {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ~CompressContext() { ZSTD_freeCCtx(context); }
};
struct DecompressContext {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  ~DecompressContext() { ZSTD_freeDCtx(context); }
};

std::size_t compress_into(ByteView plain, int level, MutableBytes out) {
  thread_local CompressContext zstd;
  std::size_t size = ZSTD_compressCCtx(zstd.context, out.data(), out.size(), plain.data(),
                                       plain.size(), level);
  return ZSTD_isError(size) ? 0 : size;  // an error here means: does not fit
}

}  // namespace

static_assert(std::endian::native == std::endian::little);

void seal_entry_header(const RecordKeys& keys, const PackId& pack, std::uint64_t offset,
                       const EntryHeader& header, MutableBytes out) {
  SPATTER_ASSERT(out.size() == pack_header_bytes);
  std::array<std::uint8_t, header_plain_bytes> plain{};
  plain[0] = static_cast<std::uint8_t>(header.type);
  plain[1] = static_cast<std::uint8_t>(header.codec);
  put(&plain[4], header.body_bytes);
  put(&plain[8], header.plain_bytes);
  put(&plain[12], header.count);
  put(&plain[16], header.number);
  std::memcpy(&plain[32], header.id.bytes.data(), 32);
  keys.seal(place(pack, offset, Part::header), plain, out);
}

Result<EntryHeader> open_entry_header(const RecordKeys& keys, const PackId& pack,
                                      std::uint64_t offset, ByteView bytes) {
  if (bytes.size() != pack_header_bytes)
    return fail(Errc::corrupt, "pack {} ends inside the header of the entry at {}", pack, offset);
  std::array<std::uint8_t, header_plain_bytes> plain;
  if (!keys.open(place(pack, offset, Part::header), bytes, plain))
    return fail(Errc::corrupt, "pack {} has no whole entry at {}", pack, offset);
  if (plain[0] < 1 || plain[0] > 5 || plain[1] > 1)
    return fail(Errc::newer_format, "pack {} has an entry of unknown kind {}.{} at {}", pack,
                plain[0], plain[1], offset);
  EntryHeader header{.type = static_cast<EntryType>(plain[0]),
                     .codec = static_cast<Codec>(plain[1]),
                     .body_bytes = get<std::uint32_t>(&plain[4]),
                     .plain_bytes = get<std::uint32_t>(&plain[8]),
                     .count = get<std::uint32_t>(&plain[12]),
                     .number = get<std::uint64_t>(&plain[16])};
  std::memcpy(header.id.bytes.data(), &plain[32], 32);
  // Sealed by ourselves, but bounds are checked where bytes come in, whoever sealed them.
  if (header.body_bytes > pack_body_bytes_max || header.body_bytes < RecordKeys::overhead ||
      header.plain_bytes > pack_body_bytes_max)
    return fail(Errc::corrupt, "pack {} has an entry of impossible size at {}", pack, offset);
  return header;
}

Bytes seal_entry_body(const RecordKeys& keys, const PackId& pack, std::uint64_t offset,
                      ByteView stored_plain) {
  return keys.seal(place(pack, offset, Part::body), stored_plain);
}

Result<Bytes> open_entry_body(const RecordKeys& keys, const PackId& pack, std::uint64_t offset,
                              const EntryHeader& header, ByteView body) {
  if (body.size() != header.body_bytes || body.size() < RecordKeys::overhead)
    return fail(Errc::corrupt, "pack {} ends inside the entry at {}", pack, offset);
  auto stored = keys.open(place(pack, offset, Part::body), body);
  if (!stored) return fail(Errc::corrupt, "pack {}: the entry at {} was altered", pack, offset);
  if (header.codec == Codec::plain) {
    if (stored->size() != header.plain_bytes)
      return fail(Errc::corrupt, "pack {}: the entry at {} has the wrong length", pack, offset);
    return stored;
  }
  Bytes plain(header.plain_bytes);
  if (auto done = decompress(*stored, plain); !done)
    return fail(done.error().during(fmt::format("pack {}, entry at {}", pack, offset)));
  return plain;
}

std::optional<Bytes> compress(ByteView plain, int level) {
  constexpr std::size_t sample = 64 << 10;
  if (plain.size() < 64) return std::nullopt;
  if (plain.size() > sample) {
    thread_local Bytes scratch(ZSTD_compressBound(sample));
    // From the middle: beginnings (headers, titles) say little about the rest.
    std::size_t at = (plain.size() - sample) / 2;
    std::size_t size = compress_into(plain.subspan(at, sample), 1, scratch);
    if (size == 0 || size > sample - sample / 10) return std::nullopt;
  }
  Bytes packed(plain.size() - plain.size() / 8);
  std::size_t size = compress_into(plain, level, packed);
  if (size == 0) return std::nullopt;
  packed.resize(size);
  return packed;
}

Result<void> decompress(ByteView packed, MutableBytes out) {
  thread_local DecompressContext zstd;
  std::size_t size = ZSTD_decompressDCtx(zstd.context, out.data(), out.size(), packed.data(),
                                         packed.size());
  if (ZSTD_isError(size) || size != out.size())
    return fail(Errc::corrupt, "compressed bytes do not unpack to {} bytes", out.size());
  return {};
}

Result<Buffer> open_chunk(const ChunkKeys& keys, const ChunkId& id, Codec codec,
                          std::uint32_t plain_bytes, ByteView body) {
  if (body.size() < ChunkKeys::overhead || body.size() > pack_body_bytes_max ||
      plain_bytes > pack_body_bytes_max)
    return fail(Errc::corrupt, "chunk {} has an impossible size", id);
  const std::size_t stored = body.size() - ChunkKeys::overhead;
  if (codec == Codec::plain) {
    if (stored != plain_bytes) return fail(Errc::corrupt, "chunk {} has the wrong length", id);
    Buffer plain = Buffer::allocate(plain_bytes);
    TRY_VOID(keys.open(id, ChunkForm::plain, body, plain.mutable_view()));
    return plain;
  }
  thread_local Bytes packed;
  packed.resize(stored);
  TRY_VOID(keys.open(id, ChunkForm::packed, body, packed));
  Buffer plain = Buffer::allocate(plain_bytes);
  if (auto done = decompress(packed, plain.mutable_view()); !done)
    return fail(done.error().during(fmt::format("chunk {}", id)));
  return plain;
}

ScanEnd scan_pack(const RecordKeys& keys, const PackId& pack, ByteView bytes,
                  const std::function<Result<void>(std::uint64_t, const EntryHeader&, ByteView)>&
                      visit) {
  std::uint64_t at = 0;
  while (at < bytes.size()) {
    ByteView rest = bytes.subspan(at);
    auto header = open_entry_header(keys, pack, at, rest.first(std::min(rest.size(), pack_header_bytes)));
    if (!header) return {at, fail(header.error())};
    if (rest.size() - pack_header_bytes < header->body_bytes)
      return {at, fail(Errc::corrupt, "pack {} ends inside the entry at {}", pack, at)};
    if (auto done = visit(at, *header, rest.subspan(pack_header_bytes, header->body_bytes)); !done)
      return {at, done};
    at += pack_header_bytes + header->body_bytes;
  }
  return {at, {}};
}

}  // namespace spatter
