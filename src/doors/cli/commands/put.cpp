// spatter put SRC... DEST: local files and folders into the volume, as `cp -a` would.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <semaphore>
#include <thread>

#include "cli/local_tree.h"
#include "cli/paths.h"

namespace spatter::doors {

namespace {

struct PutOptions {
  std::vector<std::string> words;  ///< sources, then the destination
  std::string wait = "full";
};

/// Where sources go, decided as cp does: into an existing folder, or as the destination itself.
struct Destination {
  std::string path;
  bool into = false;
};

Result<Destination> resolve(ControlClient& client, const std::string& text, std::size_t sources) {
  TRY(auto path, volume_path(text));
  TRY(auto stat, stat_volume(client, path));
  if (stat && stat->is_directory()) return Destination{path, true};
  if (sources > 1)
    return fail(Errc::not_directory, "{} is not a folder, and {} sources were given", text, sources);
  if (text.ends_with('/')) return fail(Errc::not_directory, "{} is not a folder: make it with 'spatter mkdir'", text);
  return Destination{path, false};
}

Result<LocalTree> survey(ControlClient& client, const std::vector<std::string>& sources,
                         const Destination& dest) {
  LocalTree tree;
  for (auto source : sources) {
    while (source.size() > 1 && source.ends_with('/')) source.pop_back();
    std::string name = base_name(source);
    bool unnamed = name.empty() || name == "." || name == "..";
    std::string target = dest.into && !unnamed ? join_path(dest.path, name) : dest.path;
    TRY_VOID(walk(source, target, tree));
    TRY(auto there, stat_volume(client, target));
    struct stat info {};
    if (::lstat(source.c_str(), &info) != 0) return fail(from_errno(errno, source));
    if (there && S_ISDIR(info.st_mode) && !there->is_directory())
      return fail(Errc::not_directory, "{} is not a folder and can't be replaced by the folder {}", target, source);
    if (there && !S_ISDIR(info.st_mode) && there->is_directory())
      return fail(Errc::is_directory, "{} is a folder and can't be replaced by the file {}", target, source);
  }
  return tree;
}

Result<void> put_file(ControlClient& client, const LocalItem& item, bool cut, Progress& progress) {
  Descriptor fd(::open(item.source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail(from_errno(errno, "open " + item.source));
  Json request = attributes_of(item.info);
  request["op"] = "put_file";
  request["path"] = to_binary(item.dest);
  request["cut"] = cut;
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    progress.advance(frame.message.value("bytes", std::uint64_t{0}));
    return {};
  };
  auto done = client.request(request, {fd.get()}, on_event);
  if (!done) return fail(done.error().during(item.source));
  return {};
}

constexpr std::size_t small_bytes_max = 256 << 10;
constexpr std::size_t files_at_once = 32;
constexpr std::ptrdiff_t large_at_once = 2;

/// Several at a time: small files then share their commits. One alone that is to be waited for makes
/// the cut of its slice along with its commit.
Result<void> put_files(const Context& context, const LocalTree& tree, bool waits, Progress& progress) {
  const bool cut = waits && tree.files.size() == 1;
  std::atomic<std::size_t> next = 0;
  std::counting_semaphore<large_at_once> large(large_at_once);
  std::mutex mutex;
  std::optional<Error> first_error;
  auto work = [&] {
    auto client = context.connect();
    while (true) {
      std::size_t at = next++;
      if (at >= tree.files.size()) return;
      bool is_large = tree.files[at].info.st_size > static_cast<off_t>(small_bytes_max);
      if (is_large) large.acquire();
      Result<void> done = client ? put_file(*client, tree.files[at], cut, progress) : fail(client.error());
      if (is_large) large.release();
      if (done) continue;
      std::lock_guard lock(mutex);
      if (!first_error) first_error = done.error();
      next = tree.files.size();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(files_at_once, tree.files.size()); ++i) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  if (first_error) return fail(*first_error);
  return {};
}

Result<void> put_link(ControlClient& client, const LocalItem& item) {
  Json request = attributes_of(item.info);
  request["path"] = to_binary(item.dest);
  if (item.same_as.empty()) {
    request["op"] = "symlink";
    request["target"] = to_binary(item.target);
  } else {
    request["op"] = "link";
    request["existing"] = to_binary(item.same_as);
  }
  auto done = client.request(request);
  if (!done) return fail(done.error().during(item.source));
  return {};
}

Result<void> put_folder(ControlClient& client, const LocalItem& item) {
  Json request = attributes_of(item.info);
  request["op"] = "mkdir";
  request["path"] = to_binary(item.dest);
  request["keep_existing"] = true;
  auto done = client.request(request);
  if (!done) return fail(done.error().during(item.source));
  return {};
}

/// Folders get their times last: filling them changes those.
Result<void> settle_folders(ControlClient& client, const LocalTree& tree) {
  for (auto folder = tree.folders.rbegin(); folder != tree.folders.rend(); ++folder) {
    Json request = attributes_of(folder->info);
    request["op"] = "set_attributes";
    request["path"] = to_binary(folder->dest);
    TRY(auto done, client.request(request));
    (void)done;
  }
  return {};
}

Result<void> put_stream(ControlClient& client, const std::string& dest, bool waits, Progress& progress) {
  TRY(auto target, resolve(client, dest, 1));
  if (target.into) return fail(Errc::is_directory, "{} is a folder: name the file to write standard input to", dest);
  auto now = std::chrono::system_clock::now().time_since_epoch();
  mode_t mask = ::umask(0);
  ::umask(mask);
  Json request = {{"op", "put_stream"}, {"path", to_binary(target.path)}, {"mode", 0666 & ~mask},
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

Result<void> put_tree(const Context& context, ControlClient& client,
                      const std::vector<std::string>& sources, const std::string& dest,
                      bool waits, Progress& progress, std::vector<std::string>& skipped) {
  TRY(auto target, resolve(client, dest, sources.size()));
  TRY(auto tree, survey(client, sources, target));
  progress.restart("storing", tree.bytes);
  for (auto& folder : tree.folders) TRY_VOID(put_folder(client, folder));
  TRY_VOID(put_files(context, tree, waits, progress));
  for (auto& link : tree.links) TRY_VOID(put_link(client, link));
  TRY_VOID(settle_folders(client, tree));
  skipped = std::move(tree.skipped);
  return {};
}

Result<void> run(const Context& context, const PutOptions& options) {
  std::vector<std::string> sources(options.words.begin(), options.words.end() - 1);
  const std::string& dest = options.words.back();
  TRY(auto client, context.connect());
  Progress progress("storing", 0);
  if (auto item = lone_file(sources, dest)) return put_lone_file(client, *item, dest, options.wait, progress);
  std::vector<std::string> skipped;
  if (sources.size() == 1 && sources[0] == "-") {
    TRY_VOID(put_stream(client, dest, options.wait != "local", progress));
  } else {
    TRY_VOID(put_tree(context, client, sources, dest, options.wait != "local", progress, skipped));
  }
  if (options.wait != "local") TRY_VOID(wait_for(client, options.wait, progress));
  progress.clear();
  for (auto& path : skipped)
    fmt::print(stderr, "spatter put: {}: skipped: not a file, folder or link\n", printable(path));
  if (!skipped.empty()) return fail(Errc::invalid, "{} of the sources can't be stored", skipped.size());
  return {};
}

}  // namespace

void add_put(CLI::App& app, Context& context) {
  auto options = std::make_shared<PutOptions>();
  auto* command = add_command(app, context, "put", "Store files and folders, as 'cp -a' would",
                              [&context, options] { return run(context, *options); });
  command->add_option("paths", options->words, "SRC... DEST; SRC '-' reads standard input")
      ->required()->expected(2, -1)->type_name("PATH");
  command->add_option("--wait", options->wait,
                      "Return when it is on this disk (local), when two copies' worth are with "
                      "others (safe), or all three (full)")
      ->check(CLI::IsMember({"local", "safe", "full"}))->capture_default_str();
}

}  // namespace spatter::doors
