// Frames from a stream of bytes however it is cut, and RPC frames from foreign bytes.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "frame_reader.h"
#include "net/rpc.h"
#include "rpc_frame.h"

namespace spatter {
namespace {

Bytes with_length(ByteView frame) {
  const std::size_t size = frame.size();
  Bytes bytes{static_cast<std::uint8_t>(size >> 24), static_cast<std::uint8_t>(size >> 16),
              static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)};
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  return bytes;
}

/// Feeds `stream` in pieces of at most `step`, as a socket would.
Result<std::vector<Buffer>> read_all(FrameReader& reader, ByteView stream, std::size_t step) {
  std::vector<Buffer> frames;
  while (!stream.empty()) {
    const MutableBytes space = reader.space();
    const std::size_t count = std::min({space.size(), step, stream.size()});
    std::memcpy(space.data(), stream.data(), count);
    stream = stream.subspan(count);
    TRY_VOID(reader.filled(count, frames));
  }
  return frames;
}

TEST(FrameReader, FramesComeOutWholeHoweverTheStreamIsCut) {
  const bool good = rc::check([] {
    const auto sizes = *rc::gen::container<std::vector<std::size_t>>(
        rc::gen::oneOf(rc::gen::inRange<std::size_t>(1, 40),
                       rc::gen::inRange<std::size_t>(16000, 17000),
                       rc::gen::inRange<std::size_t>(1, 200000)));
    const auto step = *rc::gen::element<std::size_t>(1, 3, 1000, 16384, 1 << 20);
    Bytes stream;
    std::vector<Bytes> sent;
    for (std::size_t i = 0; i < sizes.size() && stream.size() < 300000; ++i) {
      Bytes frame(sizes[i]);
      SeededRandom(i).fill(frame);
      const Bytes framed = with_length(frame);
      stream.insert(stream.end(), framed.begin(), framed.end());
      sent.push_back(std::move(frame));
    }
    FrameReader reader;
    const auto frames = read_all(reader, stream, step);
    RC_ASSERT(frames.has_value());
    RC_ASSERT(frames->size() == sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i)
      RC_ASSERT(std::ranges::equal((*frames)[i].view(), sent[i]));
  });
  EXPECT_TRUE(good);
}

TEST(FrameReader, ATooLongFrameIsRefusedWithItsSizeBeforeItsBytesCome) {
  FrameReader reader;
  const auto frames = read_all(reader, Bytes{0x7f, 0xff, 0xff, 0xff}, 4);
  ASSERT_FALSE(frames);
  EXPECT_NE(frames.error().message.find("2147483647"), std::string::npos);
}

TEST(FrameReader, TheLongestFrameIsTakenOneMoreByteIsNot) {
  FrameReader at_limit(1000);
  EXPECT_TRUE(read_all(at_limit, with_length(Bytes(1000, 7)), 64));
  FrameReader above(1000);
  EXPECT_FALSE(read_all(above, with_length(Bytes(1001, 7)), 64));
}

TEST(FrameReader, AnEmptyFrameIsRefused) {
  FrameReader reader;
  EXPECT_FALSE(read_all(reader, Bytes{0, 0, 0, 0}, 4));
}

Buffer joined(const std::vector<Buffer>& pieces) {
  Bytes bytes;
  for (const Buffer& piece : pieces)
    bytes.insert(bytes.end(), piece.view().begin(), piece.view().end());
  return Buffer::take(std::move(bytes));
}

wire::RpcHeader request_with(std::size_t payload_bytes) {
  wire::RpcHeader header;
  header.set_kind(wire::RpcHeader::REQUEST);
  header.set_call(7);
  header.set_method(200);
  header.set_body("body");
  header.set_payload_bytes(payload_bytes);
  return header;
}

TEST(RpcFrame, WhatIsEncodedIsDecoded) {
  const Buffer payload = Buffer::copy_of(Bytes(1000, 9));
  const auto frame = decode_frame(joined(encode_frame(request_with(1000), payload)));
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_EQ(frame->header.call(), 7u);
  EXPECT_EQ(frame->header.body(), "body");
  EXPECT_TRUE(std::ranges::equal(frame->payload.view(), payload.view()));
}

TEST(RpcFrame, PayloadThatDoesNotMatchItsAnnouncementIsRefused) {
  const Buffer payload = Buffer::copy_of(Bytes(10, 9));
  EXPECT_FALSE(decode_frame(joined(encode_frame(request_with(11), payload))));
  EXPECT_FALSE(decode_frame(joined(encode_frame(request_with(9), payload))));
  // Too long to come with its header.
  const Buffer large = Buffer::copy_of(Bytes(rpc_inline_bytes_max + 1, 9));
  EXPECT_FALSE(decode_frame(joined(encode_frame(request_with(large.size()), large))));
  EXPECT_TRUE(decode_frame(joined(encode_frame(request_with(large.size())))));
  EXPECT_FALSE(decode_frame(joined(encode_frame(request_with(rpc_payload_bytes_max + 1)))));
}

TEST(RpcFrame, PayloadWhereNoneBelongsIsRefused) {
  wire::RpcHeader ping;
  ping.set_kind(wire::RpcHeader::PING);
  EXPECT_TRUE(decode_frame(joined(encode_frame(ping))));
  EXPECT_FALSE(decode_frame(joined(encode_frame(ping, Buffer::copy_of(Bytes(1))))));
  wire::RpcHeader data;
  data.set_kind(wire::RpcHeader::DATA);
  EXPECT_FALSE(decode_frame(joined(encode_frame(data))));
}

TEST(RpcFrame, TruncatedAndForeignHeadersAreRefused) {
  const Buffer good = joined(encode_frame(request_with(0)));
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(decode_frame(good.slice(0, length))) << length;
  EXPECT_FALSE(decode_frame(Buffer::copy_of(Bytes{0, 0, 0, 1, 0xff})));
  EXPECT_FALSE(decode_frame(Buffer::copy_of(Bytes{0xff, 0xff, 0xff, 0xff})));
  wire::RpcHeader unknown;
  unknown.set_kind(static_cast<wire::RpcHeader::Kind>(77));
  EXPECT_FALSE(decode_frame(joined(encode_frame(unknown))));
}

}  // namespace
}  // namespace spatter
