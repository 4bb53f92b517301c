#include "trust/signed.h"

namespace spatter {

Bytes signed_bytes(std::string_view kind, std::string_view body) {
  constexpr std::string_view prefix = "spatter/1 ";
  Bytes bytes;
  bytes.reserve(prefix.size() + kind.size() + 1 + body.size());
  bytes.insert(bytes.end(), prefix.begin(), prefix.end());
  bytes.insert(bytes.end(), kind.begin(), kind.end());
  bytes.push_back(0);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

wire::Signed sign(const SigningKey& key, std::string_view kind, std::string body) {
  const auto signature = key.sign(signed_bytes(kind, body));
  const auto public_key = key.public_key();
  wire::Signed record;
  record.set_body(std::move(body));
  record.set_key(public_key.data(), public_key.size());
  record.set_signature(signature.data(), signature.size());
  return record;
}

Result<void> check(const wire::Signed& record, std::string_view kind) {
  if (record.body().size() > record_bytes_max)
    return fail(Errc::invalid, "a {} record of {} bytes: at most {} are allowed", kind,
                record.body().size(), record_bytes_max);
  if (record.key().size() != 32 || record.signature().size() != 64)
    return fail(Errc::invalid, "a {} record whose key or signature has a wrong length", kind);
  if (!verify(as_bytes(record.key()), signed_bytes(kind, record.body()),
              as_bytes(record.signature())))
    return fail(Errc::corrupt, "the signature of a {} record does not match", kind);
  return {};
}

}  // namespace spatter
