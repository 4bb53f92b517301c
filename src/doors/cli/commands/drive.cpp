// spatter init, join, recover: making a drive on this machine.
#include <filesystem>
#include <iostream>

#include "cli/machine.h"
#include "directory/invite.h"
#include "node/join.h"

namespace spatter::doors {

namespace {

struct NewDriveWords {
  std::string link;
  std::string size;
  std::string name;
  std::optional<std::string> passphrase_file;
  std::optional<std::string> words_file;
};

Result<NewDrive> new_drive(const NewDriveWords& given) {
  NewDrive drive;
  drive.name = given.name;
  if (!given.size.empty()) {
    TRY(drive.size_bytes, parse_size(given.size));
  }
  TRY(drive.passphrase, passphrase_from(given.passphrase_file));
  if (given.words_file) {
    TRY(auto text, read_words(given.words_file));
    auto secret = PersonSecret::from_words(text);
    wipe(text);
    if (!secret) return fail(secret.error().during("the words in " + *given.words_file));
    drive.secret = *secret;
  }
  return drive;
}

void print_words(const std::string& words) {
  fmt::print("These 24 words are you. Write them down on paper, and keep them where nobody else\n"
             "looks. With them alone a new machine brings every file back; without them, once\n"
             "this machine is lost, nobody can.\n\n");
  std::istringstream in(words);
  std::string word;
  for (int number = 1; in >> word; ++number)
    fmt::print("  {:>2}. {:<10}{}", number, word, number % 4 == 0 ? "\n" : "");
  fmt::print("\n");
}

Json made_json(const Drive& drive, bool new_person) {
  Json made = {{"person", drive.person().hex()}, {"server", drive.server().hex()}};
  if (new_person && drive.fresh) made["words"] = drive.fresh->words.words();
  return made;
}

/// Refuses to make a drive where there is one, before anything is touched.
Result<void> refuse_existing(Machine& machine, const std::string& folder) {
  TRY(bool complete, machine.runtime().wait_for(drive_is_complete(machine.runtime())));
  if (complete) return fail(Errc::exists, "{} is a drive already: serve it with 'spatter up'", folder);
  return {};
}

struct NetworkWords {
  std::uint32_t reviewers = 0;
  std::optional<std::uint32_t> vouches;
  std::optional<std::uint32_t> renew_days;
  std::uint32_t epoch_seconds = 3600;
  std::optional<std::uint32_t> grace_epochs;
  std::optional<std::uint32_t> absent_epochs;
  std::optional<std::uint32_t> calm_epochs;
  std::optional<std::uint32_t> month_epochs;
};

Result<NewNetwork> new_network(const NetworkWords& given) {
  NewNetwork network;
  network.epoch_seconds = given.epoch_seconds;
  network.cycles_month_epochs = given.month_epochs;
  if (given.grace_epochs || given.absent_epochs || given.calm_epochs) {
    MendRules mend;
    mend.grace_epochs = given.grace_epochs.value_or(mend.grace_epochs);
    mend.absent_epochs = given.absent_epochs.value_or(3 * mend.grace_epochs);
    mend.calm_epochs = given.calm_epochs.value_or(mend.calm_epochs);
    TRY_VOID(check_mend_rules(to_wire(mend)));
    network.mend = mend;
  }
  if (given.reviewers == 0) {
    if (given.vouches || given.renew_days)
      return fail(Errc::invalid, "--vouches and --renew-days need --reviewers: without reviews whoever is invited is trusted");
    return network;
  }
  auto rules = TrustRules::reviewed();
  rules.reviewers = given.reviewers;
  rules.vouches_needed = given.vouches.value_or(given.reviewers / 2 + 1);
  // The rules count epochs; people mean days.
  const auto epochs = [&](std::uint64_t hours) {
    return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, hours * 3600 / given.epoch_seconds));
  };
  rules.aging_epochs = given.renew_days == 0 ? 0 : epochs(24 * std::uint64_t{given.renew_days.value_or(182)});
  rules.vouch_epochs = epochs(30 * 24);
  rules.substitute_epochs = epochs(3 * 24);
  rules.phrase_epochs = std::max(2U, epochs(2));
  rules.grace_epochs = epochs(30 * 24);
  rules.fraud_memory_epochs = epochs(365 * 24);
  TRY_VOID(check_rules(to_wire(rules)));
  network.rules = rules;
  return network;
}

Result<void> run_init(const Context& context, const NewDriveWords& given, const NetworkWords& wanted) {
  TRY(auto options, new_drive(given));
  TRY(auto founded, new_network(wanted));
  TRY(auto machine, Machine::take_new(context.drive));
  TRY_VOID(refuse_existing(machine, context.drive));
  TRY(auto drive, machine.runtime().wait_for(prepare_drive(machine.runtime(), options)));
  TRY(auto network, machine.runtime().wait_for(found_network(machine.runtime(), drive, founded)));
  bool new_person = !given.words_file;
  if (context.json) {
    Json made = made_json(drive, true);
    made["network"] = network.hex();
    context.print(made);
    return {};
  }
  fmt::print("The drive {} is ready.\n\n", context.drive);
  if (new_person) print_words(drive.fresh->words.words());
  fmt::print("Next:  spatter up           serve it\n"
             "       spatter invite       let a friend's machine join\n");
  return {};
}

/// The others said no, as opposed to having said nothing: then they may have let the drive in.
bool was_refused(const Error& error) {
  return error.code == Errc::denied || error.code == Errc::not_found ||
         error.code == Errc::no_space || error.code == Errc::invalid || error.code == Errc::exists;
}

