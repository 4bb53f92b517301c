#include "net/methods.h"

namespace spatter {

std::string_view method_name(std::uint16_t number) {
  switch (number) {
    case method::join: return "members.join";
    case method::members_sync: return "members.sync";
    case method::members_push: return "members.push";
    case method::trust_compare: return "trust.compare";
    case method::trust_get: return "trust.get";
    case method::trust_push: return "trust.push";
    case method::trust_lot: return "trust.lot";
    case method::trust_clip: return "trust.clip";
    case method::shard_put: return "shard.put";
    case method::shard_begin: return "shard.begin";
    case method::shard_write: return "shard.write";
    case method::shard_commit: return "shard.commit";
    case method::shard_abort: return "shard.abort";
    case method::shard_read: return "shard.read";
    case method::shard_list: return "shard.list";
    case method::shard_release: return "shard.release";
    case method::shard_check: return "shard.check";
    case method::shard_renew: return "shard.renew";
    case method::shard_lost: return "shard.lost";
    case method::root_put: return "root.put";
    case method::root_get: return "root.get";
    case method::directory_ping: return "directory.ping";
    case method::directory_find: return "directory.find";
    case method::directory_get: return "directory.get";
    case method::directory_put: return "directory.put";
    case method::directory_place: return "directory.place";
    case method::directory_look: return "directory.look";
    case method::mend_tell: return "mend.tell";
    case method::mend_get: return "mend.get";
    case method::mend_versions: return "mend.versions";
    case method::mend_put: return "mend.put";
    case method::mend_sign: return "mend.sign";
    case method::mend_audit: return "mend.audit";
    case method::mend_report: return "mend.report";
    case method::mode_push: return "mode.push";
    case method::mode_reports: return "mode.reports";
    case method::work_offer: return "work.offer";
    case method::work_fetch: return "work.fetch";
    case method::work_commit: return "work.commit";
    case method::work_reveal: return "work.reveal";
    case method::work_output: return "work.output";
    case method::work_release: return "work.release";
    case method::cycles_push: return "cycles.push";
    case method::cycles_sync: return "cycles.sync";
    case method::cycles_witness: return "cycles.witness";
    case method::cycles_ask: return "cycles.ask";
    case method::cycles_show: return "cycles.show";
    case method::relay_open: return "relay.open";
    case method::relay_ask: return "relay.ask";
    case method::reach_probe: return "reach.probe";
    default: return "unknown";
  }
}

}  // namespace spatter
