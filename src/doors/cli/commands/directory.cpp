// spatter directory [stats|ls|get|ping]: what this server knows and keeps of the directory, and what it
// finds in it.
#include "cli/context.h"

namespace spatter::doors {

namespace {

Json asking(const char* what) { return {{"op", "directory"}, {"what", what}}; }

std::string brief(const Json& one, const char* key) { return one.value(key, "").substr(0, 12); }

Result<Json> ask(const Context& context, const Json& request) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request(request));
  reply.erase("ok");
  if (context.json) context.print(reply);
  return reply;
}

Result<void> run_stats(const Context& context) {
  TRY(const auto reply, ask(context, asking("stats")));
  if (context.json) return {};
  if (!reply.value("in_directory", false)) {
    fmt::print("This server is not in the directory yet: {}.\n", reply.value("why", ""));
    return {};
  }
  std::string drawers;
  for (const Json& person : reply["drawn_by"]) {
    const auto id = person.get<std::string>();
    drawers += (drawers.empty() ? "" : ", ") + id.substr(0, 12);
  }
  fmt::print("position       {}  place {} of its person, drawn by {}\n"
             "network        about {:.0f} servers; {} known here{}\n"
             "contacts       {}, of which {} have answered and {} are neighbours\n"
             "records        {} kept for all ({}), {} read lately\n"
             "memory         {}\n"
             "questions      {} asked, {} without an answer\n"
             "look-ups       {}, {:.1f} hops on average\n",
             brief(reply, "position"), reply.value("place_number", 0U), drawers, reply.value("network_size", 0.0),
             reply.value("servers_known", 0U), reply.value("view_complete", true) ? ", which are all" : "",
             reply.value("contacts", 0U), reply.value("proven", 0U), reply.value("siblings", 0U),
             reply.value("records", 0U), bytes_text(reply.value("record_bytes", std::uint64_t{0})),
             reply.value("cached", 0U), bytes_text(reply.value("memory_bytes", std::uint64_t{0})),
             reply.value("questions", std::uint64_t{0}), reply.value("unanswered", std::uint64_t{0}),
             reply.value("lookups", std::uint64_t{0}), reply.value("hops_mean", 0.0));
  return {};
}

Result<void> run_ls(const Context& context, bool records) {
  TRY(const auto reply, ask(context, asking(records ? "records" : "contacts")));
  if (context.json) return {};
  if (records) {
    if (reply["records"].empty()) fmt::print("This server keeps no records of the directory.\n");
    for (const Json& one : reply["records"])
      fmt::print("{:<7} {}  of person {}  {}\n", one.value("type", ""), brief(one, "subject"), brief(one, "person"),
                 bytes_text(one.value("bytes", std::uint64_t{0})));
    return {};
  }
  if (reply["contacts"].empty()) fmt::print("This server knows no others in the directory.\n");
  for (const Json& one : reply["contacts"])
    fmt::print("server {}  of person {}  at {}  {:<9}  {}\n", brief(one, "server"), brief(one, "person"),
               brief(one, "position"),
               !one.value("proven", false) ? "unproven" : one.value("sibling", false) ? "neighbour" : "far",
               one["addresses"].empty() ? std::string("no address") : one["addresses"][0].get<std::string>());
  return {};
}

struct GetOptions {
  std::string type, id, owner;
  std::optional<std::uint64_t> epoch;
};

