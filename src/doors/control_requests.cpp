#include "control_requests.h"

#include <cmath>
#include <ctime>

#include <set>

#include "cycles_requests.h"
#include "directory_requests.h"
#include "job_requests.h"
#include "mend_requests.h"
#include "mode_requests.h"
#include "key_requests.h"
#include "doors/chance_draw.h"
#include "doors/control_server.h"
#include "file_transfer.h"
#include "node/mode_words.h"
#include "request_fields.h"
#include "trust_requests.h"

namespace spatter::doors {

namespace {

struct Asked {
  Runtime& runtime;
  Server& server;
  ControlConnection& connection;
  Json request;
  std::vector<Descriptor> fds;
};
using Answer = Task<Result<Json>>;

Result<Attributes> attributes_at(const Json& message, std::uint32_t type) {
  Attributes attributes;
  TRY(auto mode, number_at(message, "mode", type == 0040000 ? 0755 : 0644));
  TRY(auto uid, number_at(message, "uid", 0));
  TRY(auto gid, number_at(message, "gid", 0));
  attributes.mode = type | static_cast<std::uint32_t>(mode & 07777);
  attributes.uid = static_cast<std::uint32_t>(uid);
  attributes.gid = static_cast<std::uint32_t>(gid);
  TRY(attributes.device, number_at(message, "device", 0));
  if (auto at = message.find("mtime_ns"); at != message.end() && at->is_number_integer())
    attributes.mtime_ns = at->get<std::int64_t>();
  return attributes;
}

const char* type_name(const Node& node) {
  switch (node.attributes.mode & 0170000) {
    case 0040000: return "directory";
    case 0120000: return "symlink";
    case 0010000: return "fifo";
    case 0140000: return "socket";
    case 0020000: return "char";
    case 0060000: return "block";
    default: return "file";
  }
}

Json node_json(const Node& node) {
  Json one = {{"type", type_name(node)}, {"mode", node.attributes.mode & 07777},
              {"uid", node.attributes.uid}, {"gid", node.attributes.gid},
              {"mtime_ns", node.attributes.mtime_ns}, {"size", node.size}, {"links", node.links},
              {"inode", node.inode}};
  if (node.is_symlink()) one["target"] = to_binary(node.target);
  if (node.attributes.device != 0) one["device"] = node.attributes.device;
  return one;
}

Json safety_json(const FileSafety& safety) {
  const char* level = !safety.everywhere                     ? "here"
                      : safety.health == StripeHealth::full    ? "full"
                      : safety.health == StripeHealth::safe    ? "safe"
                      : safety.health == StripeHealth::at_risk ? "at_risk"
                                                               : "lost";
  return {{"level", level}, {"can_lose", safety.can_lose}, {"copies", safety.copies},
          {"loss_per_day", safety.loss_per_day}, {"stripes", safety.stripes}};
}

/// Puts in how safe the file is; nothing for what has no content.
Task<Result<void>> add_safety(Asked& asked, std::string path, Json& one) {
  if (!flag_at(asked.request, "safety")) co_return Result<void>{};
  CO_TRY(const auto safety, co_await asked.server.safety_of(std::move(path)));
  if (safety) one["safety"] = safety_json(*safety);
  co_return Result<void>{};
}

Answer status(Asked& asked) {
  CO_TRY(auto status, co_await asked.server.status());
  co_return status_json(status, asked.server.members());
}

Answer resolve(Asked& asked) {
  CO_TRY(auto path, binary_at(asked.request, "path"));
  const auto last = flag_at(asked.request, "follow") ? LastLink::follow : LastLink::keep;
  CO_TRY(auto found, co_await asked.server.volume().follow(std::move(path), last));
  Json answer = found.node ? node_json(*found.node) : Json::object();
  answer["path"] = to_binary(found.path);
  answer["missing"] = found.missing;
  answer["dangling"] = found.dangling;
  if (found.node) CO_TRY_VOID(co_await add_safety(asked, found.path, answer));
  co_return answer;
}

Answer list(Asked& asked) {
  CO_TRY(auto path, binary_at(asked.request, "path"));
  std::string after;
  for (;;) {
    CO_TRY(auto entries, co_await asked.server.volume().list(path, after, 1000));
    if (entries.empty()) co_return Json::object();
    after = entries.back().name;
    Json event = {{"event", "entries"}, {"entries", Json::array()}};
    for (auto& entry : entries) {
      Json one = node_json(entry.node);
      one["name"] = to_binary(entry.name);
      if (auto added = co_await add_safety(asked, path.empty() ? entry.name : path + "/" + entry.name, one); !added) {
        // It may have gone meanwhile.
        if (added.error().code != Errc::not_found) co_return fail(std::move(added).error());
      }
      event["entries"].push_back(std::move(one));
    }
    CO_TRY_VOID(co_await asked.connection.send(std::move(event)));
  }
}

Answer mkdir(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto path, binary_at(asked.request, "path"));
  CO_TRY(auto attributes, attributes_at(asked.request, 0040000));
  if (flag_at(asked.request, "keep_existing")) {
    auto there = co_await asked.server.volume().stat(path);
    if (there && there->is_directory()) co_return Json::object();
  }
  CO_TRY(auto position, co_await asked.server.volume().make_directory(path, attributes, flag_at(asked.request, "parents")));
  (void)position;
  co_return Json::object();
}

/// Where cp would put the bytes of a file that is sent to `path`: behind links; in a folder, when it
/// has a `name` there. Pipes and devices, which are but names here, make way.
Task<Result<std::string>> place_as_cp(Volume& volume, std::string path, std::optional<std::string> name) {
  CO_TRY(auto at, co_await volume.follow(path));
  if (name && at.node && at.node->is_directory()) {
    path = at.path + (at.path.ends_with('/') ? "" : "/") + *name;
    CO_TRY(at, co_await volume.follow(path));
  }
  if (at.dangling)
    co_return fail(Errc::not_found, "{} is a link to {}, which is not there: nothing is written through it", path, at.path);
  if (at.node && at.node->is_directory())
    co_return fail(Errc::is_directory, "{} is a folder and can't be replaced by a file", path);
  if (at.node && !at.node->is_file()) {
    CO_TRY(auto position, co_await volume.remove(at.path));
    (void)position;
  }
  co_return at.path;
}

/// Whether a file may have to go elsewhere than where it was sent.
bool is_in_the_way(Errc code) {
  return code == Errc::exists || code == Errc::is_directory || code == Errc::not_directory || code == Errc::invalid;
}

/// Tells a waiting caller how much is left, twice a second, until it is cancelled.
Task<void> tell_backlog(Asked& asked) {
  for (;;) {
    co_await asked.runtime.sleep(std::chrono::milliseconds(500));
    auto left = asked.server.keeper().report().backlog_bytes;
    Json event = {{"event", "progress"}, {"remaining_bytes", left}};
    auto sent = co_await asked.connection.send(std::move(event));
    if (!sent) co_return;
  }
}

Task<Result<void>> wait_with_backlog(Asked& asked, PackPosition position, Level level) {
  using namespace asio::experimental::awaitable_operators;
  auto both = co_await (asked.server.wait_for(position, level) || tell_backlog(asked));
  if (both.index() == 1) co_return fail(Errc::unavailable, "the caller has hung up");
  co_return std::get<0>(std::move(both));
}

Result<Level> level_at(const Json& message, const char* key, const char* otherwise) {
  std::string name = otherwise;
  if (auto at = message.find(key); at != message.end() && at->is_string()) name = at->get<std::string>();
  if (name == "local") return Level::local;
  if (name == "safe") return Level::safe;
  if (name == "full") return Level::full;
  return fail(Errc::invalid, "'{}' is no level to wait for", name);
}

Answer put_file(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto path, binary_at(asked.request, "path"));
  CO_TRY(auto attributes, attributes_at(asked.request, 0100000));
  CO_TRY(auto level, level_at(asked.request, "wait", "local"));
  if (asked.fds.size() != 1) co_return fail(Errc::invalid, "put_file needs one descriptor, not {}", asked.fds.size());
  Volume& volume = asked.server.volume();
  ControlConnection* connection = &asked.connection;
  Report report = [connection](std::uint64_t bytes) -> Task<Result<void>> {
    return connection->send(Json{{"event", "progress"}, {"bytes", bytes}});
  };
  const MayGoOn may_go_on = [&asked] { return asked.server.may_serve(); };
  const bool cut = flag_at(asked.request, "cut") || level != Level::local;
  const CommitOptions options{.cut = cut, .unshare = true};
  // Nearly always `path` is free or a file; that it is something else is found out by trying.
  auto stored = co_await store_file(asked.runtime, volume, asked.fds[0], path, attributes, options, may_go_on, report);
  if (!stored && is_in_the_way(stored.error().code)) {
    if (flag_at(asked.request, "keep_link")) {
      auto there = co_await volume.stat(path);
      if (there && there->is_symlink()) co_return fail(Errc::exists, "{} is a link", path);
    }
    std::optional<std::string> name;
    if (asked.request.contains("name")) {
      CO_TRY(name, binary_at(asked.request, "name"));
    }
    CO_TRY(path, co_await place_as_cp(volume, path, std::move(name)));
    stored = co_await store_file(asked.runtime, volume, asked.fds[0], path, attributes, options, may_go_on, report);
  }
  if (!stored) co_return fail(stored.error());
  if (level != Level::local) CO_TRY_VOID(co_await wait_with_backlog(asked, *stored, level));
  co_return Json::object();
}

