// spatter key [change|take]: the key that a person signs with, and what to do when a machine that has it was
// stolen.
#include <unistd.h>

#include "base/posix_disk.h"
#include "cli/context.h"
#include "cli/machine.h"
#include "crypto/keyring.h"
#include "key_requests.h"

namespace spatter::doors {

namespace {

struct KeyOptions {
  std::optional<std::string> words_file;
  std::optional<std::string> passphrase_file;
  bool disown_older = false;
};

Result<Json> ask(const Context& context, const Json& request) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request(request));
  reply.erase("ok");
  if (context.json) context.print(reply);
  return reply;
}

void print_state(const Json& state) {
  fmt::print("person   {}\nkey      number {}{}\n", state.value("person", "").substr(0, 12), state.value("number", 1U),
             state.value("held", true) ? "" : "; this machine has an older one: run 'spatter key take' with the recovery words");
  if (state.value("unfinished", false)) fmt::print("         a change was interrupted: 'spatter key change' ends it\n");
  if (!state.value("committed", false))
    fmt::print("recovery this network knows of no recovery key of yours: the key cannot be changed in it\n");
  else
    fmt::print("recovery the key can be changed with the recovery words: 'spatter key change'\n");
  if (const auto outdated = state.value("servers_outdated", std::uint64_t{0}); outdated > 0)
    fmt::print("servers  {} of yours have an older key, and are no members until they take the new one\n", outdated);
}

Result<void> run_state(const Context& context) {
  TRY(const auto state, ask(context, {{"op", "key"}, {"what", "state"}}));
  if (!context.json) print_state(state);
  return {};
}

/// Of a sealed drive; asked for on a terminal.
Result<std::optional<std::string>> passphrase_for(const Context& context, const KeyOptions& options) {
  TRY(auto passphrase, passphrase_from(options.passphrase_file));
  if (passphrase || ::isatty(STDIN_FILENO) != 1) return passphrase;
  TRY(const auto keyring, read_text_file(context.drive + "/keyring", "keyring"));
  if (keyring_is_sealed(as_bytes(keyring))) passphrase = ask_passphrase();
  return passphrase;
}

/// Of a drive that is not being served: what it has heard of its network before is all that counts then.
Task<Result<Json>> answer_unserved(Runtime& runtime, Transport& transport, Drive drive, Json request) {
  ServerOptions options;
  options.offline = options.records_only = true;
  Server server(runtime, transport, std::move(drive), std::move(options));
  CO_TRY_VOID(co_await server.start());
  auto answer = co_await answer_key(server, request);
  co_await server.stop();
  co_return answer;
}

Result<Json> take_unserved(const Context& context, const KeyOptions& options, const Json& request) {
  TRY(auto machine, Machine::take(context.drive, LogLevel::warning));
  TRY(auto drive, machine.open(options.passphrase_file));
  Transport& transport = machine.connect_as(drive.keyring.server_key);
  return machine.runtime().wait_for(answer_unserved(machine.runtime(), transport, std::move(drive), request));
}

Result<void> run_with_words(const Context& context, const KeyOptions& options, const char* what) {
  TRY(auto words, read_words(options.words_file));
  TRY(auto passphrase, passphrase_for(context, options));
  Json request = {{"op", "key"}, {"what", what}, {"words", words}};
  if (passphrase) request["passphrase"] = *passphrase;
  if (options.disown_older) request["disown_older"] = true;
  wipe(words);
  const bool takes = std::string_view(what) == "take";
  auto client = context.connect();
  const bool unserved = takes && !client && client.error().code == Errc::unavailable;
  if (!client && !unserved) return fail(std::move(client).error());
  TRY(auto state, unserved ? take_unserved(context, options, request) : client->request(request));
  state.erase("ok");
  if (context.json) {
    context.print(state);
    return {};
  }
  const auto number = state.value("number", 1U);
  if (takes) {
    fmt::print("This server has key {} of its person{}.\n", number,
               unserved ? ", the newest that it has heard of; it was not running: start it, and it hears of others" : " now");
    return {};
  }
  fmt::print("Your key is number {} now; the ones before sign nothing any more.\n", number);
  if (const auto outdated = state.value("servers_outdated", std::uint64_t{0}); outdated > 0)
    fmt::print("On each of your other machines that you still have (servers: {}):  spatter key take\n", outdated);
  return {};
}

}  // namespace

void add_key(CLI::App& app, Context& context) {
  auto parent = std::make_shared<CLI::App*>(nullptr);
  auto* command = add_command(app, context, "key", "The key you sign with, and what to do when a machine of yours was stolen",
                              [&context, parent]() -> Result<void> {
                                if (!(*parent)->get_subcommands().empty()) return {};  // that one has run
                                return run_state(context);
                              });
  *parent = command;
  command->require_subcommand(0, 1);
  add_json_flag(command, context);
  const auto with_words = [&](const char* name, const char* help) {
    auto options = std::make_shared<KeyOptions>();
    auto* one = add_command(*command, context, name, help,
                            [&context, options, name] { return run_with_words(context, *options, name); });
    one->add_option("--words-file", options->words_file, "A file with your 24 recovery words; default: standard input")->type_name("FILE");
    one->add_option("--passphrase-file", options->passphrase_file, "The passphrase of a sealed drive, on this file's first line")->type_name("FILE");
    add_json_flag(one, context);
    return std::pair(one, options);
  };
  const auto stolen = [](const auto& made) {
    made.first->add_flag("--disown-older", made.second->disown_older,
                         "The keys before it were stolen: if somebody has taken this server's volume over with one of them, that counts for nothing");
  };
  stolen(with_words("change", "Change your key, everywhere and for good: whoever has stolen the old one can speak for you no more"));
  stolen(with_words("take", "Take the key that was changed on another machine of yours; also while the server is stopped"));
}

}  // namespace spatter::doors
