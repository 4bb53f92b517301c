// spatter chance verify, draw: chance recomputed and explained, and made with this drive's keys.
#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/machine.h"
#include "doors/chance_draw.h"
#include "doors/chance_report.h"
#include "node/server.h"

namespace spatter::doors {

namespace {

/// A draw given by arguments, or a file; and what to make of it.
struct VerifyOptions {
  std::string file;
  std::string network, purpose, subject, key, proof;
  std::optional<std::uint64_t> epoch, choose, of;
  std::string candidates_file;
  std::optional<std::uint32_t> expect, weight;
  std::optional<std::uint64_t> total, procedure_done, period;
};

Result<std::string> read_input(const std::string& file) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened) return fail(from_errno(errno, "open " + file));
  }
  std::istream& in = file == "-" ? std::cin : opened;
  std::string text;
  std::vector<char> piece(1 << 16);
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0) {
    text.append(piece.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > chance_file_bytes_max)
      return fail(Errc::invalid, "{} is longer than {}", file, bytes_text(chance_file_bytes_max));
  }
  if (in.bad() || !in.eof()) return fail(Errc::io, "{} can't be read", file);
  return text;
}

Result<ParsedChance> given_chance(const VerifyOptions& options) {
  if (!options.file.empty()) {
    TRY(const auto text, read_input(options.file));
    auto parsed = parse_chance(as_bytes(text));
    if (!parsed) return fail(parsed.error().during(options.file == "-" ? "standard input" : options.file));
    return parsed;
  }
  if (options.proof.empty())
    return fail(Errc::invalid, "name a file (or - for standard input), or give --network, --epoch, --purpose, --subject, "
                "--key and --proof");
  const Json json = {{"kind", "draw"},       {"network", options.network}, {"epoch", options.epoch.value_or(0)},
                     {"purpose", options.purpose}, {"subject", options.subject}, {"key", options.key},
                     {"proof", options.proof}};
  return parse_chance(as_bytes(json.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

/// Lines of an id (64 hexadecimal digits) and, if it is not 1, a weight.
Result<std::vector<WeightedId>> read_candidates(const std::string& file) {
  TRY(const auto text, read_text_file(file, "candidates"));
  std::vector<WeightedId> candidates;
  std::istringstream lines(text);
  std::string line;
  for (std::size_t number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    std::string id, rest;
    std::uint64_t weight = 1;
    if (!(words >> id)) continue;
    auto digest = Digest::from_hex(id);
    if (words >> rest) {
      char* end = nullptr;
      weight = std::strtoull(rest.c_str(), &end, 10);
      if (*end != '\0' || rest[0] == '-') weight = std::numeric_limits<std::uint64_t>::max();
    }
    if (!digest || words >> rest || weight > std::numeric_limits<std::uint32_t>::max())
      return fail(Errc::invalid, "line {} of {} is not an id of 64 hexadecimal digits and a weight below 2^32", number, file);
    candidates.push_back({*digest, static_cast<std::uint32_t>(weight)});
  }
  return candidates;
}

Result<ChanceUse> given_use(const VerifyOptions& options) {
  ChanceUse use;
  use.choose = options.choose;
  use.of = options.of;
  if (options.choose && *options.choose > 1000000) return fail(Errc::invalid, "--choose draws up to a million, not {}", *options.choose);
  if (!options.candidates_file.empty()) {
    TRY(use.candidates, read_candidates(options.candidates_file));
  }
  if (options.expect) {
    if (options.total == 0) return fail(Errc::invalid, "--total must not be 0");
    use.lot = {*options.expect, *options.weight, *options.total};
  }
  if (options.period) {
    if (*options.period == 0) return fail(Errc::invalid, "--period must not be 0");
    use.aging = {options.procedure_done.value_or(0), *options.period};
  }
  if (!options.network.empty()) {
    auto network = NetworkId::from_hex(options.network);
    if (!network) return fail(network.error().during("--network"));
    use.network = *network;
  }
  return use;
}

Result<void> run_verify(const Context& context, const VerifyOptions& options) {
  TRY(const auto use, given_use(options));
  TRY(const auto parsed, given_chance(options));
  ChanceReport report = explain_chance(parsed, use);
  if (context.json) {
    report.facts["steps"] = report.steps;
    if (report.wrong) {
      report.facts["error"] = report.wrong->message;
      report.facts["code"] = to_string(report.wrong->code);
    }
    context.print(report.facts);
  } else {
    for (std::size_t i = 0; i < report.steps.size(); ++i) fmt::print("{:>3}. {}\n", i + 1, report.steps[i]);
    fmt::print("{}\n", report.wrong ? "It does not hold." : "It holds.");
  }
  std::fflush(stdout);
  if (report.wrong) return fail(*report.wrong);
  return {};
}

struct DrawOptions {
  std::string purpose, subject;
  std::string as = "server";
  std::optional<std::uint64_t> epoch;
  std::optional<std::string> passphrase_file;
};

Task<Result<Json>> draw_unserved(Runtime& runtime, Transport& transport, Drive drive, const Json& request) {
  ServerOptions server_options;
  server_options.offline = true;
  Server server(runtime, transport, std::move(drive), std::move(server_options));
  CO_TRY_VOID(co_await server.start());
  auto drawn = draw_json(runtime, server, request);
  co_await server.stop();
  co_return drawn;
}

Result<Json> draw(const Context& context, const DrawOptions& options) {
  Json request = {{"op", "draw"}, {"purpose", options.purpose}, {"subject", options.subject}, {"as", options.as}};
  if (options.epoch) request["epoch"] = *options.epoch;
  auto client = context.connect();
  if (client) return client->request(request);
  if (client.error().code != Errc::unavailable) return fail(client.error());
  TRY(auto machine, Machine::take(context.drive, LogLevel::warning));
  TRY(auto drive, machine.open(options.passphrase_file));
  Transport& transport = machine.connect_as(drive.keyring.server_key);
  return machine.runtime().wait_for(draw_unserved(machine.runtime(), transport, std::move(drive), request));
}

Result<void> run_draw(const Context& context, const DrawOptions& options) {
  TRY(auto drawn, draw(context, options));
  drawn.erase("ok");
  context.print(drawn);
  return {};
}

void add_verify(CLI::App& chance, Context& context) {
  auto options = std::make_shared<VerifyOptions>();
  auto* command = add_command(chance, context, "verify", "Recompute a draw or a seed chain and explain it step by step",
                              [&context, options] { return run_verify(context, *options); });
  command->add_option("file", options->file, "A draw, seed chain or proof of cheating, as JSON or binary; - reads standard input");
  command->add_option("--network", options->network, "The network it must be of, 64 hexadecimal digits");
  for (auto [name, into, help] : {std::tuple{"--purpose", &options->purpose, "What the draw is for, if no file is given"},
                                  std::tuple{"--subject", &options->subject, "What it is about, 64 hexadecimal digits"},
                                  std::tuple{"--key", &options->key, "The public key of who drew, 64 hexadecimal digits"},
                                  std::tuple{"--proof", &options->proof, "Its proof, 160 hexadecimal digits"}})
    command->add_option(name, *into, help)->excludes("file");
  command->add_option("--epoch", options->epoch, "Its epoch")->excludes("file");
  auto* choose = command->add_option("--choose", options->choose, "Draw so many from the output...");
  auto* of = command->add_option("--of", options->of, "...of so many")->needs(choose);
  command->add_option("--candidates", options->candidates_file, "...of the ids in this file, one and its weight a line")
      ->needs(choose)->excludes(of);
  auto* expect = command->add_option("--expect", options->expect, "Sortition: so many are wanted");
  auto* weight = command->add_option("--weight", options->weight, "of which the key has this weight")->needs(expect);
  auto* total = command->add_option("--total", options->total, "of this total")->needs(expect);
  expect->needs(weight)->needs(total);
  auto* done = command->add_option("--procedure-done", options->procedure_done, "A seed chain's next procedure: the last was done in this epoch");
  auto* period = command->add_option("--period", options->period, "and procedures come every so many epochs at most")->needs(done);
  done->needs(period);
  add_json_flag(command, context);
}

void add_draw(CLI::App& chance, Context& context) {
  auto options = std::make_shared<DrawOptions>();
  auto* command = add_command(chance, context, "draw", "Make a draw with this drive's key; prints JSON that verify reads",
                              [&context, options] { return run_draw(context, *options); });
  command->add_option("--purpose", options->purpose, "audit, report, review, procedure, admit, chain, coordinate, work or phrase")->required();
  command->add_option("--subject", options->subject, "What it is about: an id of 64 hexadecimal digits")->required();
  command->add_option("--epoch", options->epoch, "The epoch; default: the present one of the drive's network");
  command->add_option("--as", options->as, "Whose key: server (default) or person");
  command->add_option("--passphrase-file", options->passphrase_file, "The passphrase of a sealed drive that isn't being served");
  add_json_flag(command, context);
}

}  // namespace

void add_chance(CLI::App& app, Context& context) {
  CLI::App* chance = app.add_subcommand("chance", "Predictable randomness: verify draws and seed chains, make draws");
  chance->require_subcommand(1);
  add_verify(*chance, context);
  add_draw(*chance, context);
}

}  // namespace spatter::doors
