// Which volumes a person has, asked of everybody who may know.
#include <map>
#include <set>

#include "holder_link.h"
#include "net/methods.h"
#include "proto/holder.pb.h"
#include "spatter/recover.h"
#include "spatter/roots.h"
#include "trust/contract.h"

namespace spatter {

namespace {

constexpr unsigned list_page = 96;  ///< descriptors are up to 5 KiB each

/// More than anybody will ever have.
constexpr std::uint64_t writers_max = std::uint64_t{1} << 32;

struct Candidate {
  KnownVolume volume;
  bool current = false;  ///< its root is by the key that the person has now
};
using Volumes = std::map<VolumeId, Candidate>;

void take(Volumes& volumes, const KnownRoot& found, const PersonId& key) {
  const auto& root = found.record;
  const bool current = found.signed_by == key;
  const auto volume = VolumeId::from(root.volume());
  const auto writer = ServerId::from(root.writer());
  if (!volume || !writer) return;
  auto& [known, known_current] = volumes[*volume];
  // Nobody takes a volume over so often; a thief may say so.
  if (current || root.number() < writers_max) known.number_max = std::max(known.number_max, root.number());
  if (!known.volume.is_zero() && std::tuple(current, root.number(), root.version()) <=
                                     std::tuple(known_current, known.root.number(), known.root.version()))
    return;
  known_current = current;
  known.volume = *volume;
  known.writer = *writer;
  known.root = root;
}

/// The volumes in `wanted` of which this page shows a stripe, proven by a label that only the person
/// can have sealed.
std::set<VolumeId> shown(const wire::ShardListReply& page,
                         const std::map<VolumeId, RecordKeys>& wanted) {
  std::set<VolumeId> result;
  for (const auto& entry : page.entries()) {
    wire::StripeDescriptor claim;
    if (!claim.ParseFromString(entry.stripe_descriptor().body())) continue;
    const auto volume = VolumeId::from(claim.volume());
    if (!volume || result.contains(*volume)) continue;
    const auto keys = wanted.find(*volume);
    if (keys == wanted.end()) continue;
    const auto facts = check_descriptor(entry.stripe_descriptor());
    if (facts && open_label(keys->second, facts->stripe, as_bytes(facts->label)))
      result.insert(*volume);
  }
  return result;
}

/// Takes out of `wanted` what the holder has stripes of.
Task<Result<void>> look_at(SpatterContext context, HolderLink& link, ServerId holder,
                           std::map<VolumeId, RecordKeys>& wanted) {
  std::optional<ShardKey> after;
  while (!wanted.empty()) {
    CO_TRY(const auto page, co_await link.list(holder, after, list_page, true));
    const auto found = co_await context.runtime.blocking([&] { return shown(page, wanted); });
    for (const auto& volume : found) wanted.erase(volume);
    if (!page.more() || page.entries().empty()) break;
    const auto& last = page.entries(page.entries_size() - 1);
    CO_TRY(const auto stripe, StripeId::from(last.stripe()));
    const ShardKey key{stripe, last.index()};
    if (after && key <= *after)
      co_return fail(Errc::invalid, "server {} lists its shards out of order", holder);
    after = key;
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<FoundVolumes>> find_volumes(SpatterContext context) {
  FoundVolumes found;
  Volumes volumes;
  std::set<std::string> seen;
  const PersonId key = context.members.key_of(context.identity.person);
  for (const auto& member : context.members.others()) {
    Result<KnownRoots> known = fail(Errc::unavailable, "it is not up");
    if (member.up) known = co_await ask_roots(context, member.id);
    if (!known) {
      context.runtime.log().debug("server {} could not be asked for root records: {}", member.id,
                                  known.error().message);
      found.silent.push_back(member.id);
      continue;
    }
    for (const auto& root : known->roots) take(volumes, root, key);
    seen.insert(known->writers_up.begin(), known->writers_up.end());
  }
  if (const auto own = co_await ask_roots(context, context.identity.server))
    for (const auto& root : own->roots) take(volumes, root, key);

  for (auto& [id, candidate] : volumes) {
    auto& volume = candidate.volume;
    const auto& writer = volume.writer;
    // A server that is no member (any more) writes nothing, whoever may be connected with it.
    if (writer != context.identity.server &&
        context.members.person_of(writer) == context.identity.person) {
      volume.writer_up = context.members.is_up(writer);
      volume.writer_seen = seen.contains(writer.raw());
    }
    found.volumes.push_back(std::move(volume));
  }
  // Newest first.
  std::ranges::sort(found.volumes, std::greater{}, [](const KnownVolume& volume) {
    return std::pair(volume.root.made_ms(), std::string_view(volume.root.volume()));
  });
  co_return found;
}

Task<Result<void>> find_empty_volumes(SpatterContext context, const PersonKeys& person,
                                      std::vector<KnownVolume>& volumes) {
  std::map<VolumeId, RecordKeys> wanted;
  std::set<VolumeId> opened;
  for (const auto& volume : volumes)
    if (const auto keys = keys_of_volume(person, volume.root)) {
      wanted.emplace(volume.volume, keys->labels);
      opened.insert(volume.volume);
    }
  HolderLink link(context);
  for (const auto& member : context.members.others()) {
    if (!member.up) continue;
    if (auto looked = co_await look_at(context, link, member.id, wanted); !looked)
      context.runtime.log().warning("server {} could not be asked what it keeps: {}", member.id,
                                    looked.error().message);
  }
  CO_TRY_VOID(co_await look_at(context, link, context.identity.server, wanted));
  // What none of the person's secrets opens is none of his volumes, whoever signed for it.
  for (auto& volume : volumes)
    volume.empty = !opened.contains(volume.volume) || wanted.contains(volume.volume);
  co_return Result<void>{};
}

}  // namespace spatter