Answer put_stream(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto path, binary_at(asked.request, "path"));
  CO_TRY(auto attributes, attributes_at(asked.request, 0100000));
  CO_TRY(path, co_await place_as_cp(asked.server.volume(), path, std::nullopt));
  CO_TRY(auto writer, co_await asked.server.volume().write_file(path, attributes));
  for (;;) {
    CO_TRY(auto frame, co_await asked.connection.receive());
    CO_TRY_VOID(asked.server.may_serve());
    if (frame.kind == FrameKind::data) {
      CO_TRY_VOID(co_await writer->write(std::move(frame.data)));
      continue;
    }
    if (frame.message.value("op", "") != "end") co_return fail(Errc::invalid, "the upload of {} was broken off", path);
    CO_TRY(auto position, co_await writer->commit({.cut = flag_at(asked.request, "cut"), .unshare = true}));
    (void)position;
    co_return Json{{"size", writer->size()}};
  }
}

// These replace what is in their way, folders excepted.

Answer symlink(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto path, binary_at(asked.request, "path"));
  CO_TRY(auto target, binary_at(asked.request, "target"));
  CO_TRY(auto attributes, attributes_at(asked.request, 0120000));
  CO_TRY(auto position, co_await asked.server.volume().make_symlink(target, path, attributes, true));
  (void)position;
  co_return Json::object();
}

