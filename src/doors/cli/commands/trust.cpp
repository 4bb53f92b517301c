// spatter trust, vouch, announce, reviews, review, renew, countersign, doubt: how persons come to trust
// one another.
#include <fcntl.h>
#include <unistd.h>

#include "cli/context.h"

namespace spatter::doors {

namespace {

Json asking(const char* what) { return {{"op", "trust"}, {"what", what}}; }

std::string brief(const Json& one, const char* key) { return one.value(key, "").substr(0, 12); }

/// The answer as it is with --json; true: it was printed.
bool printed(const Context& context, Json& reply) {
  reply.erase("ok");
  if (context.json) context.print(reply);
  return context.json;
}

void print_standing(const Json& one, bool own) {
  fmt::print("person {}  {:<8}", brief(one, "person"), one.value("state", ""));
  if (const unsigned weight = one.value("weight", 100U); weight < 100) fmt::print("  weight {} %", weight);
  if (one.contains("inviter")) fmt::print("  invited by {}", brief(one, "inviter"));
  if (one.value("overdue", false)) fmt::print("  overdue");
  fmt::print("{}\n", own ? "  (you)" : "");
}

Result<void> run_trust(const Context& context) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request(asking("standing")));
  if (printed(context, reply)) return {};
  const auto me = reply["own"].value("person", "");
  if (const unsigned reviewers = reply.value("reviewers", 0U); reviewers == 0)
    fmt::print("Whoever is invited into this network is trusted.\n\n");
  else
    fmt::print("A newcomer is trusted when he is vouched for and {} of {} drawn members vouch for his clip.\n\n",
               reply.value("vouches_needed", 0U), reviewers);
  for (const Json& one : reply["persons"]) print_standing(one, one.value("person", "") == me);
  for (const Json& one : reply["clips"])
    if (one.value("state", "") == "open")
      fmt::print("\nperson {}: {}\n", brief(one, "person"),
                 one.contains("announce") ? fmt::format("his clip has {} of {} vouches, {} refusals", one.value("vouches", 0U),
                                                        one.value("vouches_needed", 0U), one.value("refusals", 0U))
                                          : std::string("is vouched for, and has to announce a clip"));
  for (const Json& one : reply["renewals"])
    if (!one.value("done", false))
      fmt::print("\nrenewal {} of person {}: {}\n", brief(one, "renewal"), brief(one, "person"), one.value("procedure", ""));
  if (reply["own"].value("state", "") == "guest")
    fmt::print("\nYou are a guest: nobody keeps anything of yours yet. Next: spatter announce\n");
  return {};
}

/// Commands that end in one signed record, and say so.
Result<void> run_record(const Context& context, const Json& request, const std::string& done) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request(request));
  if (!printed(context, reply)) fmt::print("{}\n", done);
  return {};
}

Result<void> run_announce(const Context& context, const std::string& file) {
  TRY(auto client, context.connect());
  if (file.empty()) {
    TRY(auto reply, client.request(asking("phrase")));
    if (printed(context, reply)) return {};
    const auto minutes = (reply.value("until_ms", std::int64_t{0}) / 1000 - ::time(nullptr)) / 60;
    fmt::print("Record a video of yourself, 5 to 60 seconds long, saying these words aloud. First the twelve\n"
               "that stand for your key:\n\n  {}\n\nthen the phrase that was drawn for you:\n\n  {}\n\n"
               "and within {} minutes:  spatter announce --file CLIP.webm\n"
               "All members of this network can watch it, and nobody else.\n",
               reply.value("key_words", ""), reply.value("phrase", ""), std::max<std::int64_t>(minutes, 0));
    return {};
  }
  const Descriptor clip(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!clip) return fail(Errc::not_found, "{} cannot be read: {}", printable(file), std::strerror(errno));
  TRY(auto reply, client.request(asking("announce"), {clip.get()}));
  if (!printed(context, reply))
    fmt::print("Announced. The reviewers drawn for you are asked to watch it; 'spatter trust' shows how it stands.\n");
  return {};
}

Result<void> run_reviews(const Context& context) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request(asking("reviews")));
  if (printed(context, reply)) return {};
  if (reply["reviews"].empty()) fmt::print("No clip waits for your verdict.\n");
  for (const Json& one : reply["reviews"])
    fmt::print("{}  person {}  {}{}  {} of {} vouches, {} refusals{}\n", brief(one, "id"), brief(one, "person"),
               bytes_text(one.value("clip_bytes", std::uint64_t{0})), one.value("renewal", false) ? ", a renewal" : "",
               one.value("vouches", 0U), one.value("vouches_needed", 0U), one.value("refusals", 0U),
               one.contains("mine") ? fmt::format("  (you: {})", one.value("mine", "")) : "");
  return {};
}

struct ReviewOptions {
  std::string id, to, reason;
  bool watch = false, vouch = false, refuse = false;
};

Result<void> run_watch(const Context& context, const ReviewOptions& options) {
  TRY(auto client, context.connect());
  const auto path = options.to.empty() ? fmt::format("spatter-clip-{}.video", options.id) : options.to;
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail(errno == EEXIST ? Errc::exists : Errc::io, "{} cannot be made: {}", printable(path), std::strerror(errno));
  auto request = asking("watch");
  request["id"] = options.id;
  auto reply = client.request(request, {file.get()});
  if (!reply) {
    ::unlink(path.c_str());
    return fail(reply.error());
  }
  (*reply)["file"] = path;
  if (printed(context, *reply)) return {};
  fmt::print("The clip is in {}. Watch it with any player. A human face, live, must say, with at most two\n"
             "words of the twelve wrong:\n\n  {}\n\nand then:\n\n  {}\n\n"
             "Then:  spatter review {} --vouch\n   or  spatter review {} --refuse --reason \"...\"\n",
             printable(path), reply->value("key_words", ""), reply->value("phrase", ""), options.id, options.id);
  return {};
}