Result<void> run_join(const Context& context, const NewDriveWords& given, std::optional<Recovery> recovery) {
  TRY(auto invite, parse_link(given.link));
  TRY(auto options, new_drive(given));
  bool fresh = !std::filesystem::exists(context.drive + "/format");
  const bool untouched = fresh && !std::filesystem::exists(context.drive + "/keyring");
  TRY(auto machine, Machine::take_new(context.drive));
  RealRuntime& runtime = machine.runtime();
  if (recovery) TRY_VOID(refuse_existing(machine, context.drive));
  auto opened = fresh ? runtime.wait_for(prepare_drive(runtime, options)) : machine.open(given.passphrase_file);
  if (!opened) return fail(opened.error());
  Drive drive = std::move(*opened);
  Transport& transport = machine.connect_as(drive.keyring.server_key);
  auto joined = runtime.wait_for(join_with_drive(runtime, transport, drive, invite, recovery));
  if (!joined) {
    // Whoever was refused has left no trace with the others; here he shall leave none either.
    if (untouched && was_refused(joined.error()))
      if (auto gone = runtime.wait_for(abandon_drive(runtime)); !gone)
        runtime.log().warning("{}", gone.error().message);
    return fail(joined.error());
  }
  const auto network = *joined;
  bool new_person = fresh && !given.words_file;
  if (context.json) {
    Json made = made_json(drive, new_person);
    made["network"] = network.hex();
    context.print(made);
    return {};
  }
  fmt::print("Joined the network {}.\n\n", network.brief());
  if (new_person) print_words(drive.fresh->words.words());
  if (recovery) fmt::print("Next:  spatter up     brings your files back and serves this drive\n");
  else fmt::print("Next:  spatter up     serve this drive: it fills with the others' shards, and holds your files\n");
  return {};
}

void add_drive_options(CLI::App* command, NewDriveWords& given, bool words_required) {
  command->add_option("--size", given.size, "How much of the disk the drive may use, such as 500G; default: all. Half is yours, half the others'")
      ->check(parsed_by(parse_drive_size, "SIZE"));
  command->add_option("--name", given.name, "A name of this machine, for people");
  command->add_option("--passphrase-file", given.passphrase_file, "Seal the keys with the passphrase on this file's first line")->type_name("FILE");
  auto* words = command->add_option("--words-file", given.words_file, "A file with the 24 recovery words of the person this server is for, as init printed them or bare")->type_name("FILE");
  if (words_required) words->required();
}

}  // namespace

void add_init(CLI::App& app, Context& context) {
  auto given = std::make_shared<NewDriveWords>();
  auto network = std::make_shared<NetworkWords>();
  auto* command = add_command(app, context, "init", "Make a drive: a new person, or one more server of a person",
                              [&context, given, network] { return run_init(context, *given, *network); });
  add_drive_options(command, *given, false);
  command->add_option("--reviewers", network->reviewers, "How many drawn members watch a newcomer's announce clip; default: none, whoever is invited is trusted")
      ->check(CLI::Range(0U, std::uint32_t{reviewers_max}));
  command->add_option("--vouches", network->vouches, "How many of them must vouch; default: more than half");
  command->add_option("--renew-days", network->renew_days, "After how many days trust must be renewed; 0: never; default: 182");
  command->add_option("--epoch-seconds", network->epoch_seconds, "The network's clock tick")->check(CLI::Range(1U, 86400U));
  command->add_option("--grace-epochs", network->grace_epochs,
                      "After so many of them without a machine the others rebuild what it kept (default: 24)");
  command->add_option("--absent-epochs", network->absent_epochs,
                      "After so many of them the others decide without it who keeps what (default: 3 times --grace-epochs)");
  command->add_option("--calm-epochs", network->calm_epochs,
                      "A network that only mends serves again after so many calm ones in a row (default: 2)");
  command->add_option("--month-epochs", network->month_epochs,
                      "How many of them are a month of spare cycles, for which a share is promised (default: 720)")
      ->check(CLI::Range(std::uint32_t{cycles_month_epochs_min}, std::uint32_t{cycles_month_epochs_max}));
  add_json_flag(command, context);
}

void add_join(CLI::App& app, Context& context) {
  auto given = std::make_shared<NewDriveWords>();
  auto* command = add_command(app, context, "join", "Make a drive and join the network of an invite link",
                              [&context, given] { return run_join(context, *given, {}); });
  command->add_option("link", given->link, "What 'spatter invite' printed on a member's machine")->required();
  add_drive_options(command, *given, false);
  add_json_flag(command, context);
}

void add_recover(CLI::App& app, Context& context) {
  auto given = std::make_shared<NewDriveWords>();
  auto recovery = std::make_shared<Recovery>();
  auto* command = add_command(app, context, "recover", "Bring everything back on a new machine, from the words alone",
                              [&context, given, recovery] { return run_join(context, *given, *recovery); });
  command->add_option("link", given->link, "An invite link of any member")->required();
  command->add_option("--volume", recovery->volume, "Take over this volume and leave all others alone: the first digits of its id, as 'spatter volumes' prints it")
      ->check(id_digits());
  command->add_flag("--copy", recovery->copy, "Copy what can be read into a new volume, below /recovered, instead of taking the old one over: when parts of it are lost for good");
  add_drive_options(command, *given, true);
  add_json_flag(command, context);
}

}  // namespace spatter::doors
