// Cuts a stream of bytes into frames: a 4-byte big-endian length, then that many bytes. Long frames
// are read straight into their own memory; short ones share a scratch area as large as a TLS record.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/transport.h"

namespace spatter {

inline constexpr std::size_t frame_length_bytes = 4;

class FrameReader {
 public:
  explicit FrameReader(std::size_t frame_max = frame_bytes_max) : frame_max_(frame_max) {}

  /// Where the next bytes of the stream go; never empty. Valid until the next filled().
  MutableBytes space();
  /// `count` bytes were put into space(). Whole frames are appended to `frames`. After an error
  /// (a frame too long, or empty) the stream can't be followed any further.
  Result<void> filled(std::size_t count, std::vector<Buffer>& frames);

 private:
  static constexpr std::size_t scratch_bytes = 16 << 10;

  std::size_t frame_max_;
  std::unique_ptr<std::uint8_t[]> scratch_;
  std::size_t scratch_used_ = 0;  // less than a frame length between calls
  Buffer frame_;                  // under way, when frame_wanted_ is not 0
  std::size_t frame_have_ = 0;
  std::size_t frame_wanted_ = 0;
};

}  // namespace spatter