Answer link(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto path, binary_at(asked.request, "path"));
  CO_TRY(auto existing, binary_at(asked.request, "existing"));
  CO_TRY(auto position, co_await asked.server.volume().link(existing, path, true));
  (void)position;
  co_return Json::object();
}

/// FIFOs, sockets and devices: their names and attributes.
Answer special(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto path, binary_at(asked.request, "path"));
  CO_TRY(auto type, number_at(asked.request, "type", 0));
  CO_TRY(auto attributes, attributes_at(asked.request, static_cast<std::uint32_t>(type & 0170000)));
  CO_TRY(auto position, co_await asked.server.volume().make_special(path, attributes, true));
  (void)position;
  co_return Json::object();
}

Answer set_attributes(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto path, binary_at(asked.request, "path"));
  CO_TRY(auto wanted, attributes_at(asked.request, 0));
  AttributeChange change;
  if (asked.request.contains("mode")) change.permissions = wanted.mode;
  if (asked.request.contains("uid")) change.uid = wanted.uid;
  if (asked.request.contains("gid")) change.gid = wanted.gid;
  if (asked.request.contains("mtime_ns")) change.mtime_ns = wanted.mtime_ns;
  CO_TRY(auto position, co_await asked.server.volume().set_attributes(path, std::move(change)));
  (void)position;
  co_return Json::object();
}

