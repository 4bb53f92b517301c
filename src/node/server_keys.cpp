// The person's key as this server has it: which one it signs with, changing it, and taking one that was
// changed elsewhere.
//
// What counts as the person's key is what the trust records say; the keyring only holds what can be used.
// So the order is: the keyring gets the next secret, durably; then the rotation record is kept, durably,
// and from that moment on it is the key; then own records follow. Interrupted before the record, nothing has
// changed; after it, the next start goes on with the new key.
#include "server_state.h"

namespace spatter {

bool Server::State::settle_key() {
  const auto& held = drive.keyring.person;
  const auto number = held.number_of(trust->key_of(identity->person));
  if (!number) {
    if (!std::exchange(told_of_key, true)) runtime.log().error("{}", outdated_words);
    return false;
  }
  told_of_key = false;
  auto key = held.numbered(*number).signing_key();
  if (key.public_key() == identity->person_key.public_key()) return false;
  identity->certificate = make_certificate(key, identity->network, identity->server_key.public_key(),
                                           runtime.wall_ms(), identity->person);
  identity->person_key = std::move(key);
  runtime.log().info("this server signs with key {} of its person", *number);
  return true;
}

void Server::State::keys_changed() {
  if (changing_key || !settle_key()) return;
  key_tasks.spawn([](State& state) -> Task<void> {
    if (auto done = co_await state.key_is_new(); !done)
      state.runtime.log().warning("after the change of key: {}", done.error().message);
  }(*this));
}

/// Everything that the old key has signed and that goes on to count is signed anew.
Task<Result<void>> Server::State::key_is_new() {
  if (options.offline) co_return Result<void>{};  // at the next start
  CO_TRY_VOID(co_await members->own_key_changed());
  if (roots) roots->changed();
  directory->key_changed();
  members->trust_changed();
  if (keeper) keeper->ask_all_again();
  co_return Result<void>{};
}

Result<void> Server::State::check_words(const PersonSecret& words) const {
  if (drive.keyring.person.come_from(words)) return {};
  return fail(Errc::denied, "these are not the recovery words of person {}, whose server this is", drive.person());
}

Task<Result<void>> Server::State::put_keyring(Keyring keyring, std::optional<std::string> passphrase) {
  CO_TRY_VOID(co_await replace_keyring(runtime, keyring, std::move(passphrase)));
  drive.keyring = std::move(keyring);
  co_return Result<void>{};
}

/// Never the one that the person has now: noted before a change that was not made in the end.
std::set<PersonId> Server::State::disowned_keys() const {
  std::set<PersonId> keys;
  for (std::uint32_t number = 1; number <= drive.keyring.disowned; ++number)
    keys.insert(drive.keyring.person.numbered(number).person());
  keys.erase(person_id(identity->person_key.public_key()));
  return keys;
}

/// Until others have the root by the new key, those who were told of another writer would refuse this one.
Task<void> Server::State::disown_keys() {
  if (!roots || !roots->disown(disowned_keys())) co_return;
  if (auto known = co_await roots->ensure_known(Level::full); !known)
    runtime.log().warning("root record: {}", known.error().message);
  keeper->ask_all_again();
}

PersonKeyState Server::key_state() const {
  const auto& state = *state_;
  const auto& standing = state.trust->standings().of(state.identity->person);
  const auto& held = state.drive.keyring;
  PersonKeyState result;
  result.person = state.identity->person;
  result.key = standing.key;
  result.number = standing.key_number + 1;
  result.held = held.person.number_of(standing.key).has_value();
  result.committed = standing.recovery.has_value();
  result.unfinished = held.changing;
  for (const auto& [id, entry] : state.members->roster().outdated())
    result.servers_outdated += entry.member.person == result.person && id != state.identity->server;
  return result;
}

/// What is known only now and then of who writes the volume: asked of all that are up.
Task<Result<void>> Server::State::check_fence() {
  if (!roots) co_return Result<void>{};
  auto fenced = co_await roots->compare_all();
  if (!fenced)
    co_return fail(fenced.error().code, "{}. If that was you, change the key there; if it was whoever has stolen your key, "
                   "say so: --disown-older", fenced.error().message);
  co_return Result<void>{};
}

Task<Result<PersonKeyState>> Server::change_key(PersonSecret words, std::optional<std::string> passphrase,
                                                bool disown_older) {
  auto& state = *state_;
  const auto alone = co_await state.key_work.lock();
  CO_TRY_VOID(state.check_words(words));
  const auto person = state.identity->person;
  const auto& network = state.identity->network;
  if (state.members->retired_by(state.identity->server))
    co_return fail(Errc::denied, "this server was retired: change the key on another, or on one that `spatter "
                   "recover` makes");
  if (!state.members->own_key_counts())
    co_return fail(Errc::denied, "your key was changed on another machine already: take that one first, with `spatter "
                   "key take`");
  // Whoever does not know of a change that was made elsewhere would make the same one again.
  CO_TRY_VOID(co_await state.trust->know_own_records(std::chrono::seconds(10)));
  const auto standing = state.trust->standings().of(person);
  auto keyring = state.drive.keyring;
  if (!standing.recovery)
    co_return fail(Errc::denied, "this network knows of no recovery key of yours, so the key cannot be changed in it: "
                   "whoever let you in did not pass one on");
  if (*standing.recovery != keyring.person.recovery())
    co_return fail(Errc::denied, "this network knows a recovery key of yours that these words do not make");

  const bool done_already = keyring.changing && standing.key == keyring.person.newest().person();
  if (!done_already && !disown_older) CO_TRY_VOID(co_await state.check_fence());
  if (!done_already) {
    const auto next = standing.key_number + 2;  // numbers of keys begin with 1
    if (next > PersonKeys::count_max)
      co_return fail(Errc::no_space, "the key was changed {} times, and cannot be changed again",
                     standing.key_number);
    keyring.person.extend(words, next);
    keyring.changing = true;
    if (disown_older) keyring.disowned = next - 1;
    CO_TRY_VOID(co_await state.put_keyring(keyring, passphrase));
    struct Changing {
      bool& flag;
      explicit Changing(bool& which) : flag(which) { flag = true; }
      ~Changing() { flag = false; }
    } changing(state.changing_key);
    CO_TRY_VOID(co_await state.trust->publish(
        make_rotation(words.recovery_key(), keyring.person.numbered(next).signing_key(), network, person, next - 1,
                      state.trust->epoch()),
        [=](const Standings& then, const Digest&) { return then.of(person).key_number + 1 == next; },
        TrustExchange::Send::later));
  }
  state.settle_key();
  CO_TRY_VOID(co_await state.key_is_new());
  co_await state.disown_keys();
  keyring.changing = false;
  CO_TRY_VOID(co_await state.put_keyring(std::move(keyring), std::move(passphrase)));
  co_return key_state();
}

Task<Result<PersonKeyState>> Server::take_key(PersonSecret words, std::optional<std::string> passphrase,
                                              bool disown_older) {
  auto& state = *state_;
  const auto alone = co_await state.key_work.lock();
  CO_TRY_VOID(state.check_words(words));
  const auto standing = state.trust->standings().of(state.identity->person);
  auto keyring = state.drive.keyring;
  const auto number = standing.key_number + 1;
  const bool held = keyring.person.number_of(standing.key).has_value();
  const bool disowns = disown_older && keyring.disowned + 1 < number;
  if (!held) {
    if (number <= PersonKeys::count_max) keyring.person.extend(words, number);
    if (!keyring.person.number_of(standing.key))
      co_return fail(Errc::denied, "this network says that your key is one that these words do not make ({})",
                     standing.key);
    keyring.changing = false;
  }
  if (disowns) keyring.disowned = number - 1;
  if (!held || disowns) CO_TRY_VOID(co_await state.put_keyring(std::move(keyring), std::move(passphrase)));
  if (state.settle_key()) CO_TRY_VOID(co_await state.key_is_new());
  if (disowns) co_await state.disown_keys();
  co_return key_state();
}

}  // namespace spatter
