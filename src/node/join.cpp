#include "node/join.h"

#include "directory/join.h"
#include "directory/roster.h"

namespace spatter {
namespace {

/// A complete drive may leave its network while nobody else is in it.
Task<Result<void>> check_alone(Runtime& runtime, const Drive& drive, const NetworkId& wanted,
                               bool recover) {
  CO_TRY(const bool complete, co_await drive_is_complete(runtime));
  if (!complete) co_return Result<void>{};
  if (recover)
    co_return fail(Errc::exists, "recovering needs a new drive: this one is in use already");
  CO_TRY(auto store, co_await MemberStore::open(runtime, drive_path::members));
  auto contents = co_await store->load();
  co_await store->close();
  if (!contents) co_return fail(std::move(contents).error());
  if (!contents->genesis) co_return Result<void>{};
  CO_TRY(auto genesis, check_genesis(*contents->genesis));
  const auto own_key = drive.keyring.server_key.public_key();
  const bool alone = contents->admissions.empty() &&
                     genesis.founder == drive.person() &&
                     std::ranges::all_of(contents->records, [&](const wire::Signed& record) {
                       return std::ranges::equal(as_bytes(record.key()), own_key);
                     });
  if (alone) co_return Result<void>{};
  if (genesis.network == wanted)
    co_return fail(Errc::exists, "this drive is in that network already");
  co_return fail(Errc::exists, "this drive belongs to network {}, the invite is for network {}: "
                 "join with another drive", genesis.network, wanted);
}

}  // namespace

Task<Result<NetworkId>> join_with_drive(Runtime& runtime, Transport& transport, const Drive& drive,
                                        Invite invite,
                                        std::optional<Recovery> recovery) {
  CO_TRY_VOID(co_await check_alone(runtime, drive, invite.network, recovery.has_value()));
  if (invite.inviter == drive.server())
    co_return fail(Errc::invalid, "this invite is this server's own: it is for another machine");
  const auto network = invite.network;
  const auto identity = make_identity(network, drive.keyring.person.signing_key(),
                                      drive.keyring.server_key, runtime.wall_ms());
  auto space = co_await runtime.blocking([&] { return runtime.disk().space(); });
  if (!space) co_return fail(std::move(space).error());
  CO_TRY(auto halves, halves_of(drive.config, *space));

  Rpc rpc(runtime, transport, NetworkId{});
  auto joined = co_await join_network(runtime, rpc, std::move(invite), identity,
                                      halves.server_bytes, recovery.has_value());
  co_await rpc.stop();
  if (!joined) co_return fail(std::move(joined).error());
  CO_TRY_VOID(co_await adopt_network(runtime, drive, std::move(joined->contents),
                                      std::move(recovery)));
  co_return network;
}

}  // namespace spatter
