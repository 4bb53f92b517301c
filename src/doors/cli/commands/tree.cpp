// spatter ls, du, mkdir, rm, mv: looking at and arranging the volume.
#include <ctime>
#include <iostream>

#include <unistd.h>

#include "cli/paths.h"

namespace spatter::doors {

namespace {

std::string mode_text(const VolumeStat& stat) {
  std::string text = stat.is_directory() ? "d" : stat.type == "symlink" ? "l" : "-";
  for (int shift = 6; shift >= 0; shift -= 3) {
    auto bits = stat.mode >> shift & 7;
    text += bits & 4 ? 'r' : '-';
    text += bits & 2 ? 'w' : '-';
    text += bits & 1 ? 'x' : '-';
  }
  if (stat.mode & 04000) text[3] = text[3] == 'x' ? 's' : 'S';
  if (stat.mode & 02000) text[6] = text[6] == 'x' ? 's' : 'S';
  if (stat.mode & 01000) text[9] = text[9] == 'x' ? 't' : 'T';
  return text;
}

std::string time_text(std::int64_t mtime_ns) {
  std::time_t seconds = mtime_ns >= 0 ? mtime_ns / 1'000'000'000 : -((-mtime_ns + 999'999'999) / 1'000'000'000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local);
  return text;
}

Json entry_json(const VolumeEntry& entry, const std::string& path) {
  Json one = {{"type", entry.stat.type}, {"size", entry.stat.size}, {"mode", fmt::format("{:04o}", entry.stat.mode)},
              {"uid", entry.stat.uid}, {"gid", entry.stat.gid}, {"mtime_ns", entry.stat.mtime_ns},
              {"links", entry.stat.links}};
  put_name(one, "name", entry.name);
  put_name(one, "path", path);
  if (entry.stat.type == "symlink") put_name(one, "target", entry.stat.target);
  return one;
}

void print_entry(const VolumeEntry& entry, bool long_form) {
  std::string name = printable(entry.name) + (entry.stat.is_directory() ? "/" : "");
  if (!long_form) {
    fmt::print("{}\n", name);
    return;
  }
  if (entry.stat.type == "symlink") name += " -> " + printable(entry.stat.target);
  fmt::print("{} {:>3} {:>12} {} {}\n", mode_text(entry.stat), entry.stat.links, entry.stat.size,
             time_text(entry.stat.mtime_ns), name);
}

struct LsOptions {
  std::vector<std::string> paths = {"/"};
  bool long_form = false;
};

Result<void> run_ls(const Context& context, const LsOptions& options) {
  TRY(auto client, context.connect());
  Json all = Json::array();
  for (auto& text : options.paths) {
    TRY(auto path, volume_path(text));
    TRY(auto stat, stat_volume(client, path));
    if (!stat) return fail(Errc::not_found, "{}: there is no such file or folder", text);
    bool folder = stat->is_directory();
    std::vector<VolumeEntry> entries;
    if (folder) {
      TRY(entries, list_volume(client, path));
    } else {
      entries.push_back({base_name(path), *stat});
    }
    if (folder && options.paths.size() > 1 && !context.json) fmt::print("{}:\n", printable(path));
    for (auto& entry : entries) {
      if (context.json) all.push_back(entry_json(entry, folder ? join_path(path, entry.name) : path));
      else print_entry(entry, options.long_form);
    }
  }
  if (context.json) print_json(all);
  return {};
}

struct Usage {
  std::uint64_t bytes = 0, files = 0, folders = 0;
};

Result<Usage> measure(ControlClient& client, const std::string& path, const VolumeStat& stat,
                      std::set<std::uint64_t>& seen) {
  if (!stat.is_directory()) {
    Usage one{stat.type == "file" ? stat.size : 0, 1, 0};
    if (stat.links > 1 && !seen.insert(stat.inode).second) one.bytes = 0;
    return one;
  }
  Usage sum{0, 0, 1};
  TRY(auto entries, list_volume(client, path));
  for (auto& entry : entries) {
    TRY(auto part, measure(client, join_path(path, entry.name), entry.stat, seen));
    sum.bytes += part.bytes;
    sum.files += part.files;
    sum.folders += part.folders;
  }
  return sum;
}

Result<void> run_du(const Context& context, const std::vector<std::string>& paths) {
  TRY(auto client, context.connect());
  Json all = Json::array();
  for (auto& text : paths) {
    TRY(auto path, volume_path(text));
    TRY(auto stat, stat_volume(client, path));
    if (!stat) return fail(Errc::not_found, "{}: there is no such file or folder", text);
    std::set<std::uint64_t> seen;
    TRY(auto usage, measure(client, path, *stat, seen));
    Json one = {{"bytes", usage.bytes}, {"files", usage.files}, {"folders", usage.folders}};
    put_name(one, "path", path);
    if (context.json) all.push_back(one);
    else fmt::print("{:>10}  {} files  {}\n", bytes_text(usage.bytes), usage.files, printable(path));
  }
  if (context.json) print_json(all);
  return {};
}

struct MkdirOptions {
  std::vector<std::string> paths;
  bool parents = false;
};

Result<void> run_mkdir(const Context& context, const MkdirOptions& options) {
  TRY(auto client, context.connect());
  for (auto& text : options.paths) {
    TRY(auto path, volume_path(text));
    auto now = std::chrono::system_clock::now().time_since_epoch();
    Json request = {{"op", "mkdir"}, {"path", to_binary(path)}, {"mode", 0755}, {"uid", ::getuid()}, {"gid", ::getgid()},
                    {"mtime_ns", std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()},
                    {"parents", options.parents}, {"keep_existing", options.parents}};
    TRY(auto done, client.request(request));
    (void)done;
  }
  return {};
}

struct RmOptions {
  std::vector<std::string> paths;
  bool recursive = false;
  bool force = false;
};

Result<void> run_rm(const Context& context, const RmOptions& options) {
  TRY(auto client, context.connect());
  for (auto& text : options.paths) {
    TRY(auto path, volume_path(text));
    auto done = client.request({{"op", "remove"}, {"path", to_binary(path)}, {"recursive", options.recursive}});
    if (!done && !(options.force && done.error().code == Errc::not_found)) return fail(done.error());
  }
  return {};
}

Result<void> run_mv(const Context& context, const std::vector<std::string>& words) {
  TRY(auto client, context.connect());
  TRY(auto dest, volume_path(words.back()));
  TRY(auto stat, stat_volume(client, dest));
  bool into = stat && stat->is_directory();
  if (!into && words.size() > 2)
    return fail(Errc::not_directory, "{} is not a folder, and {} sources were given", words.back(), words.size() - 1);
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    TRY(auto source, volume_path(words[i]));
    std::string target = into ? join_path(dest, base_name(source)) : dest;
    TRY(auto done, client.request({{"op", "rename"}, {"from", to_binary(source)}, {"to", to_binary(target)}}));
    (void)done;
  }
  return {};
}

}  // namespace

