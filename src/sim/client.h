// A person at work: puts, gets, renames and removes files on one server, and keeps the model of what
// was acknowledged. Whatever it reads must be what the model allows.
#pragma once

#include "fleet.h"
#include "model.h"

namespace spatter::sim {

/// Collects what went wrong in a run.
struct Problems {
  std::vector<std::string> list;
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    if (list.size() < 100) list.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
};

struct ClientOptions {
  std::uint64_t file_bytes_max = 4 << 20;
  unsigned paths = 12;          ///< it works on so many
  bool puts_only = false;
  std::function<void(unsigned server)> on_safe;  ///< called when a put is as safe as it was to be
};

class Client {
 public:
  Client(World& world, Fleet& fleet, Problems& problems, unsigned server, unsigned number,
         ClientOptions options);

  Task<void> work(unsigned operations);
  /// Every path reads as the model allows, whole; afterwards the model holds what was found.
  Task<void> verify(ReadFrom from);

  unsigned server() const { return server_; }
  const Model& model() const { return model_; }
  std::uint64_t operations() const { return operations_; }
  std::uint64_t acknowledged() const { return acknowledged_; }

 private:
  using Change = std::function<Task<Result<PackPosition>>(Server&)>;
  enum class End { acknowledged, refused, unknown };
  Task<End> change(Change change, Level level);
  Task<void> put(std::string path);
  Task<void> rename(std::string from, std::string to);
  Task<void> remove(std::string path);
  Task<bool> read(std::string path, ReadFrom from, bool must_work);
  std::string any_path();
  void refused(std::string_view verb, const std::string& path, const Error& error);

  World& world_;
  Fleet& fleet_;
  Problems& problems_;
  const unsigned server_;
  const std::string folder_;
  const ClientOptions options_;
  Model model_;
  std::optional<Error> last_error_;
  std::uint64_t operations_ = 0;
  std::uint64_t acknowledged_ = 0;
};

}  // namespace spatter::sim