Result<void> run_review(const Context& context, const ReviewOptions& options) {
  if (options.watch) return run_watch(context, options);
  if (!options.vouch && !options.refuse)
    return fail(Errc::invalid, "say what to do: --watch, --vouch, or --refuse with a --reason");
  if (options.refuse && options.reason.empty()) return fail(Errc::invalid, "a refusal needs a --reason");
  auto request = asking("judge");
  request["id"] = options.id;
  request["verdict"] = options.vouch ? "vouch" : "refuse";
  request["reason"] = options.reason;
  return run_record(context, request, options.vouch ? "You vouch for the clip." : "You refuse the clip.");
}

Result<void> run_renew(const Context& context, const std::string& words_file) {
  if (!words_file.empty()) {
    TRY(const auto words, read_words(words_file));
    auto request = asking("words");
    request["words"] = words;
    return run_record(context, request, "Your trust is renewed: the words are at hand.");
  }
  TRY(auto client, context.connect());
  TRY(auto reply, client.request(asking("renew")));
  if (printed(context, reply)) return {};
  const auto procedure = reply.value("procedure", "");
  const auto id = brief(reply, "renewal");
  fmt::print("What was drawn for you: {}\n", procedure);
  if (procedure == "recovery words")
    fmt::print("Next:  spatter renew --words-file FILE\n");
  else if (procedure == "countersignature")
    fmt::print("Next:  ask {} of those who vouched for you to run:  spatter countersign {}\n", reply.value("countersigns_needed", 0U), id);
  else
    fmt::print("Next:  spatter announce\n");
  return {};
}

}  // namespace

void add_trust(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "trust", "Who is trusted in this network, and what is under way",
                              [&context] { return run_trust(context); });
  add_json_flag(command, context);
}

void add_vouch(CLI::App& app, Context& context) {
  auto person = std::make_shared<std::string>();
  auto* command = add_command(app, context, "vouch", "Say that you know a person who has joined: the first step of his way to trust",
                              [&context, person] {
                                auto request = asking("vouch");
                                request["person"] = *person;
                                return run_record(context, request, "You vouch for him. Next he announces a clip: spatter announce");
                              });
  command->add_option("person", *person, "The first digits of his id, as 'spatter trust' prints it")->required()->check(id_digits());
  add_json_flag(command, context);
}

void add_announce(CLI::App& app, Context& context) {
  auto file = std::make_shared<std::string>();
  auto* command = add_command(app, context, "announce", "Get the words to say into a camera, or announce the clip in which you say them",
                              [&context, file] { return run_announce(context, *file); });
  command->add_option("--file", *file, "The clip: WebM or MP4, 5 to 60 seconds, at most 20 MiB")->type_name("FILE");
  add_json_flag(command, context);
}

void add_reviews(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "reviews", "Clips of newcomers that you were drawn to judge",
                              [&context] { return run_reviews(context); });
  add_json_flag(command, context);
}

void add_review(CLI::App& app, Context& context) {
  auto options = std::make_shared<ReviewOptions>();
  auto* command = add_command(app, context, "review", "Watch and judge a clip",
                              [&context, options] { return run_review(context, *options); });
  command->add_option("id", options->id, "The first digits of its id, as 'spatter reviews' prints it")->required()->check(id_digits());
  auto* watch = command->add_flag("--watch", options->watch, "Get the clip, to look at it with a player");
  command->add_option("--to", options->to, "Where to put it; default: a file in this folder")->type_name("FILE")->needs(watch);
  auto* vouch = command->add_flag("--vouch", options->vouch, "This is a living human who said the words")->excludes(watch);
  auto* refuse = command->add_flag("--refuse", options->refuse, "It is not; final, as --vouch is")->excludes(watch)->excludes(vouch);
  command->add_option("--reason", options->reason, "Why, for the others to read")->excludes(watch);
  static_cast<void>(refuse);
  add_json_flag(command, context);
}

void add_renew(CLI::App& app, Context& context) {
  auto words = std::make_shared<std::string>();
  auto* command = add_command(app, context, "renew", "Renew your trust when that is due, by what is drawn for you",
                              [&context, words] { return run_renew(context, *words); });
  command->add_option("--words-file", *words, "A file with your recovery words, when those were drawn")->type_name("FILE");
  add_json_flag(command, context);
}

void add_countersign(CLI::App& app, Context& context) {
  auto id = std::make_shared<std::string>();
  auto* command = add_command(app, context, "countersign", "Stand by a person whom you vouched for, who renews his trust",
                              [&context, id] {
                                auto request = asking("countersign");
                                request["id"] = *id;
                                return run_record(context, request, "Countersigned.");
                              });
  command->add_option("renewal", *id, "The first digits of the renewal's id")->required()->check(id_digits());
  add_json_flag(command, context);
}

void add_doubt(CLI::App& app, Context& context) {
  auto options = std::make_shared<ReviewOptions>();
  auto* command = add_command(app, context, "doubt", "Ask that a trusted person show himself again; three persons' doubts make it so",
                              [&context, options] {
                                auto request = asking("doubt");
                                request["person"] = options->id;
                                request["reason"] = options->reason;
                                return run_record(context, request, "Your doubt is known to all.");
                              });
  command->add_option("person", options->id, "The first digits of his id")->required()->check(id_digits());
  command->add_option("--reason", options->reason, "Why, for the others to read")->required();
  add_json_flag(command, context);
}

}  // namespace spatter::doors
