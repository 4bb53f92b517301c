// spatter put SRC... DEST: local files and folders into the volume, as `cp -a` would.
#include <fcntl.h>
#include <unistd.h>

#include <semaphore>
#include <set>

#include "cli/parallel.h"
#include "cli/paths.h"
#include "cli/put_plan.h"

namespace spatter::doors {

namespace {

struct PutOptions {
  std::vector<std::string> words;  ///< sources, then the destination
  std::string wait = "full";
};

constexpr std::size_t small_bytes_max = 256 << 10;
constexpr std::size_t requests_at_once = 32;
constexpr std::ptrdiff_t large_at_once = 2;

/// What all parts of one `put` share.
struct Put {
  const Context& context;
  ControlClient& client;
  Progress& progress;
  Failures failures{"put"};
  LocalTree tree{};
  bool waits = false;
  std::counting_semaphore<large_at_once> large{large_at_once};
  std::mutex mutex{};
  std::vector<std::size_t> behind_links{};  ///< files for whose names there are links

  /// What came of `item`; an error only when the server is gone.
  Result<void> note(ControlClient& client, LocalItem& item, const Result<void>& done) {
    if (done) return {};
    item.failed = true;
    if (client.is_lost()) return fail(done.error());
    failures.add(done.error().during(item.source));
    return {};
  }
};

Result<void> put_file(Put& put, ControlClient& client, const LocalItem& item, bool keep_link) {
  Descriptor fd(::open(item.source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail(from_errno(errno, "open"));
  Json request = attributes_of(item.info);
  request["op"] = "put_file";
  request["path"] = to_binary(item.dest);
  request["keep_link"] = keep_link;
  request["cut"] = put.waits && put.tree.items.size() == 1;  // else the cut follows, for all together
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    put.progress.advance(frame.message.value("bytes", std::uint64_t{0}));
    return {};
  };
  const bool is_large = item.info.st_size > static_cast<off_t>(small_bytes_max);
  if (is_large) put.large.acquire();
  auto done = client.request(request, {fd.get()}, on_event);
  if (is_large) put.large.release();
  if (!done) return fail(done.error());
  return {};
}

Result<void> put_entry(ControlClient& client, const LocalItem& item, Json more) {
  Json request = attributes_of(item.info);
  request["path"] = to_binary(item.dest);
  request.update(more);
  TRY(auto done, client.request(request));
  (void)done;
  return {};
}

Result<void> put_item(Put& put, ControlClient& client, const LocalItem& item, bool keep_link) {
  if (S_ISREG(item.info.st_mode)) return put_file(put, client, item, keep_link);
  if (S_ISLNK(item.info.st_mode))
    return put_entry(client, item, {{"op", "symlink"}, {"target", to_binary(item.target)}});
  return put_entry(client, item, {{"op", "special"}, {"type", item.info.st_mode & S_IFMT}});
}

Result<void> put_folders(Put& put) {
  for (LocalItem& folder : put.tree.folders) {
    folder.failed = put.tree.is_in_failed_folder(folder);
    if (folder.failed) continue;
    auto done = put_entry(put.client, folder, {{"op", "mkdir"}, {"keep_existing", true}});
    if (!done && done.error().code == Errc::exists)
      done = fail(Errc::not_directory, "{} is not a folder and can't be replaced by one", folder.dest);
    TRY_VOID(put.note(put.client, folder, done));
  }
  return {};
}

Result<void> put_items(Put& put) {
  auto& items = put.tree.items;
  return in_parallel(put.context, items.size(), requests_at_once, [&](ControlClient& client, std::size_t at) -> Result<void> {
    LocalItem& item = items[at];
    item.failed = put.tree.is_in_failed_folder(item);
    if (item.failed) return {};
    auto done = put_item(put, client, item, true);
    if (!done && done.error().code == Errc::exists && S_ISREG(item.info.st_mode)) {
      std::lock_guard lock(put.mutex);
      put.behind_links.push_back(at);
      return {};
    }
    return put.note(client, item, done);
  });
}

/// Where a link has a file's name, cp writes to what it leads to; here after all else, since that may
/// be the name of another file of this same `put`.
Result<void> put_behind_links(Put& put) {
  std::sort(put.behind_links.begin(), put.behind_links.end());
  for (std::size_t at : put.behind_links) {
    LocalItem& item = put.tree.items[at];
    auto place = resolve_volume(put.client, item.dest, LastLink::follow);
    Result<void> done;
    if (!place) {
      done = fail(place.error());
    } else if (!put.tree.taken.insert(place->path).second && place->path != item.dest) {
      done = fail(Errc::exists, "will not overwrite just-created {}, to which the link {} leads", place->path, item.dest);
    } else {
      done = put_file(put, put.client, item, false);
      item.dest = place->path;
    }
    TRY_VOID(put.note(put.client, item, done));
  }
  return {};
}

/// Further names of one file. If its first name could not be stored, the next takes its part.
Result<void> put_links(Put& put) {
  auto link_to = [](ControlClient& client, const LocalItem& link, const LocalItem& first) {
    return put_entry(client, link, {{"op", "link"}, {"existing", to_binary(first.dest)}});
  };
  auto& links = put.tree.links;
  TRY_VOID(in_parallel(put.context, links.size(), requests_at_once, [&](ControlClient& client, std::size_t at) -> Result<void> {
    LocalItem& link = links[at];
    const LocalItem& first = put.tree.items[link.same_as];
    link.failed = first.failed || put.tree.is_in_failed_folder(link);
    return link.failed ? Result<void>() : put.note(client, link, link_to(client, link, first));
  }));
  std::set<std::size_t> renewed;
  for (LocalItem& link : links) {
    LocalItem& first = put.tree.items[link.same_as];
    const bool first_is_new = renewed.contains(link.same_as);
    if (!link.failed || put.tree.is_in_failed_folder(link) || (!first.failed && !first_is_new)) continue;
    auto done = first_is_new ? link_to(put.client, link, first) : put_item(put, put.client, link, false);
    TRY_VOID(put.note(put.client, link, done));
    if (!done || first_is_new) continue;
    first = link;
    first.failed = false;
    renewed.insert(link.same_as);
  }
  return {};
}

/// Folders get their times last: filling them changes those.
Result<void> settle_folders(Put& put) {
  auto& folders = put.tree.folders;
  return in_parallel(put.context, folders.size(), requests_at_once, [&](ControlClient& client, std::size_t at) {
    LocalItem& folder = folders[at];
    if (folder.failed) return Result<void>();
    return put.note(client, folder, put_entry(client, folder, {{"op", "set_attributes"}}));
  });
}

Result<void> put_stream(ControlClient& client, const std::string& dest, bool waits, Progress& progress) {
  TRY(auto target, plan_put_stream(client, dest));
  auto now = std::chrono::system_clock::now().time_since_epoch();
  mode_t mask = ::umask(0);
  ::umask(mask);
  Json request = {{"op", "put_stream"}, {"path", to_binary(target)}, {"mode", 0666 & ~mask},
                  {"uid", ::getuid()}, {"gid", ::getgid()}, {"cut", waits},
                  {"mtime_ns", std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()}};
  TRY_VOID(client.send(request));
  Bytes buffer(control_data_bytes_max);
  // When the server refuses midway it answers and stops reading: the send then fails, and its
  // answer is what the user must see.
  for (;;) {
    ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "read standard input"));
    if (n == 0) break;
    if (!client.send_data(ByteView(buffer).first(static_cast<std::size_t>(n)))) break;
    progress.advance(static_cast<std::uint64_t>(n));
  }
  (void)client.send({{"op", "end"}});
  for (;;) {
    TRY(auto frame, client.receive());
    if (!frame.message.contains("ok")) continue;
    if (frame.message["ok"] == true) return {};
    return fail(error_from(frame.message));
  }
}

/// `most` is what was left at first.
void show_backlog(const Json& event, Progress& progress, std::uint64_t& most) {
  auto left = event.value("remaining_bytes", std::uint64_t{0});
  if (left > most) {
    most = left;
    progress.restart("spattering", most);
  }
  progress.set_done(most - left);
}

/// Until everything put so far is as safe as asked.
Result<void> wait_for(ControlClient& client, const std::string& level, Progress& progress) {
  std::uint64_t total = 0;
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    show_backlog(frame.message, progress, total);
    return {};
  };
  TRY(auto done, client.request({{"op", "wait"}, {"level", level}}, {}, on_event));
  (void)done;
  return {};
}

