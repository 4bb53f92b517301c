// Whatever is given as an invite link: refused with a sentence, or an invite whose own link says the
// same. The bytes are tried as the text of a link, and as what a link with a right checksum holds.
#include "crypto/hash.h"
#include "directory/invite.h"
#include "wire/proto/members.pb.h"

namespace {

void try_link(std::string_view text) {
  using namespace spatter;
  const auto invite = parse_link(text);
  if (!invite) {
    SPATTER_ASSERT(!invite.error().message.empty() && invite.error().message.size() < 500);
    return;
  }
  const auto again = parse_link(to_link(*invite));
  SPATTER_ASSERT(again && again->addresses == invite->addresses);
  SPATTER_ASSERT(again->secret == invite->secret && again->expires_ms == invite->expires_ms);
}

std::string base64url(spatter::ByteView bytes) {
  constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 6) {
    unsigned value = 0;
    for (std::size_t i = bit; i < bit + 6; ++i)
      value = value << 1 | (i < bytes.size() * 8 ? bytes[i / 8] >> (7 - i % 8) & 1U : 0U);
    text += alphabet[value];
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  const ByteView bytes(data, size);
  try_link(as_text(bytes));
  Bytes whole{1};
  whole.insert(whole.end(), bytes.begin(), bytes.end());
  const auto checksum = sha256(whole);
  whole.insert(whole.end(), checksum.bytes.begin(), checksum.bytes.begin() + 4);
  try_link("spatter:" + base64url(whole));
  return 0;
}
