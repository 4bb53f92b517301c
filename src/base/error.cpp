#include "base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace spatter {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::ok: return "ok";
    case Errc::not_found: return "not found";
    case Errc::exists: return "exists";
    case Errc::no_space: return "no space";
    case Errc::corrupt: return "corrupt";
    case Errc::denied: return "denied";
    case Errc::unavailable: return "unavailable";
    case Errc::timeout: return "timeout";
    case Errc::cancelled: return "cancelled";
    case Errc::invalid: return "invalid";
    case Errc::io: return "input/output";
    case Errc::newer_format: return "newer format";
    case Errc::busy: return "busy";
    case Errc::fenced: return "fenced";
    case Errc::not_directory: return "not a directory";
    case Errc::is_directory: return "is a directory";
    case Errc::not_empty: return "not empty";
  }
  return "unknown";
}

Error Error::during(std::string_view attempt) const {
  return {code, fmt::format("{}: {}", attempt, message)};
}

namespace {

Errc code_of_errno(int number) {
  switch (number) {
    case ENOSPC:
    case EDQUOT: return Errc::no_space;
    case ENOENT: return Errc::not_found;
    case EEXIST: return Errc::exists;
    case ENOTDIR: return Errc::not_directory;
    case EISDIR: return Errc::is_directory;
    case ENOTEMPTY: return Errc::not_empty;
    default: return Errc::io;
  }
}

}  // namespace

Error from_errno(int number, std::string_view attempt) {
  char text[128];
  // The GNU form: the returned pointer need not be `text`.
  const char* reason = strerror_r(number, text, sizeof text);
  return {code_of_errno(number), fmt::format("{}: {}", attempt, reason)};
}

void panic(const char* file, int line, std::string_view text) {
  std::fprintf(stderr, "spatter: %s:%d: %.*s\n", file, line, static_cast<int>(text.size()),
               text.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace spatter
