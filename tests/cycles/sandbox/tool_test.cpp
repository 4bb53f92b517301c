// ffmpeg and ffprobe in the sandbox, on files made here and now.
#include "cycles/tool.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "../../base/temporary_folder.h"

namespace spatter::cycles {
namespace {

std::string run(const ToolWork& work) {
  auto running = start_tool(work);
  if (!running) return running.error().message;
  const auto end = running->wait();
  if (!end) return end.error().message;
  return end->ended_well() ? end->output : fmt::format("{} {}: {}", to_string(end->how), end->code, end->complaints);
}

TEST(Tool, AVideoIsMadeAndLookedInto) {
  TemporaryFolder folder;
  const auto video = folder.path() + "/made", small = folder.path() + "/small";
  for (const auto& path : {video, small}) std::ofstream(path) << "";
  ToolWork make;
  make.arguments = {"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=10:d=2", "-c:v", "libx264",
                    "-threads", "2", "-y", "-f", "mp4", "/output/video.mp4"};
  make.outputs = {{"video.mp4", video}};
  EXPECT_EQ(run(make), "");

  ToolWork scale;
  scale.arguments = {"-nostdin", "-v", "error", "-i", "/input/video.mp4", "-vf", "scale=160:120", "-y", "-f", "mp4",
                     "/output/small.mp4"};
  scale.inputs = {{"video.mp4", video}};
  scale.outputs = {{"small.mp4", small}};
  EXPECT_EQ(run(scale), "");

  ToolWork probe;
  probe.tool = Tool::ffprobe;
  probe.arguments = {"-v", "error", "-show_entries", "stream=width,height", "-of", "csv", "/input/small.mp4"};
  probe.inputs = {{"small.mp4", small}};
  EXPECT_EQ(run(probe), "stream,160,120\n");
}

TEST(Tool, ItReadsAndWritesNothingElse) {
  TemporaryFolder folder;
  const auto secret = folder.path() + "/secret";
  std::ofstream(secret) << "ffconcat version 1.0\n";
  ToolWork work;
  work.arguments = {"-nostdin", "-v", "error", "-i", secret, "-f", "null", "-"};
  EXPECT_TRUE(run(work).contains("No such file or directory")) << run(work);
  work.arguments = {"-nostdin", "-v", "error", "-i", "http://127.0.0.1:9/a", "-f", "null", "-"};
  EXPECT_TRUE(run(work).contains("exited 1")) << run(work);
  work.arguments = {"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=d=1", "-f", "mp4", "/output/other.mp4"};
  EXPECT_TRUE(run(work).contains("exited 1")) << run(work);
}

TEST(Tool, AFolderForItsOutputsHoldsThem) {
  TemporaryFolder folder;
  const auto in = folder.path() + "/in", out = folder.path() + "/out";
  std::filesystem::create_directory(in);
  std::filesystem::create_directory(out);
  std::ofstream(in + "/list") << "ffconcat version 1.0\n";
  ToolWork work;
  work.arguments = {"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=3", "-c:v", "libx264", "-g", "10",
                    "-f", "segment", "-segment_time", "1", "/output/%02d.nut"};
  work.folders = {{"there", in}};
  work.output_folder = out;
  EXPECT_EQ(run(work), "");
  EXPECT_TRUE(std::filesystem::file_size(out + "/02.nut") > 0);
  EXPECT_FALSE(std::filesystem::exists(out + "/03.nut"));
  // What it reads it cannot write, nor anything beside.
  for (const auto* path : {"/input/there/list", "/input/there/new", "/output/../new"}) {
    work.arguments.back() = path;
    EXPECT_TRUE(run(work).contains("exited 1")) << path << run(work);
  }
  work.outputs = {{"x", in + "/list"}};
  EXPECT_TRUE(run(work).contains("and files too")) << run(work);
}

TEST(Tool, NamesThatLeadElsewhereAreRefused) {
  ToolWork work;
  for (const auto* name : {"../x", "", ".x", "-y", "a b", "a/b"}) {
    work.inputs = {{name, "/usr/bin/true"}};
    EXPECT_TRUE(run(work).contains("cannot be the name of a tool's file")) << name;
  }
  work.inputs = {{"x", "/nothing/here"}};
  EXPECT_TRUE(run(work).contains("/nothing/here")) << run(work);
}

}  // namespace
}  // namespace spatter::cycles
