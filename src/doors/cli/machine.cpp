#include "cli/machine.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "cli/paths.h"
#include "net/tls_transport.h"

namespace spatter::doors {

namespace fs = std::filesystem;

Result<Machine> Machine::take(const std::string& folder, LogLevel log_least) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return fail(Errc::not_found, "there is no drive at {}: make one with 'spatter init' or 'spatter join'", folder);
  ::umask(0077);  // nothing of a drive is anybody else's to read
  TRY(auto lock, DriveLock::take(folder));
  RealRuntime::Options options;
  options.root = folder;
  options.log_least = log_least;
  TRY(auto runtime, RealRuntime::open(std::move(options)));
  return Machine(folder, std::move(lock), std::move(runtime));
}

Result<Machine> Machine::take_new(const std::string& folder, LogLevel log_least) {
  std::error_code error;
  if (fs::exists(folder, error)) {
    bool drive = fs::exists(folder + "/keyring", error) || fs::exists(folder + "/lock", error);
    if (!fs::is_directory(folder, error)) return fail(Errc::not_directory, "{} is not a folder", folder);
    if (!drive && !fs::is_empty(folder, error))
      return fail(Errc::not_empty, "{} holds other things already: name an empty or new folder for the drive", folder);
  }
  fs::create_directories(fs::absolute(without_slashes(folder)).parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return fail(from_errno(errno, "make the drive's folder " + folder));
  if (::chmod(folder.c_str(), 0700) != 0)
    return fail(from_errno(errno, "keep others out of the drive's folder " + folder));
  return take(folder, log_least);
}

Transport& Machine::connect_as(const SigningKey& server_key) {
  if (!transport_) transport_ = make_tls_transport(*runtime_, server_key);
  return *transport_;
}

Machine::~Machine() {
  if (transport_) runtime_->wait_for(transport_->stop());
}

Result<std::optional<std::string>> passphrase_from(const std::optional<std::string>& file) {
  if (!file) return std::nullopt;
  TRY(auto text, read_text_file(*file, "passphrase"));
  auto line = text.substr(0, text.find('\n'));
  if (line.ends_with('\r')) line.pop_back();
  if (line.empty()) return fail(Errc::invalid, "the passphrase file {} starts with an empty line", *file);
  return line;
}

std::string ask_passphrase() {
  termios before{};
  ::tcgetattr(STDIN_FILENO, &before);
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &silent);
  fmt::print(stderr, "Passphrase of this drive: ");
  std::string line;
  std::getline(std::cin, line);
  fmt::print(stderr, "\n");
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
  return line;
}

Result<Drive> Machine::open(const std::optional<std::string>& passphrase_file) {
  TRY(auto passphrase, passphrase_from(passphrase_file));
  if (!passphrase && ::isatty(STDIN_FILENO) == 1) {
    TRY(bool needed, runtime_->wait_for(drive_needs_passphrase(*runtime_)));
    if (needed) passphrase = ask_passphrase();
  }
  return runtime_->wait_for(open_drive(*runtime_, passphrase));
}

std::vector<std::string> local_hosts() {
  std::vector<std::string> hosts, loopback;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  for (ifaddrs* one = first; one; one = one->ifa_next) {
    if (!one->ifa_addr || !(one->ifa_flags & IFF_UP)) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (one->ifa_addr->sa_family == AF_INET) {
      ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(one->ifa_addr)->sin_addr, text, sizeof text);
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      auto& address = reinterpret_cast<sockaddr_in6*>(one->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&address)) continue;  // means nothing without this machine's scope
      ::inet_ntop(AF_INET6, &address, text, sizeof text);
    } else {
      continue;
    }
    (one->ifa_flags & IFF_LOOPBACK ? loopback : hosts).push_back(text);
  }
  ::freeifaddrs(first);
  hosts.insert(hosts.end(), loopback.begin(), loopback.end());
  return hosts;
}

}  // namespace spatter::doors
