// Expected failures are values: Result<T> carries a T or an Error. Assertions are for our own
// mistakes only and stay on in production.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace spatter {

/// What went wrong, as far as some caller acts on it. Their numbers travel on the wire
/// (docs/PROTOCOL.md): append, never renumber.
enum class Errc : std::uint16_t {
  ok = 0,
  not_found = 1,     ///< the named thing is not there
  exists = 2,        ///< the named thing is there already
  no_space = 3,      ///< a half, the disk or a peer's allowance is full
  corrupt = 4,       ///< bytes do not match their hash, tag or signature
  denied = 5,        ///< the peer or caller may not do this
  unavailable = 6,   ///< too few servers reachable now; may work later
  timeout = 7,       ///< no answer before the deadline
  cancelled = 8,     ///< the caller gave up
  invalid = 9,       ///< bad input: from a peer, a file or a user
  io = 10,           ///< the operating system refused
  newer_format = 11, ///< written by a newer Spatter
  busy = 12,         ///< somebody else has it, or too much is under way
  fenced = 13,       ///< another writer has taken the volume over
  not_directory = 14,
  is_directory = 15,
  not_empty = 16,
};

std::string_view to_string(Errc code);

/// `message` is a sentence fragment for people that names the offending thing
/// ("shard 3 of stripe 9f2c...: leaf 17 does not match").
struct Error {
  Errc code = Errc::invalid;
  std::string message;

  /// The same error with what was being attempted put in front: "attempt: message".
  Error during(std::string_view attempt) const;
};

template <class T = void>
using Result = std::expected<T, Error>;

/// `return fail(Errc::not_found, "no such file: {}", path);`
template <class... Args>
std::unexpected<Error> fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

/// An Error from `errno`, with what was being attempted: "open drive/keyring: Permission denied".
/// ENOSPC and EDQUOT become no_space, ENOENT not_found, EEXIST exists, ENOTDIR, EISDIR and ENOTEMPTY
/// their own codes, all else io.
Error from_errno(int number, std::string_view attempt);

/// Our own mistake: prints the text with file and line and aborts. Never for foreign bytes.
[[noreturn]] void panic(const char* file, int line, std::string_view text);

}  // namespace spatter

#define SPATTER_ASSERT(condition)                                    \
  do {                                                               \
    if (!(condition)) [[unlikely]]                                   \
      ::spatter::panic(__FILE__, __LINE__, "assertion: " #condition); \
  } while (false)

#define SPATTER_CONCAT_(a, b) a##b
#define SPATTER_CONCAT(a, b) SPATTER_CONCAT_(a, b)

/// TRY(auto x, expression) binds the value or returns the error from a function;
/// CO_TRY does so from a coroutine (the expression may hold a co_await). TRY_VOID and CO_TRY_VOID are for Result<void>.
#define TRY(binding, ...)                                                      \
  auto SPATTER_CONCAT(result_, __LINE__) = (__VA_ARGS__);                      \
  if (!SPATTER_CONCAT(result_, __LINE__)) [[unlikely]]                         \
    return std::unexpected(std::move(SPATTER_CONCAT(result_, __LINE__)).error()); \
  binding = std::move(*SPATTER_CONCAT(result_, __LINE__))
#define TRY_VOID(...)                                                   \
  do {                                                                  \
    if (auto result_ = (__VA_ARGS__); !result_) [[unlikely]]            \
      return std::unexpected(std::move(result_).error());               \
  } while (false)
#define CO_TRY(binding, ...)                                                   \
  auto SPATTER_CONCAT(result_, __LINE__) = (__VA_ARGS__);                      \
  if (!SPATTER_CONCAT(result_, __LINE__)) [[unlikely]]                         \
    co_return std::unexpected(std::move(SPATTER_CONCAT(result_, __LINE__)).error()); \
  binding = std::move(*SPATTER_CONCAT(result_, __LINE__))
#define CO_TRY_VOID(...)                                                \
  do {                                                                  \
    auto result_ = (__VA_ARGS__);                                       \
    if (!result_) [[unlikely]]                                          \
      co_return std::unexpected(std::move(result_).error());            \
  } while (false)
