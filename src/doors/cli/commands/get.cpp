// spatter get PATH DEST: files and folders out of the volume, as `cp -a` would; and cat.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>
#include <set>

#include "cli/failures.h"
#include "cli/local_files.h"
#include "cli/parallel.h"

namespace spatter::doors {

namespace {

struct GetOptions {
  std::string path;
  std::string dest;
  bool remote = false;
  bool local = false;
};

struct Item {
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  std::string source;  ///< in the volume
  std::string dest;    ///< here
  VolumeStat stat;
  std::size_t folder = none;   ///< the one of Get::folders that it is in
  std::size_t same_as = none;  ///< of a further hard link: the one of Get::items it is a link to
  LocalTarget target;          ///< of a file
  bool failed = false;
};

/// What all parts of one `get` share.
struct Get {
  const Context& context;
  ControlClient& client;
  const bool remote;
  const bool local;
  Progress progress{"fetching", 0};
  Failures failures{"get"};
  std::vector<Item> folders;  ///< parents before children
  std::vector<Item> items;    ///< files, symlinks, FIFOs, sockets, devices
  std::vector<Item> links;    ///< further names of items
  std::map<std::uint64_t, std::size_t> linked;  ///< inodes of several names: their first item
  std::uint64_t bytes = 0;

  bool is_in_failed_folder(const Item& item) const { return item.folder != Item::none && folders[item.folder].failed; }
  void fail_item(Item& item, const Error& error) {
    item.failed = true;
    failures.add(error.during(item.source));
  }
};

void collect(Get& get, Item item) {
  if (item.stat.is_directory()) {
    const std::string source = item.source, dest = item.dest;
    const std::size_t number = get.folders.size();
    get.folders.push_back(std::move(item));
    auto entries = list_volume(get.client, source, get.local);
    if (!entries) return get.failures.add(entries.error().during(source));
    for (auto& entry : *entries)
      collect(get, {join_path(source, entry.name), join_path(dest, entry.name), entry.stat, number});
    return;
  }
  if (item.stat.links > 1) {
    auto [first, fresh] = get.linked.try_emplace(item.stat.inode, get.items.size());
    if (!fresh) {
      item.same_as = first->second;
      get.links.push_back(std::move(item));
      return;
    }
  }
  if (item.stat.is_file()) get.bytes += item.stat.size;
  get.items.push_back(std::move(item));
}

/// The destination itself may be a link to a folder; below it, cp takes no link for a folder.
Result<void> make_folder(const std::string& path, bool is_top) {
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return fail(from_errno(errno, "make folder " + path));
  struct stat info {};
  if ((is_top ? ::stat : ::lstat)(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  return fail(Errc::not_directory, "{} is not a folder and can't be replaced by one", path);
}

void make_folders(Get& get) {
  for (Item& folder : get.folders) {
    folder.failed = get.is_in_failed_folder(folder);
    if (folder.failed) continue;
    if (auto done = make_folder(folder.dest, folder.folder == Item::none); !done) get.fail_item(folder, done.error());
  }
}

/// Where the bytes of every file go, found out while nothing has been written: a link at the name of
/// one may lead to the name of another.
void find_targets(Get& get) {
  std::set<std::pair<dev_t, ino_t>> ends;
  std::vector<Item*> behind_links;
  for (Item& item : get.items) {
    item.failed = get.is_in_failed_folder(item);
    if (item.failed || !item.stat.is_file()) continue;
    auto target = local_target(item.dest);
    if (!target) {
      get.fail_item(item, target.error());
      continue;
    }
    item.target = std::move(*target);
    struct stat info {};
    if (item.target.stream) continue;
    if (item.target.path != item.dest) behind_links.push_back(&item);
    else if (::lstat(item.dest.c_str(), &info) == 0) ends.insert({info.st_dev, info.st_ino});
  }
  for (Item* item : behind_links) {
    struct stat info {};
    if (::stat(item->target.path.c_str(), &info) == 0 && !ends.insert({info.st_dev, info.st_ino}).second)
      get.fail_item(*item, {Errc::exists, fmt::format("will not overwrite {}, to which the link {} leads, twice",
                                                       item->target.path, item->dest)});
  }
}

Result<void> stream_file(ControlClient& client, Json request, int fd, const std::string& name, Progress* progress) {
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    TRY_VOID(write_all(fd, frame.data, name));
    if (progress) progress->advance(frame.data.size());
    return {};
  };
  request["op"] = "read";
  TRY(auto done, client.request(request, {}, on_event));
  (void)done;
  return {};
}

/// A file without a name in the folder where `temporary` would be, so that nothing is left of it
/// however this ends; where the file system has no such thing, `temporary` itself.
Descriptor open_temporary(const std::string& temporary, bool& nameless) {
  const auto slash = temporary.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : temporary.substr(0, slash + 1);
  Descriptor fd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  nameless = static_cast<bool>(fd);
  if (nameless) return fd;
  return Descriptor(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

/// Into a temporary file beside the destination, renamed when whole: never a partial file under
/// the right name. What is no file is written into.
Result<void> get_file(Get& get, ControlClient& client, const Item& item) {
  const std::string& dest = item.target.path;
  Json request = {{"path", to_binary(item.source)}, {"remote", get.remote}, {"local", get.local}};
  if (item.target.stream) {
    TRY(auto fd, open_stream(dest));
    return stream_file(client, request, fd.get(), dest, &get.progress);
  }
  const std::string temporary = temporary_beside(dest);
  bool nameless = false;
  const Descriptor fd = open_temporary(temporary, nameless);
  if (!fd) return fail(from_errno(errno, "write " + dest));
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    get.progress.advance(frame.message.value("bytes", std::uint64_t{0}));
    return {};
  };
  request["op"] = "get_file";
  auto done = client.request(request, {fd.get()}, on_event);
  if (done && nameless) {
    const auto open_file = fmt::format("/proc/self/fd/{}", fd.get());
    if (::linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, temporary.c_str(), AT_SYMLINK_FOLLOW) != 0)
      return fail(from_errno(errno, "write " + dest));
  }
  Result<void> result = done ? apply_attributes(temporary, item.stat) : fail(done.error());
  if (result) return put_in_place(temporary, dest);
  ::unlink(temporary.c_str());
  return result;
}

Result<void> get_item(Get& get, ControlClient& client, const Item& item) {
  if (item.stat.is_file()) return get_file(get, client, item);
  if (item.stat.is_symlink()) return make_local_symlink(item.dest, item.stat);
  return make_local_special(item.dest, item.stat);
}

Result<void> get_items(Get& get) {
  return in_parallel(get.context, get.items.size(), 12, [&](ControlClient& client, std::size_t at) -> Result<void> {
    Item& item = get.items[at];
    if (item.failed) return {};
    auto done = get_item(get, client, item);
    if (done) return {};
    if (client.is_lost()) return fail(done.error());
    get.fail_item(item, done.error());
    return {};
  });
}

/// Further names of one file. If its first name could not be made, or is a stream, the next takes
/// its part.
void get_links(Get& get) {
  for (Item& link : get.links) {
    if (get.is_in_failed_folder(link)) continue;
    Item& first = get.items[link.same_as];
    if (!first.failed && !first.target.stream) {
      auto done = make_local_link(first.stat.is_file() ? first.target.path : first.dest, link.dest);
      if (!done) get.fail_item(link, done.error());
      continue;
    }
    Result<void> done;
    if (link.stat.is_file()) {
      auto target = local_target(link.dest);
      if (target) link.target = std::move(*target);
      else done = fail(target.error());
    }
    if (done) done = get_item(get, get.client, link);
    if (!done) get.fail_item(link, done.error());
    else first = link;
  }
}

void settle_folders(Get& get) {
  for (auto folder = get.folders.rbegin(); folder != get.folders.rend(); ++folder) {
    if (folder->failed) continue;
    if (auto done = apply_attributes(folder->dest, folder->stat); !done) get.fail_item(*folder, done.error());
  }
}

Result<std::string> local_destination(const GetOptions& options, const VolumeStat& stat) {
  const std::string& dest = options.dest;
  struct stat info {};
  const bool exists = ::stat(dest.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) {
    auto name = given_name(options.path);
    return name ? join_path(dest, *name) : dest;
  }
  if (exists && stat.is_directory())
    return fail(Errc::not_directory, "{} is not a folder and can't be replaced by the folder {}", dest, options.path);
  if (!exists && dest.ends_with('/') && !stat.is_directory())
    return fail(Errc::not_found, "the folder {} does not exist", dest);
  return dest;
}

Result<void> run_get(const Context& context, const GetOptions& options) {
  TRY(auto client, context.connect());
  TRY(auto place, find_volume(client, options.path, LastLink::keep, options.local));
  TRY(auto dest, local_destination(options, *place.stat));
  Get get{.context = context, .client = client, .remote = options.remote, .local = options.local};
  collect(get, {place.path, dest, *place.stat});
  get.progress.restart("fetching", get.bytes);
  make_folders(get);
  find_targets(get);
  if (auto done = get_items(get); !done) get.failures.add(done.error());
  else get_links(get);
  settle_folders(get);
  get.progress.clear();
  return get.failures.result();
}

struct CatOptions {
  std::string path;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
  bool remote = false;
  bool local = false;
};

Result<void> run_cat(const Context& context, const CatOptions& options) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  TRY(auto path, volume_path(options.path));
  Json request = {{"path", to_binary(path)}, {"offset", options.offset}, {"remote", options.remote}, {"local", options.local}};
  if (options.length) request["length"] = *options.length;
  return stream_file(client, request, STDOUT_FILENO, "standard output", nullptr);
}

}  // namespace

void add_get(CLI::App& app, Context& context) {
  auto options = std::make_shared<GetOptions>();
  auto* command = add_command(app, context, "get", "Fetch a file or folder, as 'cp -a' would",
                              [&context, options] { return run_get(context, *options); });
  command->add_option("path", options->path, "Path in the volume")->required();
  command->add_option("dest", options->dest, "Where to put it on this machine")->type_name("FILE")->required();
  auto* remote = command->add_flag("--remote", options->remote, "Read from the other servers only, not from this drive");
  command->add_flag("--local", options->local, "Read from this drive only; works also while the network only mends")
      ->excludes(remote);
}

void add_cat(CLI::App& app, Context& context) {
  auto options = std::make_shared<CatOptions>();
  auto* command = add_command(app, context, "cat", "Print a file, or a part of it",
                              [&context, options] { return run_cat(context, *options); });
  command->add_option("path", options->path, "Path in the volume")->required();
  command->add_option("--offset", options->offset, "First byte to print")
      ->check(parsed_by(parse_whole_number, "N"))->capture_default_str();
  command->add_option("--length", options->length, "How many bytes at most; default: to the end")
      ->check(parsed_by(parse_whole_number, "N"));
  auto* remote = command->add_flag("--remote", options->remote, "Read from the other servers only, not from this drive");
  command->add_flag("--local", options->local, "Read from this drive only; works also while the network only mends")
      ->excludes(remote);
}

}  // namespace spatter::doors
