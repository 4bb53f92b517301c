// A video cut, its pieces coded and put together again with the machine's own ffmpeg; and pieces that are not what was
// counted for them, which must not become part of anything.
#include "video_workshop.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "../base/temporary_folder.h"
#include "base/real_runtime.h"
#include "transcode_piece.h"

namespace spatter::doors {
namespace {

namespace fs = std::filesystem;
using Outputs = std::vector<JobWorkshop::Output>;

class VideoWorkshopTest : public testing::Test {
 protected:
  /// A key frame every two seconds, 25 frames a second.
  void make_source(int seconds) {
    fs::create_directories(job + "/out");
    std::ofstream(job + "/source") << "";
    cycles::ToolWork make;
    make.arguments = {"-nostdin", "-v", "error", "-f", "lavfi", "-i", fmt::format("testsrc2=s=160x90:r=25:d={}", seconds), "-c:v", "libx264", "-preset",
                      "veryfast", "-g", "50", "-bf", "2", "-y", "-f", "mpegts", "/output/source"};
    make.outputs = {{"source", job + "/source"}};
    ASSERT_TRUE(tools.run(make)->ended_well());
  }
  Result<JobWorkshop::Split> split() { return runtime->wait_for(workshop.split("h264-720p", "film.ts", "job")); }
  /// As workers would.
  void compute(const JobWorkshop::Split& split) {
    for (const auto& piece : split.pieces) {
      wire::WorkOrder order;
      ASSERT_TRUE(order.mutable_transcode()->ParseFromString(piece.work));
      order.set_fuel_max(split.fuel_max);
      order.set_memory_bytes_max(split.memory_bytes_max);
      order.set_output_bytes_max(split.output_bytes_max);
      const auto path = fmt::format("job/out/{}", outputs.size());
      const auto done = transcode_piece(tools, order, job + "/" + piece.path, folder.path() + "/" + path);
      ASSERT_TRUE(done) << done.error().message;
      EXPECT_EQ(done->exit_code, 0) << done->log;
      EXPECT_EQ(done->fuel, piece.fuel);
      outputs.push_back({path, done->fuel});
    }
  }
  Result<std::vector<JobWorkshop::Made>> join(const std::string& plan) { return runtime->wait_for(workshop.join("job", plan, outputs)); }
  std::string why_not(const std::string& plan) {
    const auto made = join(plan);
    return made ? "joined" : made.error().message;
  }

  TemporaryFolder folder;
  const std::string job = folder.path() + "/job";
  std::unique_ptr<RealRuntime> runtime = std::move(RealRuntime::open({.root = folder.path()}).value());
  VideoWorkshop workshop{*runtime, folder.path()};
  ToolSession tools;
  Outputs outputs;
};

TEST_F(VideoWorkshopTest, OnlyWhatWasCountedIsJoined) {
  ASSERT_NO_FATAL_FAILURE(make_source(21));
  const auto done = split();
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_EQ(done->pieces.size(), 2u);
  ASSERT_NO_FATAL_FAILURE(compute(*done));
  const auto made = join(done->plan);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->size(), 1u);
  EXPECT_EQ(made->front().name, "film.mp4");
  EXPECT_EQ(fs::file_size(folder.path() + "/" + made->front().path), made->front().bytes);

  const auto good = outputs;
  const auto frame = done->pieces[0].fuel / 250;
  outputs[1].fuel += 1;
  EXPECT_EQ(why_not(done->plan), fmt::format("piece 1 counts {} fuel, which is no number of frames", outputs[1].fuel));
  outputs[1].fuel = good[1].fuel + frame;
  EXPECT_EQ(why_not(done->plan), "put the pieces together: 525 frames came out instead of 526: piece 1 holds 275 frames, and 276 were "
                                 "counted for it");
  outputs = good;
  // A file that ends too early: what ffmpeg calls that is not for us to say, but it is never joined.
  const auto first = folder.path() + "/" + outputs[0].path;
  fs::resize_file(first, fs::file_size(first) / 2);
  EXPECT_NE(why_not(done->plan), "joined");
  std::ofstream(first) << "ffconcat version 1.0\nfile '/input/out/1'\nfile '/input/out/1'\n";
  EXPECT_EQ(why_not(done->plan), "piece 0 came to a file that is not NUT");
  std::ofstream(first) << "";
  EXPECT_EQ(why_not(done->plan), "piece 0 came to nothing");
}

/// A recording that was turned on in the middle of a group of pictures.
TEST_F(VideoWorkshopTest, WhatIsBeforeTheFirstKeyFrameIsLeftOut) {
  ASSERT_NO_FATAL_FAILURE(make_source(23));
  std::ifstream in(job + "/source", std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  constexpr std::size_t packet_bytes = 188;
  std::ofstream(job + "/source", std::ios::binary) << whole.substr(whole.size() / packet_bytes / 40 * packet_bytes);
  const auto done = split();
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_EQ(done->pieces.size(), 2u);
  wire::TranscodeWork work;
  ASSERT_TRUE(work.ParseFromString(done->pieces[0].work));
  EXPECT_EQ(done->pieces[0].fuel, cycles::transcode_fuel(work, 250));
  EXPECT_EQ(done->pieces[1].fuel, cycles::transcode_fuel(work, 275));
  ASSERT_NO_FATAL_FAILURE(compute(*done));
  const auto made = join(done->plan);
  ASSERT_TRUE(made) << made.error().message;
}

}  // namespace
}  // namespace spatter::doors