void add_ls(CLI::App& app, Context& context) {
  auto options = std::make_shared<LsOptions>();
  auto* command = add_command(app, context, "ls", "List files and folders",
                              [&context, options] { return run_ls(context, *options); });
  command->add_option("paths", options->paths, "Paths in the volume; default: its top")->type_name("PATH");
  command->add_flag("-l,--long", options->long_form, "With mode, links, size and time");
  add_json_flag(command, context);
}

void add_du(CLI::App& app, Context& context) {
  auto paths = std::make_shared<std::vector<std::string>>(1, "/");
  auto* command = add_command(app, context, "du", "How many bytes and files are below a path",
                              [&context, paths] { return run_du(context, *paths); });
  command->add_option("paths", *paths, "Paths in the volume; default: its top")->type_name("PATH");
  add_json_flag(command, context);
}

void add_mkdir(CLI::App& app, Context& context) {
  auto options = std::make_shared<MkdirOptions>();
  auto* command = add_command(app, context, "mkdir", "Make folders",
                              [&context, options] { return run_mkdir(context, *options); });
  command->add_option("paths", options->paths, "Paths in the volume")->required()->type_name("PATH");
  command->add_flag("-p,--parents", options->parents, "Make missing parents; existing folders are fine");
}

void add_rm(CLI::App& app, Context& context) {
  auto options = std::make_shared<RmOptions>();
  auto* command = add_command(app, context, "rm", "Remove files, or with -r folders and all below them",
                              [&context, options] { return run_rm(context, *options); });
  command->add_option("paths", options->paths, "Paths in the volume")->required()->type_name("PATH");
  command->add_flag("-r,-R,--recursive", options->recursive, "Folders too, with all that is below them");
  command->add_flag("-f,--force", options->force, "What is not there is no error");
}

void add_mv(CLI::App& app, Context& context) {
  auto words = std::make_shared<std::vector<std::string>>();
  auto* command = add_command(app, context, "mv", "Move or rename files and folders",
                              [&context, words] { return run_mv(context, *words); });
  command->add_option("paths", *words, "SRC... DEST")->required()->expected(2, -1)->type_name("PATH");
}

}  // namespace spatter::doors
