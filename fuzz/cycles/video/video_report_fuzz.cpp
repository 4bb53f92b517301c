// What ffprobe and ffmpeg say of a stranger's video: refused with a sentence, or facts within bounds. The first byte
// says which report it is.
#include "base/bytes.h"
#include "cycles/video_join.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  using namespace spatter::cycles;
  if (size == 0) return 0;
  const auto text = as_text({data + 1, size - 1});
  switch (data[0] % 4) {
    case 0: {
      const auto source = judge_streams_report(text);
      if (!source) {
        SPATTER_ASSERT(!source.error().message.empty() && source.error().message.size() < 300);
        break;
      }
      for (const auto target : {VideoTarget::h264_720p, VideoTarget::vp9, VideoTarget::hls_ladder}) {
        const auto rungs = rungs_of(target, *source);
        SPATTER_ASSERT(!rungs.empty());
        for (auto rung : rungs) {
          rung.work.set_encoder(std::string(32, 'e'));
          SPATTER_ASSERT(check_transcode(rung.work));
        }
      }
      break;
    }
    case 1: {
      const auto packets = parse_packets_report(text);
      if (!packets) break;
      const auto cuts = cut_video(*packets, {1, 1000});
      if (!cuts) break;
      auto next = cuts->front().begin;
      for (const auto& cut : *cuts) {
        SPATTER_ASSERT(cut.begin == next && cut.packets > 0 && (*packets)[next].is_key);
        next += cut.packets;
      }
      SPATTER_ASSERT(next == packets->size());
      SPATTER_ASSERT(cuts_text(*cuts).size() <= cuts_text_bytes_max);
      SPATTER_ASSERT(duration_us(*packets, {1, 1000}) >= 0);
      break;
    }
    case 2: {
      const auto rates = playlist_rates(text);
      SPATTER_ASSERT(!rates || rates->peak >= rates->average);
      break;
    }
    default:
      (void)frames_of_progress(text);
      (void)parse_level(text);
      (void)is_nut(text);
  }
  return 0;
}
