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

/// The secrets up to the one of the key that the person has now, durable.
Task<Result<void>> catch_up(Runtime& runtime, Drive& drive, PersonId key) {
  if (drive.keyring.person.number_of(key)) co_return Result<void>{};
  if (!drive.fresh)
    co_return fail(Errc::denied, "this person has changed his key, and this drive has an old one: join with a new "
                   "drive and the recovery words");
  auto keyring = drive.keyring;
  while (!keyring.person.number_of(key) && keyring.person.count() < PersonKeys::count_max)
    keyring.person.extend(drive.fresh->words, keyring.person.count() + 1);
  if (!keyring.person.number_of(key))
    co_return fail(Errc::denied, "the inviting server says that the person of these words signs with a key that "
                   "they do not make ({})", key);
  CO_TRY_VOID(co_await replace_keyring(runtime, keyring, drive.fresh->passphrase));
  drive.keyring = std::move(keyring);
  co_return Result<void>{};
}

}  // namespace

Task<Result<NetworkId>> join_with_drive(Runtime& runtime, Transport& transport, Drive& drive,
                                        Invite invite,
                                        std::optional<Recovery> recovery) {
  CO_TRY_VOID(co_await check_alone(runtime, drive, invite.network, recovery.has_value()));
  if (invite.inviter == drive.server())
    co_return fail(Errc::invalid, "this invite is this server's own: it is for another machine");
  const auto network = invite.network;
  auto space = co_await runtime.blocking([&] { return runtime.disk().space(); });
  if (!space) co_return fail(std::move(space).error());
  CO_TRY(auto halves, halves_of(drive.config, *space));

  const auto& keys = drive.keyring.person;
  const auto claim = make_recovery_claim(keys.numbered(1).signing_key(), network, keys.recovery());
  Rpc rpc(runtime, transport, NetworkId{});
  // A network that does not know the person yet knows him by his first key.
  std::uint32_t number = 1;
  const auto join_once = [&]() -> Task<Result<Joined>> {
    const auto identity = make_identity(network, keys.numbered(number).signing_key(), drive.keyring.server_key,
                                        runtime.wall_ms(), drive.person());
    co_return co_await join_network(runtime, rpc, invite, identity, halves.server_bytes,
                                    recovery.has_value(), claim);
  };
  auto joined = co_await join_once();
  if (joined && joined->other_key) {
    auto caught_up = co_await catch_up(runtime, drive, *joined->other_key);
    if (caught_up) {
      number = *keys.number_of(*joined->other_key);
      joined = co_await join_once();
    } else {
      joined = fail(std::move(caught_up).error());
    }
    if (joined && joined->other_key)
      joined = fail(Errc::denied, "the inviting server does not say which key the person of these words has");
  }
  co_await rpc.stop();
  if (!joined) co_return fail(std::move(joined).error());
  CO_TRY_VOID(co_await adopt_network(runtime, drive, std::move(joined->contents),
                                     std::move(recovery), std::move(joined->rotations)));
  co_return network;
}

}  // namespace spatter
