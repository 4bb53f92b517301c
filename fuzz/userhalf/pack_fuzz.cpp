// Packs as anybody may alter them: the scanner ends at the first entry that is not whole, and never
// reads past its bytes. The input says which entries are built and what is done to them, because
// random bytes alone never get past the first tag.
#include <cstdlib>

#include "userhalf/pack_format.h"

using namespace spatter;

namespace {
const VolumeKeys& keys() {
  static const VolumeKeys all = VolumeKeys::derive(PersonSecret::from_bytes(Key{}), VolumeId{});
  return all;
}

void scan(const PackId& pack, ByteView bytes) {
  auto end = scan_pack(keys().metadata, pack, bytes,
                       [&](std::uint64_t at, const EntryHeader& header, ByteView body) -> Result<void> {
                         if (header.type == EntryType::chunk) {
                           ChunkId id;
                           id.bytes = header.id.bytes;
                           (void)open_chunk(keys().chunks, id, header.codec, header.plain_bytes, body);
                         } else {
                           (void)open_entry_body(keys().metadata, pack, at, header, body);
                         }
                         return {};
                       });
  if (end.offset > bytes.size()) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  PackId pack;
  scan(pack, {data, size});
  // Entries with headers of the input's choosing, truly sealed.
  Bytes bytes;
  std::size_t at = 0;
  while (at + 16 <= size && bytes.size() < 1 << 16) {
    EntryHeader header;
    header.type = static_cast<EntryType>(data[at] % 7);
    header.codec = static_cast<Codec>(data[at + 1] % 3);
    std::memcpy(&header.body_bytes, data + at + 2, 4);
    std::memcpy(&header.plain_bytes, data + at + 6, 4);
    const std::size_t plain = std::min<std::size_t>(data[at + 10], size - at - 16);
    if (data[at + 11] & 1) header.body_bytes = static_cast<std::uint32_t>(plain + RecordKeys::overhead);
    if (data[at + 11] & 2) header.plain_bytes %= 100'000;
    const std::size_t offset = bytes.size();
    Bytes body = seal_entry_body(keys().metadata, pack, offset, {data + at + 16, plain});
    bytes.resize(offset + pack_header_bytes);
    seal_entry_header(keys().metadata, pack, offset, header, MutableBytes(bytes).subspan(offset));
    bytes.insert(bytes.end(), body.begin(), body.end());
    at += 16 + plain;
  }
  scan(pack, bytes);
  Bytes out(size ? data[0] * 64u : 0);
  (void)decompress({data, size}, out);
  return 0;
}
