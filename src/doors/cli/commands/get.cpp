// spatter get PATH DEST: files and folders out of the volume, as `cp -a` would; and cat.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <thread>

#include "cli/paths.h"

namespace spatter::doors {

namespace {

struct GetOptions {
  std::string path;
  std::string dest;
  bool remote = false;
};

struct Item {
  std::string source;  ///< in the volume
  std::string dest;    ///< here
  VolumeStat stat;
};

struct Plan {
  std::vector<Item> folders, files, links;
  std::map<std::uint64_t, std::string> linked;  ///< inode to where it went first
  std::vector<std::pair<Item, std::string>> hard_links;
  std::uint64_t bytes = 0;
};

Result<void> collect(ControlClient& client, Item item, Plan& plan) {
  if (item.stat.is_directory()) {
    TRY(auto entries, list_volume(client, item.source));
    std::string source = item.source, dest = item.dest;
    plan.folders.push_back(std::move(item));
    for (auto& entry : entries)
      TRY_VOID(collect(client, {join_path(source, entry.name), join_path(dest, entry.name), entry.stat}, plan));
  } else if (item.stat.type == "symlink") {
    plan.links.push_back(std::move(item));
  } else {
    if (item.stat.links > 1) {
      auto [first, fresh] = plan.linked.try_emplace(item.stat.inode, item.dest);
      if (!fresh) {
        plan.hard_links.emplace_back(std::move(item), first->second);
        return {};
      }
    }
    plan.bytes += item.stat.size;
    plan.files.push_back(std::move(item));
  }
  return {};
}

/// Owner (as far as permitted), mode and times, in this order: chown clears set-user-id bits.
Result<void> apply_attributes(const std::string& path, const VolumeStat& stat) {
  bool link = stat.type == "symlink";
  if (::geteuid() == 0 && ::lchown(path.c_str(), stat.uid, stat.gid) != 0)
    return fail(from_errno(errno, "set the owner of " + path));
  if (!link && ::chmod(path.c_str(), stat.mode) != 0)
    return fail(from_errno(errno, "set the mode of " + path));
  std::int64_t seconds = stat.mtime_ns / 1'000'000'000, rest = stat.mtime_ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  timespec times[2] = {{seconds, rest}, {seconds, rest}};
  if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return fail(from_errno(errno, "set the times of " + path));
  return {};
}

std::string temporary_beside(const std::string& path) {
  static std::atomic<unsigned> count = 0;
  return fmt::format("{}.spatter-{}-{}", path.substr(0, path.rfind('/') + 1), ::getpid(), count++);
}

/// Into a temporary file beside the destination, renamed when whole: never a partial file under
/// the right name.
Result<void> get_file(ControlClient& client, const Item& item, bool remote, Progress& progress) {
  std::string temporary = temporary_beside(item.dest);
  Descriptor fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return fail(from_errno(errno, "write " + item.dest));
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    progress.advance(frame.message.value("bytes", std::uint64_t{0}));
    return {};
  };
  auto done = client.request({{"op", "get_file"}, {"path", to_binary(item.source)}, {"remote", remote}},
                             {fd.get()}, on_event);
  Result<void> result = done ? apply_attributes(temporary, item.stat) : fail(done.error());
  if (result && ::rename(temporary.c_str(), item.dest.c_str()) != 0)
    result = fail(from_errno(errno, "put the finished file at " + item.dest));
  if (!result) ::unlink(temporary.c_str());
  return result;
}

Result<void> get_symlink(const Item& item) {
  std::string temporary = temporary_beside(item.dest);
  if (::symlink(item.stat.target.c_str(), temporary.c_str()) != 0)
    return fail(from_errno(errno, "make link " + item.dest));
  auto result = apply_attributes(temporary, item.stat);
  if (result && ::rename(temporary.c_str(), item.dest.c_str()) != 0)
    result = fail(from_errno(errno, "make link " + item.dest));
  if (!result) ::unlink(temporary.c_str());
  return result;
}

Result<void> get_hard_link(const Item& item, const std::string& first) {
  std::string temporary = temporary_beside(item.dest);
  if (::link(first.c_str(), temporary.c_str()) != 0 || ::rename(temporary.c_str(), item.dest.c_str()) != 0) {
    auto error = from_errno(errno, "link " + item.dest + " to " + first);
    ::unlink(temporary.c_str());
    return fail(error);
  }
  ::unlink(temporary.c_str());  // rename does nothing when both names are the same file already
  return {};
}

struct Failures {
  std::mutex mutex;
  std::vector<std::string> lines;
  void add(const std::string& path, const Error& error) {
    std::lock_guard lock(mutex);
    lines.push_back(fmt::format("{}: {}", printable(path), printable(error.message)));
  }
};

void get_files(const Context& context, const Plan& plan, bool remote, Progress& progress, Failures& failures) {
  std::atomic<std::size_t> next = 0;
  auto work = [&] {
    auto client = context.connect();
    for (std::size_t at; (at = next++) < plan.files.size();) {
      const Item& item = plan.files[at];
      auto done = client ? get_file(*client, item, remote, progress) : Result<void>(fail(client.error()));
      if (!done) failures.add(item.source, done.error());
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min<std::size_t>(12, plan.files.size()); ++i) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
}

Result<void> make_folders(const Plan& plan) {
  for (auto& folder : plan.folders) {
    if (::mkdir(folder.dest.c_str(), 0700) == 0) continue;
    struct stat info {};
    if (errno != EEXIST) return fail(from_errno(errno, "make folder " + folder.dest));
    if (::stat(folder.dest.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
      return fail(Errc::not_directory, "{} is in the way and is no folder", folder.dest);
  }
  return {};
}

Result<std::string> local_destination(const std::string& dest, const std::string& source, const VolumeStat& stat) {
  struct stat info {};
  bool exists = ::stat(dest.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) return source == "/" ? dest : join_path(dest, base_name(source));
  if (exists && stat.is_directory())
    return fail(Errc::not_directory, "{} is not a folder and can't be replaced by the folder {}", dest, source);
  if (!exists && dest.ends_with('/') && !stat.is_directory())
    return fail(Errc::not_found, "the folder {} does not exist", dest);
  return dest;
}

Result<void> run_get(const Context& context, const GetOptions& options) {
  TRY(auto client, context.connect());
  TRY(auto source, volume_path(options.path));
  TRY(auto stat, stat_volume(client, source));
  if (!stat) return fail(Errc::not_found, "{}: there is no such file or folder", options.path);
  TRY(auto dest, local_destination(options.dest, source, *stat));
  Plan plan;
  TRY_VOID(collect(client, {source, dest, *stat}, plan));
  Progress progress("fetching", plan.bytes);
  TRY_VOID(make_folders(plan));
  Failures failures;
  get_files(context, plan, options.remote, progress, failures);
  for (auto& [item, first] : plan.hard_links)
    if (auto done = get_hard_link(item, first); !done) failures.add(item.source, done.error());
  for (auto& item : plan.links)
    if (auto done = get_symlink(item); !done) failures.add(item.source, done.error());
  for (auto item = plan.folders.rbegin(); item != plan.folders.rend(); ++item)
    if (auto done = apply_attributes(item->dest, item->stat); !done) failures.add(item->source, done.error());
  progress.clear();
  if (failures.lines.empty()) return {};
  if (failures.lines.size() == 1) return fail(Errc::unavailable, "{}", failures.lines[0]);
  for (auto& line : failures.lines) fmt::print(stderr, "spatter get: {}\n", line);
  return fail(Errc::unavailable, "{} of {} could not be fetched; the rest is there", failures.lines.size(),
              plan.files.size() + plan.links.size() + plan.hard_links.size());
}

struct CatOptions {
  std::string path;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
  bool remote = false;
};

Result<void> run_cat(const Context& context, const CatOptions& options) {
  TRY(auto client, context.connect());
  TRY(auto path, volume_path(options.path));
  Json request = {{"op", "read"}, {"path", to_binary(path)}, {"offset", options.offset}, {"remote", options.remote}};
  if (options.length) request["length"] = *options.length;
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    ByteView left = frame.data;
    while (!left.empty()) {
      ssize_t n = ::write(STDOUT_FILENO, left.data(), left.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(from_errno(errno, "write to standard output"));
      left = left.subspan(static_cast<std::size_t>(n));
    }
    return {};
  };
  TRY(auto done, client.request(request, {}, on_event));
  (void)done;
  return {};
}

}  // namespace

void add_get(CLI::App& app, Context& context) {
  auto options = std::make_shared<GetOptions>();
  auto* command = add_command(app, context, "get", "Fetch a file or folder, as 'cp -a' would",
                              [&context, options] { return run_get(context, *options); });
  command->add_option("path", options->path, "Path in the volume")->required();
  command->add_option("dest", options->dest, "Where to put it on this machine")->required();
  command->add_flag("--remote", options->remote, "Read from the other servers only, not from this drive");
}

void add_cat(CLI::App& app, Context& context) {
  auto options = std::make_shared<CatOptions>();
  auto* command = add_command(app, context, "cat", "Print a file, or a part of it",
                              [&context, options] { return run_cat(context, *options); });
  command->add_option("path", options->path, "Path in the volume")->required();
  command->add_option("--offset", options->offset, "First byte to print")->capture_default_str();
  command->add_option("--length", options->length, "How many bytes at most; default: to the end");
  command->add_flag("--remote", options->remote, "Read from the other servers only, not from this drive");
}

}  // namespace spatter::doors
