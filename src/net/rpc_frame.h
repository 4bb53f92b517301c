// One RPC frame: four bytes of header length (big-endian), the header, and the payload bytes that
// come with it.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "proto/rpc.pb.h"

namespace spatter {

struct RpcFrame {
  wire::RpcHeader header;
  Buffer payload;  ///< shares the frame's memory
};

/// Refuses everything that is wrong in itself: an unknown kind, lengths that don't add up, a payload
/// where none belongs, and what is longer than allowed. What is only wrong at this point of a
/// conversation is the Session's to judge.
Result<RpcFrame> decode_frame(const Buffer& bytes);

/// The pieces of a frame, as Connection::send takes them.
std::vector<Buffer> encode_frame(const wire::RpcHeader& header, Buffer payload = {});

}  // namespace spatter
