#include "directory/revocation.h"

namespace spatter {

wire::Signed make_revocation(const SigningKey& person, const NetworkId& network,
                             const wire::Signed& server_record, WallMs now) {
  wire::Revocation revocation;
  revocation.set_network(network.raw());
  *revocation.mutable_record() = server_record;
  revocation.set_issued_ms(static_cast<std::uint64_t>(std::max<WallMs>(now, 0)));
  return sign_message(person, kind::revocation, revocation);
}

Result<RevocationFacts> check_revocation(const wire::Signed& record, const NetworkId& network) {
  if (record.body().size() > Roster::revocation_bytes_max)
    return fail(Errc::invalid, "a revocation of {} bytes", record.body().size());
  TRY(const auto message, open_signed<wire::Revocation>(record, kind::revocation));
  if (message.network() != network.raw())
    return fail(Errc::denied, "a revocation of another network");
  TRY(const auto entry, check_server_record(message.record(), network));
  TRY(const auto signed_by, PersonId::from(record.key()));
  return RevocationFacts{entry.member.id, entry.member.person, signed_by, message.issued_ms()};
}

}  // namespace spatter
