// Whatever a stream holds and however it is cut: frames within their limits or an error; and every
// frame decodes or is refused.
#include "frame_reader.h"
#include "net/rpc.h"
#include "rpc_frame.h"

using namespace spatter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t step = data[0] + 1;
  ByteView stream(data + 1, size - 1);
  (void)decode_frame(Buffer::copy_of(stream));
  FrameReader reader(1 << 16);
  std::vector<Buffer> frames;
  while (!stream.empty()) {
    const MutableBytes space = reader.space();
    const std::size_t count = std::min({space.size(), step, stream.size()});
    std::memcpy(space.data(), stream.data(), count);
    stream = stream.subspan(count);
    if (!reader.filled(count, frames)) break;
  }
  for (const Buffer& frame : frames) {
    SPATTER_ASSERT(!frame.empty() && frame.size() <= 1 << 16);
    auto decoded = decode_frame(frame);
    if (!decoded) continue;
    SPATTER_ASSERT(decoded->payload.size() <= frame.size());
    SPATTER_ASSERT(decoded->header.payload_bytes() <= rpc_payload_bytes_max);
  }
  return 0;
}