/// `item` in one request, which also waits: the server decides, as cp would, whether it goes to
/// `dest` or into it.
Result<void> put_lone_file(ControlClient& client, const LocalItem& item, const std::string& dest,
                           const std::string& level, Progress& progress) {
  TRY(auto path, volume_path(dest));
  Descriptor fd(::open(item.source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail(from_errno(errno, "open " + item.source));
  Json request = attributes_of(item.info);
  request["op"] = "put_file";
  request["path"] = to_binary(path);
  request["name"] = to_binary(base_name(item.source));
  request["wait"] = level;
  std::uint64_t most = 0;
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    show_backlog(frame.message, progress, most);
    return {};
  };
  auto done = client.request(request, {fd.get()}, on_event);
  if (!done) return fail(done.error().during(item.source));
  return {};
}

/// The one source if it is a small file and `dest` may be its new name: what needs no survey.
std::optional<LocalItem> lone_file(const std::vector<std::string>& sources, const std::string& dest) {
  if (sources.size() != 1 || sources.front() == "-" || dest.ends_with('/')) return std::nullopt;
  LocalItem item;
  item.source = sources.front();
  const bool found = ::lstat(item.source.c_str(), &item.info) == 0;
  if (!found || !S_ISREG(item.info.st_mode) || item.info.st_size > static_cast<off_t>(small_bytes_max))
    return std::nullopt;
  return item;
}

Result<void> put_tree(Put& put, const std::vector<std::string>& sources, const std::string& dest) {
  TRY(put.tree, plan_put(put.client, sources, dest, put.failures));
  put.progress.restart("storing", put.tree.bytes);
  TRY_VOID(put_folders(put));
  TRY_VOID(put_items(put));
  TRY_VOID(put_behind_links(put));
  TRY_VOID(put_links(put));
  return settle_folders(put);
}

Result<void> run(const Context& context, const PutOptions& options) {
  std::vector<std::string> sources(options.words.begin(), options.words.end() - 1);
  const std::string& dest = options.words.back();
  const bool waits = options.wait != "local";
  TRY(auto client, context.connect());
  Progress progress("storing", 0);
  if (auto item = lone_file(sources, dest)) return put_lone_file(client, *item, dest, options.wait, progress);
  if (sources.size() == 1 && sources[0] == "-") {
    TRY_VOID(put_stream(client, dest, waits, progress));
    return waits ? wait_for(client, options.wait, progress) : Result<void>();
  }
  Put put{.context = context, .client = client, .progress = progress, .waits = waits};
  auto done = put_tree(put, sources, dest);
  if (done && waits && !put.tree.empty()) done = wait_for(client, options.wait, progress);
  progress.clear();
  if (!done) put.failures.add(done.error());
  return put.failures.result();
}

}  // namespace

void add_put(CLI::App& app, Context& context) {
  auto options = std::make_shared<PutOptions>();
  auto* command = add_command(app, context, "put", "Store files and folders, as 'cp -a' would",
                              [&context, options] { return run(context, *options); });
  command->add_option("paths", options->words, "SRC... DEST; SRC '-' reads standard input")
      ->required()->expected(2, -1)->type_name("FILE");
  command->add_option("--wait", options->wait,
                      "Return when it is on this disk (local), when two copies' worth are with "
                      "others (safe), or all three (full)")
      ->check(CLI::IsMember({"local", "safe", "full"}))->capture_default_str();
}

}  // namespace spatter::doors
