#include "base/memory_disk.h"

#include "disk_path.h"

namespace spatter {
namespace {

constexpr std::size_t sector_bytes = 512;

/// A file or a folder, known by the names that point to it.
struct Node {
  explicit Node(bool is_directory) : is_directory(is_directory) {}
  const bool is_directory;

  // Folders: names as seen now, and as a crash would leave them at worst.
  std::map<std::string, std::shared_ptr<Node>> entries;
  std::map<std::string, std::shared_ptr<Node>> durable_entries;

  // Files: the bytes as seen now; for every sector written since the last sync, what was there.
  Bytes content;
  std::size_t durable_size = 0;
  std::map<std::size_t, std::array<std::uint8_t, sector_bytes>> unsynced;
  bool unreadable = false;
  bool has_name = true;  // else it lives only as long as it is open, and its space is not counted

  void remember(std::size_t begin, std::size_t end) {
    for (std::size_t s = begin / sector_bytes; s * sector_bytes < end; ++s) {
      auto [place, is_new] = unsynced.try_emplace(s);
      if (!is_new) continue;
      place->second.fill(0);
      const std::size_t at = s * sector_bytes;
      if (at < content.size())
        std::memcpy(place->second.data(), content.data() + at,
                    std::min(sector_bytes, content.size() - at));
    }
  }

  void sync() {
    unsynced.clear();
    durable_size = content.size();
  }

  void tear(Random& random, std::uint64_t keep_percent) {
    has_name = true;
    std::size_t size = content.size();
    if (size != durable_size && random.below(100) >= keep_percent) {
      const std::size_t low = std::min(size, durable_size), high = std::max(size, durable_size);
      size = random.below(2) ? durable_size : low + random.below(high - low + 1);
    }
    content.resize(std::max(size, content.size()));
    for (const auto& [sector, before] : unsynced) {
      const std::size_t at = sector * sector_bytes;
      if (at >= content.size() || random.below(100) < keep_percent) continue;
      std::memcpy(content.data() + at, before.data(),
                  std::min(sector_bytes, content.size() - at));
    }
    content.resize(size);
    sync();
  }
};

using NodePtr = std::shared_ptr<Node>;

/// One step on names: set (or, without a node, remove) `name` in `directory`.
struct Change {
  NodePtr directory;
  std::string name;
  NodePtr node;
  bool same_place(const Change& other) const {
    return directory == other.directory && name == other.name;
  }
};

/// What happens wholly or not at all.
using Operation = std::vector<Change>;

bool share_a_name(const Operation& a, const Operation& b) {
  return std::ranges::any_of(a, [&](const Change& x) {
    return std::ranges::any_of(b, [&](const Change& y) { return x.same_place(y); });
  });
}

void apply_durably(const Operation& operation) {
  for (const Change& change : operation) {
    if (change.node)
      change.directory->durable_entries[change.name] = change.node;
    else
      change.directory->durable_entries.erase(change.name);
  }
}

std::uint64_t bytes_below(const Node& node) {
  std::uint64_t sum = node.content.size();
  for (const auto& [name, child] : node.entries) sum += bytes_below(*child);
  return sum;
}

void collect_files(const Node& node, const std::string& prefix, std::vector<std::string>& out) {
  for (const auto& [name, child] : node.entries) {
    if (child->is_directory)
      collect_files(*child, prefix + name + '/', out);
    else
      out.push_back(prefix + name);
  }
}

void settle_after_crash(Node& node, Random& random, std::uint64_t keep_percent) {
  if (!node.is_directory) return node.tear(random, keep_percent);
  node.entries = node.durable_entries;
  for (const auto& [name, child] : node.entries) settle_after_crash(*child, random, keep_percent);
}

DiskEntry entry_of(std::string name, const Node& node) {
  return {std::move(name), node.content.size(), node.is_directory};
}

}  // namespace

struct MemoryDisk::Platter {
  mutable std::mutex mutex;
  NodePtr root = std::make_shared<Node>(true);
  std::vector<Operation> unsynced;  // in the order they happened
  std::uint64_t capacity = 0;
  std::uint64_t used = 0;
  std::uint64_t foreign = 0;
  Work work;
  bool dead = false;

  Result<void> check_alive() const {
    if (dead) return fail(Errc::io, "the disk is gone: its machine has crashed");
    return {};
  }