Answer remove(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto path, binary_at(asked.request, "path"));
  Volume& volume = asked.server.volume();
  CO_TRY(auto node, co_await volume.stat(path));
  bool recursive = flag_at(asked.request, "recursive");
  if (node.is_directory() && !recursive)
    co_return fail(Errc::is_directory, "{} is a folder: remove it and all below it with -r", path);
  auto done = recursive ? co_await volume.remove_tree(path) : co_await volume.remove(path);
  if (!done) co_return fail(done.error());
  co_return Json::object();
}

Answer rename(Asked& asked) {
  CO_TRY_VOID(asked.server.may_write());
  CO_TRY(auto from, binary_at(asked.request, "from"));
  CO_TRY(auto to, binary_at(asked.request, "to"));
  Volume& volume = asked.server.volume();
  CO_TRY(auto source, co_await volume.stat(from));
  if (auto target = co_await volume.stat(to); target && target->inode == source.inode)
    co_return fail(Errc::invalid, "{} and {} are the same file", from, to);
  CO_TRY(auto position, co_await volume.rename(from, to));
  (void)position;
  co_return Json::object();
}

Answer wait(Asked& asked) {
  CO_TRY(auto level, level_at(asked.request, "level", "full"));
  CO_TRY(auto position, co_await asked.server.volume().flush({.cut = level != Level::local}));
  if (flag_at(asked.request, "silent")) {
    CO_TRY_VOID(co_await asked.server.wait_for(position, level));
  } else {
    CO_TRY_VOID(co_await wait_with_backlog(asked, position, level));
  }
  co_return Json::object();
}

ReadFrom read_from(const Json& request) {
  return flag_at(request, "remote") ? ReadFrom::network : flag_at(request, "local") ? ReadFrom::local : ReadFrom::anywhere;
}

/// Reading what this machine has whole asks nothing of anybody.
bool stays_here(std::string_view op, const Json& request) {
  static const std::set<std::string_view> ops = {"resolve", "list", "get_file", "read"};
  return ops.contains(op) && flag_at(request, "local") && !flag_at(request, "remote");
}

/// Whether a read that is under way goes on.
Result<void> may_read_on(const Asked& asked, std::string_view op) {
  return stays_here(op, asked.request) ? Result<void>{} : asked.server.may_serve();
}

Answer get_file(Asked& asked) {
  CO_TRY(auto path, binary_at(asked.request, "path"));
  if (asked.fds.size() != 1) co_return fail(Errc::invalid, "get_file needs one descriptor, not {}", asked.fds.size());
  ControlConnection* connection = &asked.connection;
  Report report = [connection](std::uint64_t bytes) -> Task<Result<void>> {
    return connection->send(Json{{"event", "progress"}, {"bytes", bytes}});
  };
  CO_TRY_VOID(co_await fetch_file(asked.runtime, asked.server.volume(), path, read_from(asked.request), asked.fds[0],
                                  [&asked] { return may_read_on(asked, "get_file"); }, report));
  co_return Json::object();
}

