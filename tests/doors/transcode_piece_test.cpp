// One stretch of video through the machine's own ffmpeg, in the sandbox: twice the same is the same, and each bad end is
// the end it should be.
#include "transcode_piece.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "../base/temporary_folder.h"
#include "cycles/video_target.h"
#include "video_workshop.h"

namespace spatter::doors {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class TranscodePiece : public testing::Test {
 protected:
  /// 50 frames.
  std::string clip(const std::string& size = "320x180") {
    const auto path = folder.path() + "/clip";
    std::ofstream(path) << "";
    cycles::ToolWork make;
    make.arguments = {"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=r=25:d=2:s=" + size, "-c:v", "libx264", "-bf", "2",
                      "-y", "-f", "nut", "/output/clip"};
    make.outputs = {{"clip", path}};
    EXPECT_TRUE(tools.run(make)->ended_well());
    return path;
  }
  wire::WorkOrder order(wire::TranscodeWork::Codec codec = wire::TranscodeWork::H264) {
    wire::WorkOrder order;
    auto& work = *order.mutable_transcode();
    work.set_codec(codec);
    work.set_width(180);
    work.set_height(320);
    work.set_rotation(90);
    work.set_quality(30);
    work.set_source_width(320);
    work.set_source_height(180);
    order.set_fuel_max(1ULL << 40);
    order.set_memory_bytes_max(1ULL << 30);
    order.set_output_bytes_max(16 << 20);
    return order;
  }
  std::string output() const { return folder.path() + "/output"; }

  TemporaryFolder folder;
  ToolSession tools;
};

TEST_F(TranscodePiece, TheSameAgainIsTheSameToTheByte) {
  const auto input = clip();
  for (const auto codec : {wire::TranscodeWork::H264, wire::TranscodeWork::VP9}) {
    std::string first;
    for (int i = 0; i < 2; ++i) {
      const auto done = transcode_piece(tools, order(codec), input, output());
      ASSERT_TRUE(done) << done.error().message;
      EXPECT_EQ(done->end, WorkEnd::exited);
      EXPECT_EQ(done->exit_code, 0) << done->log;
      EXPECT_EQ(done->fuel, cycles::transcode_fuel(order(codec).transcode(), 50));
      EXPECT_EQ(done->log, "");
      if (i == 0) first = content(output());
    }
    EXPECT_GT(first.size(), 1000u);
    EXPECT_EQ(content(output()), first);
  }
}

TEST_F(TranscodePiece, WhatIsNoVideoIsAResult) {
  const auto input = folder.path() + "/noise";
  std::ofstream(input) << std::string(5000, 'x');
  const auto done = transcode_piece(tools, order(), input, output());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->end, WorkEnd::exited);
  EXPECT_EQ(done->exit_code, 1);
  EXPECT_EQ(done->fuel, 0u);
  EXPECT_NE(done->log, "");
  EXPECT_EQ(content(output()), "");
}

TEST_F(TranscodePiece, BoundsOfFuelAndOutputHold) {
  const auto input = clip();
  auto dear = order();
  dear.set_fuel_max(1000);
  auto done = transcode_piece(tools, dear, input, output());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->end, WorkEnd::out_of_fuel);
  EXPECT_EQ(done->fuel, 1000u);
  EXPECT_EQ(content(output()), "");
  auto large = order();
  large.set_output_bytes_max(2000);
  done = transcode_piece(tools, large, input, output());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->end, WorkEnd::output_too_large);
  EXPECT_EQ(content(output()), "");
}

/// What an asker says of his video need not be so: it is not decoded when it is much larger.
TEST_F(TranscodePiece, LargerPicturesThanWereSaidAreNotDecoded) {
  const auto input = clip("1280x720");
  auto lie = order();
  lie.mutable_transcode()->set_source_width(16);
  lie.mutable_transcode()->set_source_height(16);
  const auto done = transcode_piece(tools, lie, input, output());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->end, WorkEnd::exited);
  EXPECT_NE(done->exit_code, 0);
  EXPECT_EQ(done->fuel, 0u);
  EXPECT_EQ(content(output()), "");
}

TEST_F(TranscodePiece, TroublesOfTheMachineAreNone) {
  const auto input = clip();
  auto narrow = order();
  narrow.set_memory_bytes_max(64 << 20);  // not even ffmpeg's libraries have room
  EXPECT_FALSE(transcode_piece(tools, narrow, input, output()));
  tools.kill();
  const auto killed = transcode_piece(tools, order(), input, output());
  ASSERT_FALSE(killed);
  EXPECT_EQ(killed.error().code, Errc::cancelled);
}

TEST_F(TranscodePiece, AnEncoderHasOnePrint) {
  const auto h264 = encoder_print(tools, wire::TranscodeWork::H264, folder.path());
  ASSERT_TRUE(h264) << h264.error().message;
  EXPECT_EQ(*h264, *encoder_print(tools, wire::TranscodeWork::H264, folder.path()));
  const auto vp9 = encoder_print(tools, wire::TranscodeWork::VP9, folder.path());
  ASSERT_TRUE(vp9) << vp9.error().message;
  EXPECT_NE(*h264, *vp9);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace spatter::doors
