#include "directory/join.h"

#include "directory/roster.h"
#include "net/methods.h"
#include "wire/proto/members.pb.h"

namespace spatter {
namespace {

/// What the inviter sent, as far as it proves itself.
Result<Joined> check_reply(const wire::JoinReply& reply, const Identity& identity, Log& log) {
  TRY(auto genesis, check_genesis(reply.genesis()));
  if (genesis.network != identity.network)
    return fail(Errc::denied, "the inviting server sent the genesis of network {}, the link is for "
                "network {}", genesis.network, identity.network);
  Roster roster(genesis);
  for (const auto& admission : reply.admissions()) {
    if (auto done = roster.admit(admission); !done)
      log.warning("join: an admission was left out: {}", done.error().message);
  }
  if (!roster.is_admitted(identity.person))
    return fail(Errc::denied, "the inviting server did not let person {} in", identity.person);
  for (const auto& record : reply.records()) {
    if (auto done = roster.accept(record); !done)
      log.warning("join: a server record was left out: {}", done.error().message);
  }
  Joined joined;
  joined.contents.genesis = reply.genesis();
  joined.contents.admissions = roster.admissions();
  for (const auto& [id, entry] : roster.servers()) joined.contents.records.push_back(entry.record);
  joined.observed_host = reply.observed_host().substr(0, 255);
  return joined;
}

}  // namespace

Task<Result<Joined>> join_network(Runtime& runtime, Rpc& rpc, Invite invite,
                                  const Identity& identity, std::uint64_t capacity_bytes,
                                  bool recover) {
  SPATTER_ASSERT(invite.network == identity.network);
  const auto now = runtime.wall_ms();
  if (invite.expires_ms < now - 24 * 3600 * 1000)  // clocks differ: the inviter decides on less
    co_return fail(Errc::denied, "this invite has expired: ask for a new one");
  const auto record = make_server_record(identity, {}, capacity_bytes, capacity_bytes,
                                         static_cast<std::uint64_t>(std::max<WallMs>(now, 1)));
  wire::JoinRequest request;
  request.set_secret(invite.secret.data(), invite.secret.size());
  *request.mutable_record() = record;
  request.set_recover(recover);

  Error last{Errc::unavailable, "the invite names no address"};
  for (const auto& address : invite.addresses) {
    auto answer = co_await rpc.call_address(
        address, invite.inviter, {method::join, request.SerializeAsString(), {}},
        {.timeout = std::chrono::seconds(20)});
    if (!answer) {
      last = std::move(answer).error();
      // The inviter itself has spoken: other addresses lead to the same answer.
      if (last.code == Errc::denied || last.code == Errc::no_space || last.code == Errc::not_found)
        co_return fail(last);
      last = last.during(address.text());
      continue;
    }
    wire::JoinReply reply;
    if (!reply.ParseFromString(answer->second.body))
      co_return fail(Errc::invalid, "the inviting server's answer cannot be read");
    CO_TRY(auto joined, check_reply(reply, identity, runtime.log()));
    // Our own record belongs to what we know, whatever the inviter sent.
    const auto is_own = [&](const wire::Signed& other) { return other.key() == record.key(); };
    std::erase_if(joined.contents.records, is_own);
    joined.contents.records.push_back(record);
    co_return joined;
  }
  co_return fail(last.during("the inviting server cannot be reached"));
}

}  // namespace spatter
