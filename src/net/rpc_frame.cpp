#include "rpc_frame.h"

#include "net/rpc.h"

namespace spatter {
namespace {

constexpr std::size_t length_bytes = 4;
constexpr std::size_t error_text_bytes_max = 4096;
using Header = wire::RpcHeader;

Result<void> check_payload(const Header& header, std::size_t here) {
  if (header.payload_bytes() > rpc_payload_bytes_max)
    return fail(Errc::invalid, "a payload of {} bytes where {} are allowed", header.payload_bytes(),
                rpc_payload_bytes_max);
  switch (header.kind()) {
    case Header::REQUEST:
    case Header::REPLY: {
      const std::size_t wanted =
          header.payload_bytes() <= rpc_inline_bytes_max ? header.payload_bytes() : 0;
      if (here != wanted)
        return fail(Errc::invalid, "{} payload bytes in a frame that should have {}", here, wanted);
      return {};
    }
    case Header::DATA:
      if (here == 0) return fail(Errc::invalid, "a DATA frame without data");
      return {};
    default:
      if (here != 0) return fail(Errc::invalid, "payload in a frame of kind {}", int{header.kind()});
      return {};
  }
}

}  // namespace

Result<RpcFrame> decode_frame(const Buffer& bytes) {
  if (bytes.size() < length_bytes) return fail(Errc::invalid, "a frame of {} bytes", bytes.size());
  const std::uint8_t* at = bytes.data();
  const std::size_t length =
      std::size_t{at[0]} << 24 | std::size_t{at[1]} << 16 | std::size_t{at[2]} << 8 | at[3];
  if (length > bytes.size() - length_bytes)
    return fail(Errc::invalid, "a header of {} bytes in a frame of {}", length, bytes.size());
  RpcFrame frame;
  if (!frame.header.ParseFromArray(at + length_bytes, static_cast<int>(length)))
    return fail(Errc::invalid, "a header that is no RpcHeader");
  if (!Header::Kind_IsValid(frame.header.kind()))
    return fail(Errc::invalid, "a frame of unknown kind {}", int{frame.header.kind()});
  if (frame.header.body().size() > rpc_body_bytes_max)
    return fail(Errc::invalid, "a body of {} bytes where {} are allowed",
                frame.header.body().size(), rpc_body_bytes_max);
  if (frame.header.error_text().size() > error_text_bytes_max)
    return fail(Errc::invalid, "an error text of {} bytes", frame.header.error_text().size());
  const std::size_t from = length_bytes + length;
  TRY_VOID(check_payload(frame.header, bytes.size() - from));
  frame.payload = bytes.slice(from, bytes.size() - from);
  return frame;
}

std::vector<Buffer> encode_frame(const Header& header, Buffer payload) {
  const std::size_t length = header.ByteSizeLong();
  Buffer head = Buffer::allocate(length_bytes + length);
  std::uint8_t* at = head.mutable_data();
  for (unsigned i = 0; i < length_bytes; ++i)
    at[i] = static_cast<std::uint8_t>(length >> (8 * (length_bytes - 1 - i)));
  header.SerializeWithCachedSizesToArray(at + length_bytes);
  std::vector<Buffer> pieces;
  pieces.reserve(2);
  pieces.push_back(std::move(head));
  if (!payload.empty()) pieces.push_back(std::move(payload));
  return pieces;
}

}  // namespace spatter
