// The JobWorkshop of a real machine: cuts videos, makes their sound and puts them together with the machine's ffmpeg, in
// the sandbox. What it does is the person's own work for the person's own job: it is not held to the promised share.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "cycles/job_workshop.h"
#include "cycles/video_target.h"
#include "tool_thread.h"

namespace spatter::doors {

/// What this machine's ffmpeg makes of a standard clip (SHA-256): other versions of the encoder make other bytes, and
/// results of two that differ cannot be compared. Blocks, for a quarter of a second. Errors: unavailable, no ffmpeg.
Result<Digest> encoder_print(ToolSession& tools, wire::TranscodeWork::Codec codec, const std::string& scratch_folder);

/// What was seen of them, once for each: a server is restarted when its ffmpeg is another, or asks and is asked in vain.
/// Any thread.
class EncoderPrints {
 public:
  /// Blocks the first time, as encoder_print().
  Result<Digest> of(ToolSession& tools, wire::TranscodeWork::Codec codec, const std::string& scratch_folder);
  /// If it has been looked at, and was there.
  std::optional<Digest> known(wire::TranscodeWork::Codec codec) const;

 private:
  mutable std::mutex mutex_;
  std::map<int, Digest> known_;  ///< by codec
};

class VideoWorkshop final : public JobWorkshop {
 public:
  /// `drive`: the folder in which the Runtime's disk is rooted. `runtime` outlives it.
  VideoWorkshop(Runtime& runtime, std::string drive);

  EncoderPrints& prints() { return prints_; }

  Result<void> can_make(const std::string& target) const override;
  Task<Result<Split>> split(std::string target, std::string name, std::string folder) override;
  Task<Result<void>> beside(std::string folder, std::string plan) override;
  Task<Result<std::vector<Made>>> join(std::string folder, std::string plan, std::vector<Output> outputs) override;

 private:
  std::string drive_;
  EncoderPrints prints_;
  ToolThreads threads_;  ///< last: they use the others
};

}  // namespace spatter::doors
