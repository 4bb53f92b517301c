#include "root_check.h"

namespace spatter {
namespace {

constexpr std::string_view what_to_do =
    "nothing is written or released from here; `spatter fsck --mend` has the next start bring the "
    "index back from the packs here and from the others";

}  // namespace

Result<void> check_index(const wire::RootRecord& root, const OwnIndex& own,
                         const RecordKeys& metadata) {
  const bool by_this_server = root.writer() == own.server.raw();
  if (root.volume() != own.volume.raw()) {
    if (!by_this_server) return {};
    return fail(Errc::corrupt, "this server wrote volume {}, and its index here is of volume {}: {}",
                to_hex(as_bytes(root.volume())), own.volume, what_to_do);
  }
  if (root.number() > own.number) {
    if (!by_this_server)
      return fail(Errc::fenced, "another server has taken this volume over (as `spatter recover` "
                  "does); here it can only be read. If that was a thief, whose key you have changed since: "
                  "`spatter key take --disown-older`");
    return fail(Errc::corrupt, "the index of the volume here is older than what this server told the "
                "others: {}", what_to_do);
  }
  if (root.number() < own.number) return {};
  if (!by_this_server)
    return fail(Errc::fenced, "another server writes this volume with the same writer number {}: it was taken over "
                "twice; here it can only be read", own.number);
  const auto plain = metadata.open(own.volume.view(), as_bytes(root.sealed()));
  wire::RootContent content;
  if (!plain || !content.ParseFromArray(plain->data(), static_cast<int>(plain->size())))
    return fail(Errc::corrupt, "the root record {}.{} of this volume cannot be read", root.number(),
                root.version());
  if (content.last_log() > own.log.last_log || content.snapshot() > own.log.snapshot)
    return fail(Errc::corrupt, "the index of the volume here is older than what this server told the "
                "others: it ends at log record {}, theirs at {} or later: {}", own.log.last_log,
                content.last_log(), what_to_do);
  return {};
}

}  // namespace spatter
