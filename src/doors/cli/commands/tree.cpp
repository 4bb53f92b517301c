// spatter ls, du, mkdir, rm, mv: looking at and arranging the volume.
#include <sys/sysmacros.h>
#include <unistd.h>

#include <ctime>
#include <iostream>
#include <set>

#include "cli/failures.h"
#include "cli/paths.h"

namespace spatter::doors {

namespace {

char type_letter(const VolumeStat& stat) {
  if (stat.is_symlink()) return 'l';
  if (stat.is_file()) return '-';
  return stat.type == "fifo" ? 'p' : stat.type[0];
}

std::string mode_text(const VolumeStat& stat) {
  std::string text(1, type_letter(stat));
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
  if (entry.stat.is_symlink()) put_name(one, "target", entry.stat.target);
  if (entry.stat.safety.is_object()) one["safety"] = entry.stat.safety;
  if (entry.stat.device != 0)
    one["device"] = {{"major", major(entry.stat.device)}, {"minor", minor(entry.stat.device)}};
  return one;
}

/// "any 4  < 1e-12" : so many more servers may die, and how likely it is that it is lost within a day.
std::string safety_text(const Json& safety) {
  if (!safety.is_object()) return fmt::format("{:>9} {:>8}", "-", "-");
  const auto level = safety.value("level", "");
  if (level == "here") return fmt::format("{:>9} {:>8}", "here only", chance_text(safety.value("loss_per_day", 1.0)));
  if (level == "lost") return fmt::format("{:>9} {:>8}", "lost", "-");
  return fmt::format("{:>9} {:>8}", fmt::format("any {}", safety.value("can_lose", 0u)),
                     chance_text(safety.value("loss_per_day", 1.0)));
}

void print_entry(const VolumeEntry& entry, bool long_form, bool safety) {
  std::string name = printable(entry.name) + (entry.stat.is_directory() ? "/" : "");
  if (!long_form) {
    fmt::print("{}\n", name);
    return;
  }
  if (entry.stat.is_symlink()) name += " -> " + printable(entry.stat.target);
  const std::string size = entry.stat.device == 0
                               ? std::to_string(entry.stat.size)
                               : fmt::format("{}, {}", major(entry.stat.device), minor(entry.stat.device));
  fmt::print("{} {:>3} {:>12} {} {}{}\n", mode_text(entry.stat), entry.stat.links, size,
             time_text(entry.stat.mtime_ns), safety ? safety_text(entry.stat.safety) + " " : "", name);
}

struct LsOptions {
  std::vector<std::string> paths = {"/"};
  bool long_form = false;
  bool safety = false;
};

/// Prints the document of a command that looked at several paths; what it found is in it even when
/// it could not look at all of them.
void print_found(const Context& context, Json found, const Failures& failures) {
  auto error = failures.error();
  if (!error) return context.print(found);
  Json answer = error_json(*error);
  answer["found"] = std::move(found);
  context.print(answer);
}

/// Like ls, a link to a folder counts as that folder, but not with -l.
Result<VolumePlace> find_listed(ControlClient& client, const std::string& text, bool long_form) {
  TRY(auto place, find_volume(client, text, LastLink::keep));
  if (long_form || !place.stat->is_symlink()) return place;
  auto target = resolve_volume(client, text, LastLink::follow);
  return target && target->is_directory() ? std::move(*target) : std::move(place);
}

struct Listed {
  std::string path;
  std::vector<VolumeEntry> entries;
};

void print_listed(const std::vector<VolumeEntry>& single, const std::vector<Listed>& folders, bool headers,
                  const LsOptions& options) {
  for (auto& entry : single) print_entry(entry, options.long_form, options.safety);
  bool first = single.empty();
  for (auto& folder : folders) {
    if (headers) fmt::print("{}{}:\n", first ? "" : "\n", printable(folder.path));
    first = false;
    for (auto& entry : folder.entries) print_entry(entry, options.long_form, options.safety);
  }
}

Result<void> run_ls(const Context& context, const LsOptions& options) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  Failures failures("ls");
  Json all = Json::array();
  std::vector<VolumeEntry> single;
  std::vector<Listed> folders;
  for (auto& text : options.paths) {
    auto place = find_listed(client, text, options.long_form);
    auto entries = place && place->is_directory() ? list_volume(client, place->path, false, options.safety) : std::vector<VolumeEntry>();
    if (!place || !entries) {
      failures.add(!place ? place.error() : entries.error().during(text));
    } else if (place->is_directory()) {
      for (auto& entry : *entries) all.push_back(entry_json(entry, join_path(place->path, entry.name)));
      folders.push_back({text, std::move(*entries)});
    } else {
      if (options.safety) {
        const auto asked = client.request({{"op", "resolve"}, {"path", to_binary(place->path)}, {"safety", true}});
        if (asked && asked->contains("safety")) place->stat->safety = (*asked)["safety"];
      }
      VolumeEntry entry{options.paths.size() > 1 ? text : base_name(place->path), *place->stat};
      all.push_back(entry_json({base_name(place->path), *place->stat}, place->path));
      single.push_back(std::move(entry));
    }
  }
  if (context.json) print_found(context, std::move(all), failures);
  else print_listed(single, folders, options.paths.size() > 1, options);
  return failures.result();
}

struct Usage {
  std::uint64_t bytes = 0, files = 0, folders = 0;
};

Result<Usage> measure(ControlClient& client, const std::string& path, const VolumeStat& stat,
                      std::set<std::uint64_t>& seen) {
  if (!stat.is_directory()) {
    Usage one{stat.is_file() ? stat.size : 0, 1, 0};
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
  stop_when_output_closes();
  TRY(auto client, context.connect());
  Failures failures("du");
  Json all = Json::array();
  for (auto& text : paths) {
    std::set<std::uint64_t> seen;
    auto place = find_volume(client, text, LastLink::keep);
    auto usage = place ? measure(client, place->path, *place->stat, seen) : Result<Usage>(fail(place.error()));
    if (!usage) {
      failures.add(usage.error());
      continue;
    }
    Json one = {{"bytes", usage->bytes}, {"files", usage->files}, {"folders", usage->folders}};
    put_name(one, "path", place->path);
    if (context.json) all.push_back(one);
    else fmt::print("{:>10}  {} files  {}\n", bytes_text(usage->bytes), usage->files, printable(place->path));
  }
  if (context.json) print_found(context, std::move(all), failures);
  return failures.result();
}

struct MkdirOptions {
  std::vector<std::string> paths;
  bool parents = false;
};

Result<void> make_folder(ControlClient& client, const std::string& text, bool parents) {
  TRY(auto place, resolve_volume(client, text, LastLink::follow));
  if (place.dangling) return fail(Errc::exists, "{} is a link to {}, which is not there", text, place.path);
  auto now = std::chrono::system_clock::now().time_since_epoch();
  Json request = {{"op", "mkdir"}, {"path", to_binary(place.path)}, {"mode", 0755}, {"uid", ::getuid()}, {"gid", ::getgid()},
                  {"mtime_ns", std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()},
                  {"parents", parents}, {"keep_existing", parents}};
  TRY(auto done, client.request(request));
  (void)done;
  return {};
}

Result<void> run_mkdir(const Context& context, const MkdirOptions& options) {
  TRY(auto client, context.connect());
  Failures failures("mkdir");
  for (auto& text : options.paths)
    if (auto done = make_folder(client, text, options.parents); !done) failures.add(done.error());
  return failures.result();
}

struct RmOptions {
  std::vector<std::string> paths;
  bool recursive = false;
  bool force = false;
};

Result<void> remove_one(ControlClient& client, const std::string& text, const RmOptions& options) {
  const std::string stripped = without_slashes(text);
  TRY(auto path, volume_path(stripped));
  if (path == "/") return fail(Errc::invalid, "the top of the volume, {}, can't be removed", text);
  if (!given_name(path)) return fail(Errc::invalid, "{}: '.' and '..' are not removed", text);
  TRY(auto place, resolve_volume(client, stripped, LastLink::keep));
  if (!place.stat && options.force) return {};
  if (!place.stat) return fail(Errc::not_found, "{}: there is no such file or folder", text);
  if (stripped != text && !place.is_directory()) return fail(Errc::not_directory, "{}: not a directory", text);
  TRY(auto done, client.request({{"op", "remove"}, {"path", to_binary(place.path)}, {"recursive", options.recursive}}));
  (void)done;
  return {};
}

Result<void> run_rm(const Context& context, const RmOptions& options) {
  TRY(auto client, context.connect());
  Failures failures("rm");
  for (auto& text : options.paths)
    if (auto done = remove_one(client, text, options); !done) failures.add(done.error());
  return failures.result();
}

/// Where things are moved: into a folder, or to a name.
struct MoveTarget {
  std::string text;
  VolumePlace place;
  std::set<std::string> taken;  ///< names that this command has given already
};

Result<MoveTarget> move_target(ControlClient& client, const std::string& text, std::size_t sources) {
  TRY(auto place, resolve_volume(client, text, LastLink::follow));
  if (!place.is_directory()) {
    if (sources > 1) return fail(Errc::not_directory, "{} is not a folder, and {} sources were given", text, sources);
    TRY(place, resolve_volume(client, text, LastLink::keep));  // a link is replaced, not what it leads to
  }
  return MoveTarget{text, std::move(place), {}};
}

Result<void> move_one(ControlClient& client, const std::string& text, MoveTarget& dest) {
  const std::string stripped = without_slashes(text);
  auto name = given_name(stripped);
  if (!name) return fail(Errc::invalid, "{} can't be moved", text);
  TRY(auto source, find_volume(client, stripped, LastLink::keep));
  const bool is_folder = source.is_directory();
  if (stripped != text && !is_folder) return fail(Errc::not_directory, "{}: not a directory", text);
  if (!dest.place.is_directory() && dest.text.ends_with('/') && !is_folder)
    return fail(Errc::not_directory, "{}: not a directory", dest.text);
  const std::string target = dest.place.is_directory() ? join_path(dest.place.path, *name) : dest.place.path;
  if (dest.taken.contains(target)) return fail(Errc::exists, "will not overwrite just-created {} with {}", target, text);
  TRY(auto done, client.request({{"op", "rename"}, {"from", to_binary(source.path)}, {"to", to_binary(target)}}));
  (void)done;
  dest.taken.insert(target);
  return {};
}

Result<void> run_mv(const Context& context, const std::vector<std::string>& words) {
  TRY(auto client, context.connect());
  TRY(auto dest, move_target(client, words.back(), words.size() - 1));
  Failures failures("mv");
  for (std::size_t i = 0; i + 1 < words.size(); ++i)
    if (auto done = move_one(client, words[i], dest); !done) failures.add(done.error());
  return failures.result();
}

}  // namespace

void add_ls(CLI::App& app, Context& context) {
  auto options = std::make_shared<LsOptions>();
  auto* command = add_command(app, context, "ls", "List files and folders",
                              [&context, options] { return run_ls(context, *options); });
  command->add_option("paths", options->paths, "Paths in the volume; default: its top")->type_name("PATH");
  command->add_flag("-l,--long", options->long_form, "With mode, links, size and time");
  command->add_flag("--safety", options->safety, "With -l or --json also how many more servers may die before a file is lost, and how likely that is within a day");
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