  Result<NodePtr> find(const std::string& path) const {
    NodePtr node = root;
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      if (!node->is_directory) return fail(Errc::not_directory, "{}: not below a folder", path);
      const auto place = node->entries.find(path.substr(begin, end - begin));
      if (place == node->entries.end()) return fail(Errc::not_found, "{}: no such file", path);
      node = place->second;
      begin = end + 1;
    }
    return node;
  }

  struct Place {
    NodePtr directory;
    std::string name;
    NodePtr node;  // none: the name is free
  };
  Result<Place> place_of(const std::string& path) const {
    if (path.empty()) return fail(Errc::invalid, "the root of the disk cannot be replaced");
    const std::size_t slash = path.rfind('/');
    TRY(NodePtr directory, find(slash == std::string::npos ? "" : path.substr(0, slash)));
    if (!directory->is_directory) return fail(Errc::not_directory, "{}: not below a folder", path);
    std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    const auto place = directory->entries.find(name);
    return Place{directory, name, place == directory->entries.end() ? nullptr : place->second};
  }

  void perform(Operation operation) {
    for (const Change& change : operation) {
      if (change.node)
        change.directory->entries[change.name] = change.node;
      else
        change.directory->entries.erase(change.name);
    }
    unsynced.push_back(std::move(operation));
  }

  /// Makes durable what touched `directory`, and whatever had to happen before that.
  void sync_names(const NodePtr& directory) {
    std::vector<bool> chosen(unsynced.size());
    for (std::size_t i = unsynced.size(); i-- > 0;) {
      chosen[i] = chosen[i] || std::ranges::any_of(unsynced[i], [&](const Change& change) {
                    return change.directory == directory;
                  });
      if (!chosen[i]) continue;
      for (std::size_t j = 0; j < i; ++j)
        if (!chosen[j] && share_a_name(unsynced[i], unsynced[j])) chosen[j] = true;
    }
    std::vector<Operation> left;
    for (std::size_t i = 0; i < unsynced.size(); ++i) {
      if (chosen[i])
        apply_durably(unsynced[i]);
      else
        left.push_back(std::move(unsynced[i]));
    }
    unsynced = std::move(left);
  }

  void lose_unsynced(Random& random) {
    static constexpr std::uint64_t percents[] = {0, 50, 100};
    const std::uint64_t keep_percent = percents[random.below(3)];
    std::vector<Operation> lost;
    for (Operation& operation : unsynced) {
      const bool follows_a_lost_one = std::ranges::any_of(
          lost, [&](const Operation& earlier) { return share_a_name(operation, earlier); });
      if (follows_a_lost_one || random.below(100) >= keep_percent)
        lost.push_back(std::move(operation));
      else
        apply_durably(operation);
    }
    unsynced.clear();
    settle_after_crash(*root, random, keep_percent);
    used = bytes_below(*root);
  }

  void lose_name(Node& node) {
    used -= node.content.size();
    node.has_name = false;
  }

  /// Accounts for a file's new size, or refuses.
  Result<void> resize(Node& node, std::size_t size) {
    if (node.has_name) {
      if (size > node.content.size() && used - node.content.size() + size + foreign > capacity)
        return fail(Errc::no_space, "the disk is full");
      used = used - node.content.size() + size;
    }
    node.content.resize(size);
    return {};
  }
};

namespace {

using Platter = MemoryDisk::Platter;

class MemoryFile final : public File {
 public:
  MemoryFile(std::shared_ptr<Platter> platter, NodePtr node, std::string path, bool writable)
      : platter_(std::move(platter)),
        node_(std::move(node)),
        path_(std::move(path)),
        writable_(writable) {}

  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) override {
    std::lock_guard lock(platter_->mutex);
    TRY_VOID(platter_->check_alive());
    if (node_->unreadable) return fail(Errc::io, "read {}: input/output error", path_);
    if (offset >= node_->content.size()) return 0;
    const std::size_t count = std::min<std::size_t>(out.size(), node_->content.size() - offset);
    if (count > 0) std::memcpy(out.data(), node_->content.data() + offset, count);
    platter_->work.bytes_read += count;
    return count;
  }

  Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
    std::lock_guard lock(platter_->mutex);
    TRY_VOID(may_write("write"));
    if (bytes.empty()) return {};
    const std::size_t end = offset + bytes.size();
    node_->remember(offset, end);
    if (end > node_->content.size()) TRY_VOID(platter_->resize(*node_, end));
    std::memcpy(node_->content.data() + offset, bytes.data(), bytes.size());
    platter_->work.bytes_written += bytes.size();
    return {};
  }

  Result<void> sync() override {
    std::lock_guard lock(platter_->mutex);
    TRY_VOID(platter_->check_alive());
    node_->sync();
    ++platter_->work.syncs;
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    std::lock_guard lock(platter_->mutex);
    TRY_VOID(may_write("truncate"));
    if (size < node_->content.size()) node_->remember(size, node_->content.size());
    return platter_->resize(*node_, size);
  }

  Result<std::uint64_t> size() override {
    std::lock_guard lock(platter_->mutex);
    TRY_VOID(platter_->check_alive());
    return node_->content.size();
  }

 private:
  Result<void> may_write(std::string_view verb) const {
    TRY_VOID(platter_->check_alive());
    if (!writable_) return fail(Errc::io, "{} {}: it was opened for reading", verb, path_);
    return {};
  }

  std::shared_ptr<Platter> platter_;
  NodePtr node_;
  std::string path_;
  bool writable_;
};

}  // namespace

