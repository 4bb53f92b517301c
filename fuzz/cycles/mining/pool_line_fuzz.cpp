// A line of a pool: whatever it is, a checked message or an error comes out, and what is made of a
// message (the answer to a request, a header of a job) holds what the formats allow.
#include "cycles/mining_work.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  using namespace spatter::mining;
  const auto message = parse_pool_line({reinterpret_cast<const char*>(data), size});
  if (!message) {
    SPATTER_ASSERT(!message.error().message.empty() && message.error().message.size() < 1000);
    return 0;
  }
  if (const auto* job = std::get_if<PoolJob>(&*message)) {
    SPATTER_ASSERT(job->branches.size() <= merkle_branches_max);
    static_cast<void>(target_of_bits(job->bits));
    MiningWork work;
    work.job = *job;
    work.extranonce = {{1, 2, 3, 4}, 2};
    work.version_mask = job->version;
    const auto unit = unit_of(work, 7, 0);
    SPATTER_ASSERT(unit && unit->extranonce2.size() == 2 && !unit->versions.empty());
  } else if (const auto* difficulty = std::get_if<PoolDifficulty>(&*message)) {
    static_cast<void>(target_of_difficulty(difficulty->difficulty));
  } else if (const auto* request = std::get_if<PoolRequest>(&*message)) {
    const std::string answer = answer_line(*request, "agent");
    SPATTER_ASSERT(nlohmann::json::accept(answer) && answer.find('\n') == answer.size() - 1);
  } else if (const auto* answer = std::get_if<PoolAnswer>(&*message)) {
    if (const auto extranonce = extranonce_of(*answer))
      SPATTER_ASSERT(extranonce->extranonce2_bytes <= extranonce2_bytes_max);
    static_cast<void>(version_mask_of(*answer));
  }
  return 0;
}
