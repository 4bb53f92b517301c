#include "cycles/tool.h"

#include <unistd.h>

namespace spatter::cycles {

namespace {

bool is_plain(const std::string& name) {
  return !name.empty() && name.size() <= 100 && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '-' || c == '_';
         });
}

std::string path_of(Tool tool) { return tool == Tool::ffmpeg ? "/usr/bin/ffmpeg" : "/usr/bin/ffprobe"; }

Result<void> give(SandboxJob& job, const std::vector<ToolWork::File>& files, std::string_view folder,
                  bool writable) {
  for (const auto& file : files) {
    if (!is_plain(file.name)) return fail(Errc::invalid, "'{}' cannot be the name of a tool's file", file.name);
    if (::access(file.path.c_str(), writable ? W_OK : R_OK) != 0)
      return fail(from_errno(errno, "give a tool the file " + file.path));
    job.files.push_back({.inside = fmt::format("/{}/{}", folder, file.name), .outside = file.path,
                         .writable = writable});
  }
  return {};
}

}  // namespace

SandboxLimits ToolWork::default_limits() {
  SandboxLimits limits;
  limits.memory_bytes = 2ULL << 30;
  limits.cpu_seconds = 3600;
  limits.wall = std::chrono::hours(8);
  limits.file_bytes_max = 4ULL << 30;
  return limits;
}

Result<Sandboxed> start_tool(const ToolWork& work) {
  const auto tool = path_of(work.tool);
  if (::access(tool.c_str(), X_OK) != 0) return fail(Errc::unavailable, "{} is missing", tool);
  SandboxJob job;
  job.bwrap = work.bwrap;
  job.line = {tool};
  job.line.insert(job.line.end(), work.arguments.begin(), work.arguments.end());
  TRY_VOID(give(job, work.inputs, "input", false));
  TRY_VOID(give(job, work.folders, "input", false));
  if (work.output_folder.empty()) {
    TRY_VOID(give(job, work.outputs, "output", true));
  } else {
    if (!work.outputs.empty()) return fail(Errc::invalid, "a tool with a folder for its outputs, and files too");
    if (::access(work.output_folder.c_str(), W_OK | X_OK) != 0)
      return fail(from_errno(errno, "give a tool the folder " + work.output_folder));
    job.files.push_back({.inside = "/output", .outside = work.output_folder, .writable = true});
  }
  job.limits = work.limits;
  return Sandboxed::start(job);
}

}  // namespace spatter::cycles