MemoryDisk::MemoryDisk(std::uint64_t capacity_bytes) : MemoryDisk(std::make_shared<Platter>()) {
  platter_->capacity = capacity_bytes;
}

MemoryDisk::MemoryDisk(std::shared_ptr<Platter> platter)
    : platter_(std::move(platter)), vfs_(*this) {}

MemoryDisk::~MemoryDisk() = default;

std::shared_ptr<MemoryDisk::Platter> MemoryDisk::hand_over() {
  auto next = std::make_shared<Platter>();
  std::lock_guard lock(platter_->mutex);
  SPATTER_ASSERT(!platter_->dead);
  platter_->dead = true;
  next->root = std::exchange(platter_->root, std::make_shared<Node>(true));
  next->unsynced = std::exchange(platter_->unsynced, {});
  next->capacity = platter_->capacity;
  next->used = platter_->used;
  next->foreign = platter_->foreign;
  return next;
}

std::unique_ptr<MemoryDisk> MemoryDisk::crash(Random& random) {
  auto next = hand_over();
  next->lose_unsynced(random);
  return std::unique_ptr<MemoryDisk>(new MemoryDisk(std::move(next)));
}

std::unique_ptr<MemoryDisk> MemoryDisk::restart() {
  return std::unique_ptr<MemoryDisk>(new MemoryDisk(hand_over()));
}

void MemoryDisk::set_capacity(std::uint64_t bytes) {
  std::lock_guard lock(platter_->mutex);
  platter_->capacity = bytes;
}

void MemoryDisk::set_foreign_bytes(std::uint64_t bytes) {
  std::lock_guard lock(platter_->mutex);
  platter_->foreign = bytes;
}

std::uint64_t MemoryDisk::capacity_bytes() const {
  std::lock_guard lock(platter_->mutex);
  return platter_->capacity;
}

bool MemoryDisk::flip_bit(const std::string& path, Random& random) {
  std::lock_guard lock(platter_->mutex);
  const auto node = platter_->find(path);
  if (!node || (*node)->content.empty()) return false;
  const std::size_t at = random.below((*node)->content.size());
  const auto bit = static_cast<std::uint8_t>(1u << random.below(8));
  (*node)->content[at] ^= bit;
  const auto before = (*node)->unsynced.find(at / sector_bytes);
  if (before != (*node)->unsynced.end()) before->second[at % sector_bytes] ^= bit;
  return true;
}

void MemoryDisk::set_unreadable(const std::string& path, bool unreadable) {
  std::lock_guard lock(platter_->mutex);
  if (const auto node = platter_->find(path)) (*node)->unreadable = unreadable;
}

std::vector<std::string> MemoryDisk::files() const {
  std::lock_guard lock(platter_->mutex);
  std::vector<std::string> result;
  collect_files(*platter_->root, "", result);
  std::ranges::sort(result);
  return result;
}

MemoryDisk::Work MemoryDisk::take_work() {
  std::lock_guard lock(platter_->mutex);
  return std::exchange(platter_->work, {});
}

std::uint64_t MemoryDisk::used_bytes() const {
  std::lock_guard lock(platter_->mutex);
  return platter_->used;
}

