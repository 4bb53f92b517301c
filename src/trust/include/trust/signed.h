// Signed records: exact bytes, the key that signed them, and the signature, bound to the kind of
// record so that a signature for one kind never serves as another's.
//
// The signature covers "spatter/1 <kind>\0" followed by the body.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/sign.h"
#include "wire/proto/records.pb.h"

namespace spatter {

/// The kinds of records, as they go into the signature.
namespace kind {
inline constexpr std::string_view genesis = "genesis";
inline constexpr std::string_view certificate = "certificate";
inline constexpr std::string_view admission = "admission";
inline constexpr std::string_view server = "server";
inline constexpr std::string_view revocation = "revocation";
inline constexpr std::string_view stripe = "stripe";
inline constexpr std::string_view contract = "contract";
inline constexpr std::string_view root = "root";
inline constexpr std::string_view vouch = "vouch";
inline constexpr std::string_view renewal = "renewal";
inline constexpr std::string_view announce = "announce";
inline constexpr std::string_view review = "review";
inline constexpr std::string_view countersign = "countersign";
inline constexpr std::string_view words = "words";
inline constexpr std::string_view doubt = "doubt";
inline constexpr std::string_view rotation = "rotation";
inline constexpr std::string_view rotation_key = "rotation-key";
inline constexpr std::string_view recovery_key = "recovery-key";
inline constexpr std::string_view person_servers = "person-servers";
inline constexpr std::string_view stripe_holders = "stripe-holders";
inline constexpr std::string_view health = "health";
inline constexpr std::string_view holders = "holders";
inline constexpr std::string_view audit = "audit";
}  // namespace kind

/// A body longer than this is refused unread: no record comes near it.
inline constexpr std::size_t record_bytes_max = 256 * 1024;

/// What a signature for `kind` over `body` covers.
Bytes signed_bytes(std::string_view kind, std::string_view body);

wire::Signed sign(const SigningKey& key, std::string_view kind, std::string body);

/// The signature holds, for this kind, by the key inside the record. Whether that key may sign such
/// a record is for the caller to decide.
Result<void> check(const wire::Signed& record, std::string_view kind);

/// check, then the body parsed as a Message. Errors name the kind.
template <class Message>
Result<Message> open_signed(const wire::Signed& record, std::string_view kind) {
  TRY_VOID(check(record, kind));
  Message message;
  if (!message.ParseFromString(record.body()))
    return fail(Errc::invalid, "a {} record that cannot be read", kind);
  return message;
}

/// A Message signed as `kind`.
template <class Message>
wire::Signed sign_message(const SigningKey& key, std::string_view kind, const Message& message) {
  return sign(key, kind, message.SerializeAsString());
}

}  // namespace spatter
