// The log: one line per event, written for the person who runs the server. Real sinks and clocks
// are given to the constructor's caller; node logic only speaks to this class.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

namespace spatter {

enum class LogLevel { debug, info, warning, error };

/// Thread-safe if its sink is.
class Log {
 public:
  using Sink = std::function<void(LogLevel, std::string_view line)>;
  Log(LogLevel least, Sink sink) : least_(least), sink_(std::move(sink)) {}
  void set_least(LogLevel least) { least_ = least; }  ///< any thread

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::debug, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::info, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::warning, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::error, format, std::forward<Args>(args)...);
  }

 private:
  template <class... Args>
  void write(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
    if (level < least_) return;
    sink_(level, fmt::format(format, std::forward<Args>(args)...));
  }
  std::atomic<LogLevel> least_;
  Sink sink_;
};

}  // namespace spatter
