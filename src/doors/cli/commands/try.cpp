// spatter try: a whole network of real server processes on this machine, real files, and servers
// that die. Tells what it does; its exit status says whether every byte came back.
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <fstream>
#include <random>

#include "cli/child_process.h"
#include "cli/compare_trees.h"
#include "cli/paths.h"

namespace spatter::doors {

namespace {

namespace fs = std::filesystem;

struct TryOptions {
  unsigned servers = 7;
  unsigned kill = 4;
  std::string data;
  bool keep = false;
};

constexpr std::uint64_t default_data_bytes = 256 << 20;
constexpr std::uint64_t default_files_max = 6000;

class Story {
 public:
  explicit Story(const TryOptions& options) : options_(options) {}
  ~Story();
  Result<void> tell();

 private:
  Result<void> choose_data();
  Result<void> build_network();
  Result<void> wait_until_all_up();
  Result<void> store();
  Result<void> kill_some();
  Result<void> fetch_and_compare(const std::string& drive, const std::string& where, bool remote, const char* who);
  Result<void> lose_own_machine();
  Result<Json> ask(const std::string& drive, const Json& request);
  std::string drive(unsigned number) const { return folder_ + "/server-" + std::to_string(number); }
  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) {
    fmt::print("{}\n", fmt::format(format, std::forward<Args>(args)...));
    std::fflush(stdout);
  }