Answer read(Asked& asked) {
  CO_TRY(auto path, binary_at(asked.request, "path"));
  CO_TRY(auto offset, number_at(asked.request, "offset", 0));
  CO_TRY(auto length, number_at(asked.request, "length", ~std::uint64_t{0}));
  CO_TRY(auto found, co_await asked.server.volume().follow(path));
  if (!found.node) co_return fail(Errc::not_found, "{}: there is no such file", path);
  CO_TRY(auto reader, co_await asked.server.volume().read_file(found.path, read_from(asked.request)));
  std::uint64_t size = reader->node().size;
  std::uint64_t end = offset > size || length > size - std::min(offset, size) ? size : offset + length;
  while (offset < end) {
    CO_TRY_VOID(may_read_on(asked, "read"));
    CO_TRY(auto bytes, co_await reader->read(offset, std::min<std::uint64_t>(control_data_bytes_max, end - offset)));
    if (bytes.empty()) co_return fail(Errc::corrupt, "{} ended at byte {} of {}", path, offset, size);
    offset += bytes.size();
    CO_TRY_VOID(co_await asked.connection.send_data(std::move(bytes)));
  }
  co_return Json{{"size", size}};
}

std::string date_text(WallMs ms) {
  std::time_t seconds = ms / 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

Answer contracts(Asked& asked) {
  CO_TRY(auto all, co_await asked.server.contracts(1'000'000));
  struct Sum {
    std::uint64_t bytes = 0, shards = 0;
  };
  std::map<std::string, Sum> for_others, for_me;
  Json event = {{"event", "contracts"}, {"contracts", Json::array()}};
  for (auto& one : all) {
    auto& sum = one.mine ? for_me[one.holder.hex()] : for_others[one.person.hex()];
    sum.bytes += one.size;
    ++sum.shards;
    event["contracts"].push_back({{"role", one.mine ? "owner" : "holder"}, {"stripe", one.stripe.hex()},
                                  {"index", one.index}, {"size", one.size}, {"owner_person", one.person.hex()},
                                  {"owner_server", one.owner.hex()}, {"holder", one.holder.hex()},
                                  {"signed", date_text(one.signed_ms)}, {"until", date_text(one.until_ms)}});
    if (event["contracts"].size() < 2000) continue;
    CO_TRY_VOID(co_await asked.connection.send(event));
    event["contracts"] = Json::array();
  }
  CO_TRY_VOID(co_await asked.connection.send(event));
  Json answer = {{"kept_for_others", Json::array()}, {"kept_for_me", Json::array()}};
  for (auto& [person, sum] : for_others)
    answer["kept_for_others"].push_back({{"person", person}, {"bytes", sum.bytes}, {"shards", sum.shards}});
  for (auto& [server, sum] : for_me)
    answer["kept_for_me"].push_back({{"server", server}, {"bytes", sum.bytes}, {"shards", sum.shards}});
  co_return answer;
}

Answer servers(Asked& asked) {
  const auto& self = asked.server.identity();
  Json list = Json::array();
  for (auto& one : asked.server.members().all())
    list.push_back({{"server", one.id.hex()}, {"person", one.person.hex()}, {"up", one.up},
                    {"own", one.id == self.server}, {"mine", one.person == self.person},
                    {"capacity", one.capacity_bytes}, {"free", one.free_bytes}});
  co_return Json{{"servers", std::move(list)}, {"view_complete", asked.server.members().is_complete()}};
}

Answer forget(Asked& asked) {
  CO_TRY(auto server, co_await asked.server.forget(asked.request.value("server", ""), flag_at(asked.request, "even_if_up")));
  co_return Json{{"server", server.hex()}};
}

Answer volumes(Asked& asked) {
  CO_TRY(auto known, co_await asked.server.volumes());
  Json list = Json::array();
  for (auto& one : known)
    list.push_back({{"volume", one.volume.hex()}, {"server", one.server.hex()}, {"up", one.up},
                    {"own", one.server == asked.server.identity().server}, {"noted", date_text(one.made_ms)}});
  co_return Json{{"volumes", std::move(list)}};
}

Answer invite(Asked& asked) {
  CO_TRY(auto seconds, number_at(asked.request, "valid_seconds", 72 * 3600));
  if (seconds == 0 || seconds > 366 * 86400) co_return fail(Errc::invalid, "an invite lasts up to a year, not {} s", seconds);
  CO_TRY(auto link, co_await asked.server.invite(std::chrono::seconds(seconds)));
  Json answer = {{"link", link}, {"valid_seconds", seconds}};
  if (asked.server.is_repair_only()) answer["help"] = mode_help();
  co_return answer;
}

Answer fsck(Asked& asked) {
  CO_TRY(auto checkup, co_await asked.server.fsck(flag_at(asked.request, "deep"), flag_at(asked.request, "mend")));
  co_return checkup_json(checkup);
}

Answer draw(Asked& asked) { co_return draw_json(asked.runtime, asked.server, asked.request); }

Answer repair(Asked& asked) { co_return co_await answer_repair(asked.server, asked.request); }
Answer audit(Asked& asked) { co_return co_await answer_audit(asked.server, asked.request); }
Answer directory(Asked& asked) { co_return co_await answer_directory(asked.runtime, asked.server, asked.request); }

Answer key(Asked& asked) { co_return co_await answer_key(asked.server, asked.request); }

Answer trust(Asked& asked) {
  std::vector<int> files;
  for (const auto& one : asked.fds) files.push_back(one.get());
  co_return co_await answer_trust(asked.runtime, asked.server, asked.request, files);
}

Answer job_run(Asked& asked) {
  std::vector<int> files;
  for (const auto& one : asked.fds) files.push_back(one.get());
  co_return co_await answer_job_run(asked.runtime, asked.server, asked.request, files);
}
Answer job_transcode(Asked& asked) { co_return co_await answer_job_transcode(asked.server, asked.request); }
Answer jobs(Asked& asked) { co_return co_await answer_jobs(asked.server, asked.request); }
Answer job_cancel(Asked& asked) { co_return co_await answer_job_cancel(asked.server, asked.request); }
Answer job_remove(Asked& asked) { co_return co_await answer_job_remove(asked.server, asked.request); }
Answer job_watch(Asked& asked) {
  co_return co_await answer_job_watch(asked.runtime, asked.server, asked.connection, asked.request);
}
Answer pledge(Asked& asked) { co_return co_await answer_pledge(asked.server, asked.request); }
Answer mine(Asked& asked) { co_return co_await answer_mine(asked.server, asked.request); }
Answer cycles(Asked& asked) { co_return cycles_json(asked.server); }
Answer cycles_ledger(Asked& asked) { co_return answer_ledger(asked.server, asked.request); }

Answer mode(Asked& asked) { co_return mode_json(asked.server); }

/// {"event": "mode", ...} at once and after each change, until the caller hangs up.
Answer events(Asked& asked) {
  using namespace asio::experimental::awaitable_operators;
  while (true) {
    const auto seen = asked.server.mode_changes();
    Json event = mode_json(asked.server);
    event["event"] = "mode";
    CO_TRY_VOID(co_await asked.connection.send(std::move(event)));
    // Whoever says anything now has had enough.
    const auto next = co_await (asked.server.wait_mode_change(seen) || asked.connection.receive());
    if (next.index() == 1) co_return Json::object();
  }
}

using Function = Answer (*)(Asked&);
const std::map<std::string_view, Function>& requests() {
  static const std::map<std::string_view, Function> table = {
      {"status", status}, {"resolve", resolve}, {"list", list}, {"mkdir", mkdir}, {"put_file", put_file},
      {"put_stream", put_stream}, {"symlink", symlink}, {"link", link}, {"special", special}, {"set_attributes", set_attributes},
      {"remove", remove}, {"rename", rename}, {"wait", wait}, {"get_file", get_file}, {"read", read},
      {"contracts", contracts}, {"servers", servers}, {"volumes", volumes}, {"forget", forget}, {"invite", invite}, {"fsck", fsck}, {"draw", draw}, {"directory", directory}, {"trust", trust}, {"key", key},
      {"repair", repair}, {"audit", audit}, {"mode", mode}, {"events", events},
      {"job_run", job_run}, {"job_transcode", job_transcode}, {"jobs", jobs}, {"job_cancel", job_cancel}, {"job_remove", job_remove}, {"job_watch", job_watch}, {"pledge", pledge}, {"mine", mine}, {"cycles", cycles},
      {"cycles_ledger", cycles_ledger}};
  return table;
}

/// What reads or writes files, or their names: refused while the network only mends. `wait` is not among them: it
/// only sees to it that what is written already is safe.
bool touches_files(std::string_view op) {
  static const std::set<std::string_view> ops = {"resolve", "list", "mkdir", "put_file", "put_stream", "symlink",
                                                 "link", "special", "set_attributes", "remove", "rename", "get_file", "read"};
  return ops.contains(op);
}

}  // namespace

