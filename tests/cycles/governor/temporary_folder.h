#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/error.h"

namespace spatter::cycles {

/// Gone with its contents at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/spatter-governor-XXXXXX";
    SPATTER_ASSERT(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  void write(const std::string& name, const std::string& text) const { std::ofstream(path_ + "/" + name) << text; }
  std::string read(const std::string& name) const {
    std::ifstream file(path_ + "/" + name);
    return std::string((std::istreambuf_iterator<char>(file)), {});
  }

 private:
  std::string path_;
};

}  // namespace spatter::cycles