  TryOptions options_;
  std::string folder_;
  std::vector<std::string> sources_;
  std::uint64_t data_bytes_ = 0;
  std::vector<ChildServer> servers_;
  std::optional<ChildServer> reborn_;
};

double since(std::chrono::steady_clock::time_point begun) {
  return std::max(1e-3, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
}

std::string rate(std::uint64_t bytes, double seconds) {
  return fmt::format("{:.1f} s, {:.0f} MB/s", seconds, static_cast<double>(bytes) / 1e6 / seconds);
}

struct Extent {
  std::uint64_t bytes = 0, files = 0;
};

/// What is below `path`; nullopt when something in it can't be read or stored.
std::optional<Extent> size_of(const fs::path& path) {
  std::error_code error;
  auto status = fs::symlink_status(path, error);
  if (error) return std::nullopt;
  if (fs::is_symlink(status) || fs::is_other(status)) return Extent{0, 1};
  if (::access(path.c_str(), R_OK) != 0) return std::nullopt;
  if (fs::is_regular_file(status)) return Extent{fs::file_size(path, error), 1};
  if (!fs::is_directory(status)) return std::nullopt;
  Extent sum;
  for (auto& entry : fs::directory_iterator(path, error)) {
    auto part = size_of(entry.path());
    if (!part) return std::nullopt;
    sum.bytes += part->bytes;
    sum.files += part->files;
  }
  if (error) return std::nullopt;
  return sum;
}

void clear_away(const std::string& folder, bool keep) {
  if (keep) {
    fmt::print("Kept: {} (drives, logs, what was read back)\n", folder);
    std::fflush(stdout);
    return;
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

Story::~Story() {
  servers_.clear();
  reborn_.reset();
  if (!folder_.empty()) clear_away(folder_, options_.keep);
}

Result<void> Story::choose_data() {
  if (!options_.data.empty()) {
    auto size = size_of(options_.data);
    if (!size) return fail(Errc::invalid, "{} can't be read whole", options_.data);
    sources_ = {options_.data};
    data_bytes_ = size->bytes;
    return {};
  }
  std::error_code error;
  std::vector<fs::path> candidates;
  for (auto& entry : fs::directory_iterator("/usr/share", error)) candidates.push_back(entry.path());
  std::sort(candidates.begin(), candidates.end());
  std::uint64_t files = 0;
  for (auto& path : candidates) {
    auto size = size_of(path);
    if (!size || size->bytes == 0 || data_bytes_ + size->bytes > default_data_bytes ||
        files + size->files > default_files_max)
      continue;
    sources_.push_back(path.string());
    data_bytes_ += size->bytes;
    files += size->files;
  }
  if (sources_.empty()) return fail(Errc::not_found, "nothing readable below /usr/share: name a folder with --data");
  return {};
}

Result<Json> Story::ask(const std::string& drive, const Json& request) {
  TRY(auto client, ControlClient::connect(drive));
  return client.request(request);
}

Result<void> Story::wait_until_all_up() {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (unsigned number = 0; number < servers_.size(); ++number) {
    for (;;) {
      TRY(auto status, ask(drive(number), {{"op", "status"}}));
      if (status.value("servers_up", 0u) >= servers_.size()) break;
      if (std::chrono::steady_clock::now() > until)
        return fail(Errc::timeout, "server {} still sees only {} of {} servers", number,
                    status.value("servers_up", 0u), servers_.size());
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  return {};
}

Result<void> Story::build_network() {
  auto begun = std::chrono::steady_clock::now();
  struct statvfs space {};
  if (::statvfs(folder_.c_str(), &space) != 0) return fail(from_errno(errno, "look at " + folder_));
  // Room for four times the data in all, spread over both halves of every drive, and some air.
  std::uint64_t size = 8 * data_bytes_ + (std::uint64_t{1} << 30);
  std::uint64_t free = std::uint64_t{space.f_bavail} * space.f_frsize;
  if (free < 5 * data_bytes_ + (std::uint64_t{1} << 30))
    return fail(Errc::no_space, "{} has {} free, and {} of data need about {}: set TMPDIR to a larger disk or give less with --data",
                folder_, bytes_text(free), bytes_text(data_bytes_), bytes_text(5 * data_bytes_ + (std::uint64_t{1} << 30)));
  std::string size_text = std::to_string(size);
  TRY(auto made, run_self({"--drive", drive(0), "init", "--size", size_text, "--json"}));
  auto words = Json::parse(made, nullptr, false).value("words", "");
  std::ofstream(folder_ + "/words") << words << "\n";
  ::chmod((folder_ + "/words").c_str(), 0600);
  TRY(auto first, ChildServer::start(drive(0)));
  servers_.push_back(std::move(first));
  for (unsigned number = 1; number < options_.servers; ++number) {
    TRY(auto invite, ask(drive(0), {{"op", "invite"}, {"valid_seconds", 3600}}));
    TRY(auto joined, run_self({"--drive", drive(number), "join", invite.value("link", ""), "--size", size_text}));
    TRY(auto server, ChildServer::start(drive(number)));
    servers_.push_back(std::move(server));
  }
  TRY_VOID(wait_until_all_up());
  say("{} servers of {} people are up and know one another ({:.1f} s).", options_.servers, options_.servers, since(begun));
  return {};
}

Result<void> Story::store() {
  std::vector<std::string> command = {"--drive", drive(0), "put"};
  for (auto& source : sources_) command.push_back(source);
  TRY(auto made, run_self({"--drive", drive(0), "mkdir", "/try"}));
  command.push_back("/try");
  command.insert(command.end(), {"--wait", "full"});
  auto begun = std::chrono::steady_clock::now();
  TRY(auto done, run_self(command));
  double seconds = since(begun);
  TRY(auto status, ask(drive(0), {{"op", "status"}}));
  say("Stored {} in {} files and spattered three copies' worth over {} others: {}.", bytes_text(data_bytes_),
      status.value("files", std::uint64_t{0}), options_.servers - 1, rate(data_bytes_, seconds));
  say("  {} stripes, the widest of {} shards of which any {} are enough; {} more servers may die, whichever.",
      status["stripes"].value("total", std::uint64_t{0}), 3 * status.value("widest_k", 0u),
      status.value("widest_k", 0u), status.value("can_lose", 0u));
  return {};
}

Result<void> Story::kill_some() {
  std::mt19937 chance(std::random_device{}());
  std::vector<unsigned> others;
  for (unsigned number = 1; number < servers_.size(); ++number) others.push_back(number);
  std::shuffle(others.begin(), others.end(), chance);
  others.resize(std::min<std::size_t>(others.size(), options_.kill));
  std::sort(others.begin(), others.end());
  std::string names;
  for (unsigned number : others) {
    servers_[number].kill_hard();
    std::error_code ignored;
    fs::remove_all(drive(number), ignored);
    names += (names.empty() ? "" : ", ") + std::to_string(number);
  }
  say("Killed with SIGKILL and wiped: servers {} of 1 to {}.", names, options_.servers - 1);
  return {};
}

Result<void> Story::fetch_and_compare(const std::string& from, const std::string& where, bool remote, const char* who) {
  std::error_code ignored;
  fs::create_directories(where, ignored);
  std::vector<std::string> command = {"--drive", from, "get", "/try", where};
  if (remote) command.push_back("--remote");
  auto begun = std::chrono::steady_clock::now();
  TRY(auto done, run_self(command));
  double seconds = since(begun);
  std::uint64_t files = 0, bytes = 0;
  for (auto source : sources_) {
    while (source.size() > 1 && source.ends_with('/')) source.pop_back();
    TRY(auto result, compare_trees(source, where + "/try/" + base_name(source)));
    if (!result.same()) {
      for (auto& line : result.differences) fmt::print(stderr, "  {}\n", printable_text(line));
      return fail(Errc::corrupt, "what came back is not what was stored");
    }
    files += result.files;
    bytes += result.bytes;
  }
  say("{}: {}; {} files compared, every byte the same.", who, rate(bytes, seconds), files);
  return {};
}

Result<void> Story::lose_own_machine() {
  std::string survivor;
  for (unsigned number = 1; number < servers_.size(); ++number)
    if (servers_[number].alive()) survivor = drive(number);
  if (survivor.empty()) return {};
  servers_[0].kill_hard();
  std::error_code ignored;
  fs::remove_all(drive(0), ignored);
  say("Killed and wiped the owner's own machine too. What is left of it: 24 words.");
  TRY(auto invite, ask(survivor, {{"op", "invite"}, {"valid_seconds", 3600}}));
  std::string reborn = folder_ + "/reborn";
  auto begun = std::chrono::steady_clock::now();
  TRY(auto done, run_self({"--drive", reborn, "recover", invite.value("link", ""), "--words-file", folder_ + "/words",
                           "--size", std::to_string(8 * data_bytes_ + (std::uint64_t{1} << 30))}));
  TRY(auto server, ChildServer::start(reborn));
  reborn_ = std::move(server);
  say("A new machine has the volume back from the words and one member's link ({:.1f} s).", since(begun));
  return fetch_and_compare(reborn, folder_ + "/back-2", false, "Read everything back on the new machine");
}

Result<void> Story::tell() {
  const char* base = std::getenv("TMPDIR");
  std::string pattern = std::string(base && *base ? base : "/var/tmp") + "/spatter-try-XXXXXX";
  if (!::mkdtemp(pattern.data())) return fail(from_errno(errno, "make a folder like " + pattern));
  folder_ = pattern;
  clean_up_when_stopped([folder = folder_, keep = options_.keep] { clear_away(folder, keep); });
  TRY_VOID(choose_data());
  TRY_VOID(build_network());
  TRY_VOID(store());
  TRY_VOID(kill_some());
  TRY_VOID(fetch_and_compare(drive(0), folder_ + "/back-1", true, "Read everything back from the servers left"));
  TRY_VOID(lose_own_machine());
  say("Nothing was lost.");
  return {};
}

Result<void> run(const TryOptions& options) {
  if (options.kill >= options.servers)
    return fail(Errc::invalid, "--kill {} leaves nobody of --servers {} to read from", options.kill, options.servers);
  Story story(options);
  return story.tell();
}

}  // namespace

void add_try(CLI::App& app, Context& context) {
  auto options = std::make_shared<TryOptions>();
  auto* command = add_command(app, context, "try", "See a network of real servers on this machine lose machines and no file",
                              [options] { return run(*options); });
  command->add_option("--servers", options->servers, "How many servers")->check(CLI::Range(2, 64))->capture_default_str();
  command->add_option("--kill", options->kill, "How many of the others to kill and wipe")->check(CLI::Range(0, 63))->capture_default_str();
  command->add_option("--data", options->data, "A folder of files to store; default: some of /usr/share")->check(CLI::ExistingPath)->type_name("DIR");
  command->add_flag("--keep", options->keep, "Leave the temporary folder (drives, logs) behind");
}

}  // namespace spatter::doors
