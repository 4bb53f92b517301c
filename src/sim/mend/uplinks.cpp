#include "uplinks.h"

#include "base/error.h"

namespace spatter::sim::mend {
namespace {

/// How long until sources that send one shard each at most have sent `shards` in all.
double fetch_seconds(const PerClass& holders, const PerClass& rate, double shards) {
  const double together = shards / (holders[0] * rate[0] + holders[1] * rate[1]);
  const std::size_t quicker = holders[1] == 0 || (holders[0] > 0 && rate[0] >= rate[1]) ? 0 : 1;
  const std::size_t slower = 1 - quicker;
  if (rate[quicker] * together <= 1 || holders[slower] == 0) return together;
  return (shards - holders[quicker]) / (holders[slower] * rate[slower]);
}

}  // namespace

Flow flow_of(const PerClass& holders, const PerClass& rate, double fetched, double sent) {
  SPATTER_ASSERT(holders[0] + holders[1] > 0 && fetched <= holders[0] + holders[1]);
  Flow flow;
  const double together = (fetched + sent) / (holders[0] * rate[0] + holders[1] * rate[1]);
  flow.seconds = std::max(fetch_seconds(holders, rate, fetched), together);
  PerClass source{}, spare{};
  for (std::size_t i = 0; i < uplink_classes; ++i)
    source[i] = holders[i] * std::min(1.0, rate[i] * flow.seconds);
  const double sources = source[0] + source[1];
  for (std::size_t i = 0; i < uplink_classes; ++i) {
    if (sources > 0) source[i] *= fetched / sources;
    spare[i] = std::max(0.0, holders[i] * rate[i] * flow.seconds - source[i]);
  }
  const double spares = spare[0] + spare[1];
  for (std::size_t i = 0; i < uplink_classes; ++i)
    flow.shards[i] = source[i] + (spares > 0 ? sent * spare[i] / spares : 0);
  return flow;
}

}  // namespace spatter::sim::mend