Task<Result<Json>> answer_request(Runtime& runtime, Server& server, ControlConnection& connection,
                                  ControlConnection::Frame request) {
  std::string name;
  if (auto at = request.message.find("op"); at != request.message.end() && at->is_string()) name = at->get<std::string>();
  auto found = requests().find(name);
  if (found == requests().end()) co_return fail(Errc::invalid, "'{}' is not something a server can be asked", name);
  if (touches_files(name) && !stays_here(name, request.message)) CO_TRY_VOID(server.may_serve());
  Asked asked{runtime, server, connection, std::move(request.message), std::move(request.fds)};
  co_return co_await found->second(asked);
}

Json status_json(const ServerStatus& status, const Members& members) {
  const SafetyReport& safety = status.safety;
  Json relays = Json::array();
  for (const ServerId& relay : status.relays) relays.push_back(relay.hex());
  Json held = Json::array();
  for (auto& one : safety.held)
    held.push_back({{"server", one.server.hex()}, {"bytes", one.bytes}, {"shards", one.shards},
                    {"up", members.is_up(one.server)}});
  return {{"network", status.network.hex()},
          {"person", status.person.hex()},
          {"server", status.server.hex()},
          {"name", status.name},
          {"listening", status.listening.text()},
          {"servers_total", status.servers_total},
          {"servers_up", status.servers_up},
          {"view_complete", status.view_complete},
          {"user_half", {{"used", status.user_half.used}, {"limit", status.user_half.limit}}},
          {"server_half", {{"used", status.server_half.used}, {"limit", status.server_half.limit}}},
          {"files", status.files},
          {"file_bytes", status.file_bytes},
          {"stripes", {{"total", safety.total}, {"full", safety.full}, {"safe", safety.safe},
                       {"at_risk", safety.at_risk}, {"lost", safety.lost}}},
          {"copies_min", safety.copies_min},
          {"can_lose", safety.can_lose},
          {"widest_k", safety.widest_k},
          {"loss_per_day", safety.loss_per_day},
          {"departures_per_server_day", status.departures_per_server_day},
          {"repair", {{"waiting", status.repairs_waiting},
                      {"seconds_left", std::isfinite(status.repair_seconds_left) ? Json(status.repair_seconds_left) : Json()}}},
          {"mode", status.mode},
          {"note", status.note},
          {"reach", status.reach},
          {"relays", std::move(relays)},
          {"links_carried", status.links_carried},
          {"backlog_bytes", safety.backlog_bytes},
          {"settled", status.settled},
          {"held", std::move(held)}};
}

Json checkup_json(const ServerCheckup& checkup) {
  Json findings = Json::array();
  for (auto& one : checkup.findings)
    findings.push_back({{"where", to_string(one.where)}, {"what", one.what}, {"mended", one.mended}, {"fatal", one.fatal},
                        {"done", one.done.empty() ? std::string(one.mended ? "mended" : "") : one.done}});
  return {{"findings", std::move(findings)}, {"packs", checkup.packs}, {"shards", checkup.shards}, {"bytes", checkup.bytes}};
}

}  // namespace spatter::doors
