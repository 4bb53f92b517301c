// Input devices and terminals: what the kernel itself knows of somebody's hands.
#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "cycles/user_presence.h"
#include "descriptor.h"

namespace spatter::cycles {

namespace {

std::optional<std::vector<std::string>> names_in(const std::string& folder) {
  DIR* dir = ::opendir(folder.c_str());
  if (!dir) return std::nullopt;
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir)) names.emplace_back(entry->d_name);
  ::closedir(dir);
  return names;
}

/// A laptop's accelerometer stirs with nobody near it.
bool is_accelerometer(int fd) {
  unsigned char properties[(INPUT_PROP_CNT + 7) / 8] = {};
  if (::ioctl(fd, EVIOCGPROP(sizeof properties), properties) < 0) return false;
  return properties[INPUT_PROP_ACCELEROMETER / 8] >> (INPUT_PROP_ACCELEROMETER % 8) & 1;
}

class InputDevices : public PresenceSource {
 public:
  explicit InputDevices(std::string folder) : folder_(std::move(folder)) {}
  std::string_view name() const override { return "input devices"; }
  Duration poll_every() const override { return Duration::max(); }

  void open(TimePoint) override {
    if (!changes_) {
      changes_ = Descriptor(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
      // A new device is made first and becomes readable afterwards.
      if (changes_ && ::inotify_add_watch(changes_.get(), folder_.c_str(), IN_CREATE | IN_ATTRIB | IN_DELETE) < 0)
        changes_ = Descriptor();
    }
    find_devices();
  }

  std::vector<pollfd> watched() override {
    std::vector<pollfd> all;
    if (changes_) all.push_back({changes_.get(), POLLIN, 0});
    for (const auto& [device, fd] : devices_) all.push_back({fd.get(), POLLIN, 0});
    return all;
  }

  Sighting look(TimePoint now) override {
    char buffer[4096];
    bool changed = false;
    while (changes_ && ::read(changes_.get(), buffer, sizeof buffer) > 0) changed = true;
    for (auto device = devices_.begin(); device != devices_.end();) {
      ssize_t n = 0;
      while ((n = ::read(device->second.get(), buffer, sizeof buffer)) > 0) {
        last_seen_ = now;
        last_device_ = device->first;
      }
      const bool gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
      device = gone ? devices_.erase(device) : std::next(device);
    }
    if (changed) find_devices();
    Sighting sighting{.last_seen = last_seen_, .works = !devices_.empty()};
    if (last_seen_) sighting.what = "key or pointer (" + last_device_ + ")";
    else if (!devices_.empty()) sighting.what = fmt::format("{} devices, no event yet", devices_.size());
    else if (unreadable_ > 0)
      sighting.what = fmt::format("none of the {} devices in {} may be read (join the group input)", unreadable_, folder_);
    else sighting.what = "no device in " + folder_;
    return sighting;
  }

 private:
  void find_devices() {
    unreadable_ = 0;
    const auto names = names_in(folder_);
    if (!names) return;
    for (const std::string& name : *names) {
      if (!name.starts_with("event") || devices_.contains(name)) continue;
      Descriptor fd(::open((folder_ + "/" + name).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
      if (!fd) ++unreadable_;
      else if (!is_accelerometer(fd.get())) devices_.emplace(name, std::move(fd));
    }
  }

  const std::string folder_;
  Descriptor changes_;
  std::map<std::string, Descriptor> devices_;
  unsigned unreadable_ = 0;
  std::optional<TimePoint> last_seen_;
  std::string last_device_;
};

class Terminals : public PresenceSource {
 public:
  explicit Terminals(std::vector<std::string> folders) : folders_(std::move(folders)) {}
  std::string_view name() const override { return "terminals"; }
  std::vector<pollfd> watched() override { return {}; }
  Duration poll_every() const override { return std::chrono::milliseconds(100); }

  void open(TimePoint now) override {
    timespec wall{};
    ::clock_gettime(CLOCK_REALTIME, &wall);
    for (const auto& [path, accessed] : access_times()) {
      const Duration age = std::chrono::seconds(wall.tv_sec) + Duration(wall.tv_nsec) - accessed;
      if (age >= Duration(0) && now - age > last_seen_.value_or(TimePoint::min())) saw(path, now - age);
    }
    known_ = access_times();
  }

  Sighting look(TimePoint now) override {
    auto found = access_times();
    for (const auto& [path, accessed] : found) {
      const auto known = known_.find(path);
      // Not "later than": the clock that these times are from may have been set back.
      if (known == known_.end() || known->second != accessed) saw(path, now);
    }
    known_ = std::move(found);
    Sighting sighting{.last_seen = last_seen_, .works = !known_.empty()};
    sighting.what = known_.empty() ? "no terminal" : last_seen_ ? "typing on " + last_path_ : "nobody typed";
    return sighting;
  }

 private:
  void saw(const std::string& path, TimePoint when) {
    last_seen_ = when;
    last_path_ = path;
  }

  std::map<std::string, Duration> access_times() const {
    std::map<std::string, Duration> times;
    for (const std::string& folder : folders_) {
      const auto names = names_in(folder);
      if (!names) continue;
      for (const std::string& name : *names) {
        const std::string_view number = name.starts_with("tty") ? std::string_view(name).substr(3) : name;
        // tty0 is whichever is in front, and says nothing of its own.
        if (number.empty() || number.find_first_not_of("0123456789") != number.npos || name == "tty0") continue;
        struct stat info {};
        const std::string path = folder + "/" + name;
        if (::stat(path.c_str(), &info) == 0)
          times[path] = std::chrono::seconds(info.st_atim.tv_sec) + Duration(info.st_atim.tv_nsec);
      }
    }
    return times;
  }

  const std::vector<std::string> folders_;
  std::map<std::string, Duration> known_;
  std::optional<TimePoint> last_seen_;
  std::string last_path_;
};

}  // namespace

std::unique_ptr<PresenceSource> input_devices(std::string folder) {
  return std::make_unique<InputDevices>(std::move(folder));
}

std::unique_ptr<PresenceSource> terminals(std::vector<std::string> folders) {
  return std::make_unique<Terminals>(std::move(folders));
}

}  // namespace spatter::cycles