void print_value(const std::string& type, const Json& value) {
  if (type == "server") {
    std::string addresses;
    for (const Json& one : value["addresses"]) addresses += (addresses.empty() ? "" : ", ") + one.get<std::string>();
    fmt::print("server {} of person {}\n  at {}\n  {} for others, {} of it free\n", brief(value, "server"),
               brief(value, "person"), addresses.empty() ? "no address" : addresses,
               bytes_text(value.value("capacity", std::uint64_t{0})), bytes_text(value.value("free", std::uint64_t{0})));
  } else if (type == "person") {
    fmt::print("person {} has {} servers\n", brief(value, "person"), value["servers"].size());
    for (const Json& one : value["servers"]) fmt::print("  server {}\n", one.get<std::string>().substr(0, 12));
  } else if (type == "stripe") {
    fmt::print("stripe {} of server {}: any {} of {} shards rebuild it\n", brief(value, "stripe"),
               brief(value, "owner"), value.value("k", 0U), value.value("n", 0U));
    for (const Json& one : value["holders"])
      fmt::print("  server {}  {} shards  {}\n", brief(one, "server"), one["indices"].size(),
                 !one.contains("rank")    ? "the owner's own"
                 : one["rank"].is_null()  ? "not one that could be drawn, as far as is known here"
                                          : fmt::format("number {} of the draw", one["rank"].get<std::size_t>() + 1));
    const auto passed = value["passed_over"].size();
    fmt::print("Checked over {} servers{}\n", value.value("eligible", 0U),
               value.value("view_complete", true) ? ", all that could hold it."
                                                  : " that are known here; the owner may know others.");
    if (value.value("as_drawn", false)) fmt::print("The holders are those that were drawn.\n");
    else if (passed > 0) fmt::print("{} servers that were drawn hold nothing: they were full, slow or off, or came later.\n", passed);
  } else {
    fmt::print("health of server {} in epoch {}: {} stripes, {} full, {} safe, {} at risk, {} lost\n",
               brief(value, "server"), value.value("epoch", std::uint64_t{0}), value.value("stripes", std::uint64_t{0}),
               value.value("full", std::uint64_t{0}), value.value("safe", std::uint64_t{0}),
               value.value("at_risk", std::uint64_t{0}), value.value("lost", std::uint64_t{0}));
  }
}

Result<void> run_get(const Context& context, const GetOptions& options) {
  auto request = asking("get");
  request["type"] = options.type;
  request["id"] = options.id;
  if (!options.owner.empty()) request["owner"] = options.owner;
  if (options.epoch) request["epoch"] = *options.epoch;
  TRY(const auto reply, ask(context, request));
  if (context.json) return {};
  print_value(options.type, reply["value"]);
  fmt::print("version {}, found in {:.1f} ms with {} questions; {} of its {} places lacked it\n",
             reply.value("version", std::uint64_t{0}), reply.value("ms", 0.0), reply.value("questions", 0U),
             reply.value("lacking", 0U), reply.value("places", 0U));
  return {};
}

Result<void> run_ping(const Context& context, const std::string& id) {
  auto request = asking("ping");
  request["id"] = id;
  TRY(const auto reply, ask(context, request));
  if (!context.json) fmt::print("server {} answers in {:.2f} ms\n", brief(reply, "server"), reply.value("ms", 0.0));
  return {};
}

}  // namespace

void add_directory(CLI::App& app, Context& context) {
  auto parent = std::make_shared<CLI::App*>(nullptr);
  auto* command = add_command(app, context, "directory", "Find servers, persons and stripes, whatever hostile servers say",
                              [&context, parent]() -> Result<void> {
                                if (!(*parent)->get_subcommands().empty()) return {};  // that one has run
                                return run_stats(context);
                              });
  *parent = command;
  command->require_subcommand(0, 1);
  add_json_flag(command, context);
  auto* stats = add_command(*command, context, "stats", "Where this server stands, what it keeps, and how much it asked",
                            [&context] { return run_stats(context); });
  add_json_flag(stats, context);

  auto records = std::make_shared<bool>(false);
  auto* ls = add_command(*command, context, "ls", "The servers by which this one finds its way",
                         [&context, records] { return run_ls(context, *records); });
  ls->add_flag("--records", *records, "Instead, the records that this server keeps for all");
  add_json_flag(ls, context);

  auto options = std::make_shared<GetOptions>();
  auto* get = add_command(*command, context, "get", "Find a record, asking several servers that don't depend on one another",
                          [&context, options] { return run_get(context, *options); });
  get->add_option("type", options->type, "server, person, stripe or health")
      ->required()
      ->check(CLI::IsMember({"server", "person", "stripe", "health"}));
  get->add_option("id", options->id, "The first digits of the server's, person's or stripe's id (of health: of the server "
                                     "that reported); all 64 if it is not known here")
      ->required()
      ->check(id_digits());
  get->add_option("--owner", options->owner, "Of a stripe: the server that wrote it; default: this one")->check(id_digits());
  get->add_option("--epoch", options->epoch, "Of health: the epoch; default: this one");
  add_json_flag(get, context);

  auto id = std::make_shared<std::string>();
  auto* ping = add_command(*command, context, "ping", "How long a server takes to answer",
                           [&context, id] { return run_ping(context, *id); });
  ping->add_option("server", *id, "The first digits of its id")->required()->check(id_digits());
  add_json_flag(ping, context);
}

}  // namespace spatter::doors
