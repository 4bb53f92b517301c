#include "cycles/pool_address.h"

#include <algorithm>
#include <cctype>

#include "printable.h"

namespace spatter::mining {
namespace {

constexpr std::size_t user_bytes_max = 128;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

bool all_of(std::string_view text, int (*is)(int)) {
  return std::ranges::all_of(text, [&](char c) { return is(static_cast<unsigned char>(c)) != 0; });
}

bool is_base58(std::string_view text) {
  return all_of(text, std::isalnum) && text.find_first_of("0OIl") == std::string_view::npos;
}

/// What kind of secret the text looks like; empty when like none.
std::string_view secret_in(std::string_view text) {
  std::size_t words = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = text.find_first_not_of(" \t\r\n,;", at);
    if (begin == std::string_view::npos) break;
    at = std::min(text.find_first_of(" \t\r\n,;", begin), text.size());
    if (all_of(text.substr(begin, at - begin), std::isalpha)) ++words;
  }
  if (words >= 12) return "the words that a wallet is recovered with";
  // A key may stand before or behind a worker's name.
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \t\r\n.:/,;_-+=", at), text.size());
    const std::string_view part = text.substr(at, end - at);
    at = end + 1;
    if ((part.size() == 51 || part.size() == 52) && is_base58(part) &&
        std::string_view("5KL9c").find(part[0]) != std::string_view::npos)
      return "a private key (WIF)";
    if (part.size() > 100 && part.substr(1).starts_with("prv") && is_base58(part))
      return "an extended private key";
    if ((part.size() == 64 || (part.size() == 66 && lower(part).starts_with("0x"))) &&
        all_of(part.substr(part.size() - 64), std::isxdigit))
      return "a private key (64 hexadecimal digits)";
  }
  return {};
}

}  // namespace

Result<Address> parse_pool_address(std::string_view text) {
  auto bad = [&](std::string_view why) {
    return fail(Errc::invalid, "\"{}\" is no pool's address (stratum+tcp://HOST:PORT): {}",
                printable(text, 200), why);
  };
  if (text.empty()) return fail(Errc::invalid, "the pool's address is missing (stratum+tcp://HOST:PORT)");
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos) return bad("it does not begin with stratum+tcp://");
  const std::string scheme = lower(text.substr(0, colon));
  if (scheme == "stratum+ssl" || scheme == "stratum+tls" || scheme == "stratums")
    return bad("pools over TLS are not supported; use the pool's plain port");
  if (scheme == "stratum2+tcp") return bad("Stratum V2 is not supported; use the pool's V1 port");
  if (scheme != "stratum+tcp") return bad("it does not begin with stratum+tcp://");
  std::string_view rest = text.substr(colon + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('@') != std::string_view::npos) return bad("the user is named by --user");
  if (rest.find_first_of("/?#") != std::string_view::npos) return bad("a pool has no path");
  auto address = Address::parse(rest);
  if (!address) {
    const std::string& message = address.error().message;
    const std::size_t why = message.rfind("): ");
    return bad(why == std::string::npos ? std::string_view(message)
                                        : std::string_view(message).substr(why + 3));
  }
  if (address->port == 0) return bad("port 0 is none");
  return address;
}

Result<void> check_pool_user(std::string_view user) {
  if (user.empty())
    return fail(Errc::invalid,
                "the pool's user is missing: most pools take a bitcoin address, or the name of an account");
  if (const std::string_view secret = secret_in(user); !secret.empty())
    return fail(Errc::invalid,
                "the user looks like {}: whoever has that can spend what is in the wallet, and a pool "
                "never needs it. It was not stored and not sent. Name the address that shall be paid, "
                "or the account at the pool",
                secret);
  if (user.size() > user_bytes_max)
    return fail(Errc::invalid, "the pool's user is longer than {} bytes: \"{}\"", user_bytes_max,
                printable(user, 40));
  for (const char c : user)
    if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x7f)
      return fail(Errc::invalid, "the pool's user has a foreign character: \"{}\"",
                  printable(user, user_bytes_max));
  return {};
}

}  // namespace spatter::mining