Result<std::unique_ptr<File>> MemoryDisk::open(const std::string& path, OpenMode mode) {
  TRY_VOID(check_disk_path(path));
  std::lock_guard lock(platter_->mutex);
  TRY_VOID(platter_->check_alive());
  if (path.empty()) return fail(Errc::is_directory, "the root is a folder");
  TRY(auto place, platter_->place_of(path));
  const bool may_create = mode == OpenMode::create || mode == OpenMode::create_new;
  if (place.node && mode == OpenMode::create_new)
    return fail(Errc::exists, "{} is there already", path);
  if (!place.node && !may_create) return fail(Errc::not_found, "{}: no such file", path);
  if (!place.node) {
    place.node = std::make_shared<Node>(false);
    platter_->perform({{place.directory, place.name, place.node}});
  }
  if (place.node->is_directory) return fail(Errc::is_directory, "{} is a folder", path);
  return std::make_unique<MemoryFile>(platter_, place.node, path, mode != OpenMode::read);
}

Result<void> MemoryDisk::rename(const std::string& from, const std::string& to) {
  TRY_VOID(check_disk_path(from));
  TRY_VOID(check_disk_path(to));
  std::lock_guard lock(platter_->mutex);
  TRY_VOID(platter_->check_alive());
  TRY(const auto source, platter_->place_of(from));
  TRY(const auto target, platter_->place_of(to));
  if (!source.node) return fail(Errc::not_found, "{}: no such file", from);
  if (target.node == source.node) return {};
  if (target.node) {
    if (target.node->is_directory && !source.node->is_directory)
      return fail(Errc::is_directory, "{} is a folder", to);
    if (!target.node->is_directory && source.node->is_directory)
      return fail(Errc::not_directory, "{} is no folder", to);
    if (!target.node->entries.empty()) return fail(Errc::not_empty, "{} is not empty", to);
    platter_->lose_name(*target.node);
  }
  platter_->perform({{source.directory, source.name, nullptr},
                     {target.directory, target.name, source.node}});
  return {};
}

Result<void> MemoryDisk::remove(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  std::lock_guard lock(platter_->mutex);
  TRY_VOID(platter_->check_alive());
  TRY(const auto place, platter_->place_of(path));
  if (!place.node) return fail(Errc::not_found, "{}: no such file", path);
  if (!place.node->entries.empty()) return fail(Errc::not_empty, "{} is not empty", path);
  platter_->lose_name(*place.node);
  platter_->perform({{place.directory, place.name, nullptr}});
  return {};
}

Result<void> MemoryDisk::make_directories(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  std::lock_guard lock(platter_->mutex);
  TRY_VOID(platter_->check_alive());
  for (std::size_t end = 0; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    TRY(const auto place, platter_->place_of(path.substr(0, end)));
    if (!place.node)
      platter_->perform({{place.directory, place.name, std::make_shared<Node>(true)}});
    else if (!place.node->is_directory)
      return fail(Errc::not_directory, "{} is no folder", path.substr(0, end));
  }
  return {};
}

Result<void> MemoryDisk::sync_directory(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  std::lock_guard lock(platter_->mutex);
  TRY_VOID(platter_->check_alive());
  TRY(const NodePtr node, platter_->find(path));
  if (!node->is_directory) return fail(Errc::not_directory, "{} is no folder", path);
  platter_->sync_names(node);
  ++platter_->work.syncs;
  return {};
}

Result<std::vector<DiskEntry>> MemoryDisk::list(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  std::lock_guard lock(platter_->mutex);
  TRY_VOID(platter_->check_alive());
  TRY(const NodePtr node, platter_->find(path));
  if (!node->is_directory) return fail(Errc::not_directory, "{} is no folder", path);
  std::vector<DiskEntry> entries;
  for (const auto& [name, child] : node->entries) entries.push_back(entry_of(name, *child));
  return entries;
}

Result<DiskEntry> MemoryDisk::stat(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  std::lock_guard lock(platter_->mutex);
  TRY_VOID(platter_->check_alive());
  TRY(const NodePtr node, platter_->find(path));
  return entry_of(path.substr(path.rfind('/') + 1), *node);
}

Result<DiskSpace> MemoryDisk::space() {
  std::lock_guard lock(platter_->mutex);
  TRY_VOID(platter_->check_alive());
  const std::uint64_t used = std::min(platter_->used + platter_->foreign, platter_->capacity);
  return DiskSpace{platter_->capacity, platter_->capacity - used};
}

}  // namespace spatter
