#include "key_requests.h"

#include "request_fields.h"

namespace spatter::doors {
namespace {

Json state_json(const PersonKeyState& state) {
  return {{"person", state.person.hex()}, {"key", state.key.hex()}, {"number", state.number}, {"held", state.held},
          {"committed", state.committed}, {"unfinished", state.unfinished},
          {"servers_outdated", state.servers_outdated}};
}

}  // namespace

Task<Result<Json>> answer_key(Server& server, const Json& request) {
  const auto what = text_at(request, "what");
  if (what == "state") co_return state_json(server.key_state());
  if (what != "change" && what != "take")
    co_return fail(Errc::invalid, "'{}' is not something that can be done with the key", what);
  auto text = text_at(request, "words");
  auto words = PersonSecret::from_words(text);
  wipe(text);
  if (!words) co_return fail(std::move(words).error());
  std::optional<std::string> passphrase;
  if (request.contains("passphrase")) passphrase = text_at(request, "passphrase");
  CO_TRY(const auto state, what == "change" ? co_await server.change_key(*words, std::move(passphrase),
                                                                           flag_at(request, "disown_older"))
                                            : co_await server.take_key(*words, std::move(passphrase),
                                                                         flag_at(request, "disown_older")));
  co_return state_json(state);
}

}  // namespace spatter::doors
