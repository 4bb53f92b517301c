#include "directory/invite.h"

#include "crypto/hash.h"
#include "wire/proto/members.pb.h"

namespace spatter {
namespace {

constexpr std::string_view scheme = "spatter:";
constexpr std::uint8_t link_version = 1;
constexpr std::size_t checksum_bytes = 4;
constexpr std::size_t link_bytes_max = 4096;
constexpr std::size_t addresses_max = 8;
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string base64url(ByteView bytes) {
  std::string text;
  std::uint32_t bits = 0;
  int count = 0;
  for (const auto byte : bytes) {
    bits = (bits << 8) | byte;
    for (count += 8; count >= 6; count -= 6) text += alphabet[(bits >> (count - 6)) & 63];
  }
  if (count > 0) text += alphabet[(bits << (6 - count)) & 63];
  return text;
}

/// Refuses foreign characters and left-over bits, so that every link has one spelling.
std::optional<Bytes> from_base64url(std::string_view text) {
  Bytes bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<std::uint8_t>(bits >> count));
    }
  }
  if (count >= 6 || (bits & ((1U << count) - 1)) != 0) return std::nullopt;
  return bytes;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace

std::string to_link(const Invite& invite) {
  wire::Invite message;
  for (const auto& address : invite.addresses) message.add_addresses(address.text());
  message.set_network(invite.network.raw());
  message.set_inviter(invite.inviter.raw());
  message.set_secret(invite.secret.data(), invite.secret.size());
  message.set_expires_ms(static_cast<std::uint64_t>(invite.expires_ms));
  Bytes bytes{link_version};
  const auto body = message.SerializeAsString();
  bytes.insert(bytes.end(), body.begin(), body.end());
  const auto checksum = sha256(bytes);
  bytes.insert(bytes.end(), checksum.bytes.begin(), checksum.bytes.begin() + checksum_bytes);
  return std::string(scheme) + base64url(bytes);
}

Result<Invite> parse_link(std::string_view link) {
  const auto text = trimmed(link);
  if (!text.starts_with(scheme))
    return fail(Errc::invalid, "this is no invite link: one begins with \"{}\"", scheme);
  constexpr auto altered = "the invite link is cut off or altered: copy it again, whole";
  if (text.size() > link_bytes_max) return fail(Errc::invalid, altered);
  const auto bytes = from_base64url(text.substr(scheme.size()));
  if (!bytes || bytes->size() < 1 + checksum_bytes) return fail(Errc::invalid, altered);
  const auto signed_part = ByteView(*bytes).first(bytes->size() - checksum_bytes);
  const auto checksum = sha256(signed_part);
  if (!std::equal(bytes->end() - checksum_bytes, bytes->end(), checksum.bytes.begin()))
    return fail(Errc::invalid, altered);
  if (signed_part[0] != link_version)
    return fail(Errc::newer_format, "the invite link is of version {}, this Spatter knows {}: "
                "install a newer one", signed_part[0], link_version);

  wire::Invite message;
  if (!message.ParseFromArray(signed_part.data() + 1, static_cast<int>(signed_part.size() - 1)))
    return fail(Errc::invalid, altered);
  Invite invite;
  TRY(invite.network, NetworkId::from(message.network()));
  TRY(invite.inviter, ServerId::from(message.inviter()));
  if (message.addresses_size() < 1 || message.addresses_size() > static_cast<int>(addresses_max))
    return fail(Errc::invalid, "the invite link holds {} addresses", message.addresses_size());
  for (const auto& text : message.addresses()) {
    TRY(auto address, Address::parse(text));
    invite.addresses.push_back(std::move(address));
  }
  if (message.secret().size() < invite_secret_bytes || message.secret().size() > 64)
    return fail(Errc::invalid, "the invite link's secret has {} bytes", message.secret().size());
  invite.secret = to_bytes(as_bytes(message.secret()));
  if (message.expires_ms() > static_cast<std::uint64_t>(std::numeric_limits<WallMs>::max()))
    return fail(Errc::invalid, "the invite link's expiry cannot be read");
  invite.expires_ms = static_cast<WallMs>(message.expires_ms());
  return invite;
}

}  // namespace spatter
