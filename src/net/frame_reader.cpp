#include "frame_reader.h"

#include <cstring>

namespace spatter {
namespace {

std::size_t load_length(const std::uint8_t* at) {
  return std::size_t{at[0]} << 24 | std::size_t{at[1]} << 16 | std::size_t{at[2]} << 8 | at[3];
}

}  // namespace

MutableBytes FrameReader::space() {
  if (frame_wanted_ != 0)
    return {frame_.mutable_data() + frame_have_, frame_wanted_ - frame_have_};
  if (!scratch_) scratch_ = std::make_unique_for_overwrite<std::uint8_t[]>(scratch_bytes);
  return {scratch_.get() + scratch_used_, scratch_bytes - scratch_used_};
}

Result<void> FrameReader::filled(std::size_t count, std::vector<Buffer>& frames) {
  SPATTER_ASSERT(count <= space().size());
  if (frame_wanted_ != 0) {
    frame_have_ += count;
    if (frame_have_ == frame_wanted_) {
      frames.push_back(std::exchange(frame_, {}));
      frame_wanted_ = 0;
    }
    return {};
  }
  const std::uint8_t* at = scratch_.get();
  std::size_t left = scratch_used_ + count;
  while (left >= frame_length_bytes) {
    const std::size_t length = load_length(at);
    if (length == 0) return fail(Errc::invalid, "an empty frame");
    if (length > frame_max_)
      return fail(Errc::invalid, "a frame of {} bytes where {} are allowed", length, frame_max_);
    at += frame_length_bytes;
    left -= frame_length_bytes;
    const std::size_t here = std::min(length, left);
    Buffer frame = Buffer::allocate(length);
    std::memcpy(frame.mutable_data(), at, here);
    at += here;
    left -= here;
    if (here == length) {
      frames.push_back(std::move(frame));
    } else {
      frame_ = std::move(frame);
      frame_have_ = here;
      frame_wanted_ = length;
    }
  }
  std::memmove(scratch_.get(), at, left);
  scratch_used_ = left;
  return {};
}

}  // namespace spatter
