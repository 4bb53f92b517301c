// The functions of fmt that are called from elsewhere, compiled in. Debian has them in a shared
// library only, and loading that, with the C++ library it wants, takes a command longer than its
// work does.
#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <string>

namespace spatter {
namespace {

// Functions that are inline here are emitted where their address is taken.
[[gnu::used]] std::string (*const vformat)(fmt::string_view, fmt::format_args) = &fmt::vformat;
[[gnu::used]] void (*const vprint)(fmt::string_view, fmt::format_args) = &fmt::vprint;
[[gnu::used]] void (*const vprint_to)(std::FILE*, fmt::string_view, fmt::format_args) = &fmt::vprint;
[[gnu::used]] void (*const throw_format_error)(const char*) = &fmt::detail::throw_format_error;
[[gnu::used]] void (*const assert_fail)(const char*, int, const char*) = &fmt::detail::assert_fail;
[[gnu::used]] bool (*const is_printable)(std::uint32_t) = &fmt::detail::is_printable;

}  // namespace
}  // namespace spatter
