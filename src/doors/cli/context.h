// What every command of the command line shares: the drive it means, how it prints, how it fails.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "doors/control.h"

namespace spatter::doors {

/// Exit statuses of `spatter`, as documented in docs/OPERATIONS.md.
enum Exit : int { exit_ok = 0, exit_failed = 1, exit_usage = 2 };

struct Context {
  std::string drive;  ///< --drive, or SPATTER_DRIVE, or $HOME/spatter
  bool json = false;
  int exit_status = exit_ok;
  mutable bool printed = false;  ///< the JSON document is out, of which there is one

  /// What the server has to say to whoever runs a command (that the network only mends, say) goes to standard
  /// error, once.
  Result<ControlClient> connect() const;
  /// The command's JSON document: at most one, also when it fails.
  void print(const Json& document) const;
};

/// Makes the subcommand `name` (of the program, or of another command) whose body `run` returns what
/// went wrong, if anything did; the error is then printed as "spatter NAME: message" (and as JSON
/// with --json, unless `run` printed a document) and the exit status set.
CLI::App* add_command(CLI::App& app, Context& context, const std::string& name,
                      const std::string& help, std::function<Result<void>()> run);
void add_json_flag(CLI::App* command, Context& context);

/// "1.5 GiB", "312 KiB", "17 B".
std::string bytes_text(std::uint64_t bytes);
std::string duration_text(double seconds);
/// "3e-05", "<1e-12", "0.2".
std::string chance_text(double chance);

/// A name for people: bytes that aren't valid UTF-8, control characters and '\' become \xNN, so that
/// no two names look alike.
std::string printable(std::string_view raw);
/// The same for sentences with names in them, in which '\' may be there already.
std::string printable_text(std::string_view raw);
bool is_utf8(std::string_view raw);
/// {"name": printable} and, when it had to be altered, {"name_hex": ...}.
void put_name(Json& object, const std::string& key, std::string_view raw);

/// {"error": ..., "code": ...}
Json error_json(const Error& error);

/// Ends this process when nobody reads its output any more, as other programs do that mainly print.
void stop_when_output_closes();

/// For options: text that `parse` takes, a Result as ever. A usage error says why it does not.
template <class Parse>
CLI::Validator parsed_by(Parse parse, std::string type) {
  return CLI::Validator(
      [parse](std::string& text) {
        auto result = parse(text);
        return result ? std::string() : printable_text(result.error().message);
      },
      std::move(type));
}
/// "0" to 2^64 - 1.
Result<std::uint64_t> parse_whole_number(const std::string& text);
/// Checks that an argument is the first 6 or more digits of an id.
CLI::Validator id_digits();
Result<std::string> read_text_file(const std::string& path, const char* what);
/// The 24 recovery words in a file, bare or as `init` printed them; without a file, from standard input.
Result<std::string> read_words(const std::optional<std::string>& file);

/// A line on the terminal that says how far long work is, how fast, and how long it will take.
/// Silent when standard error is no terminal.
class Progress {
 public:
  Progress(std::string verb, std::uint64_t total_bytes);
  ~Progress() { clear(); }
  void advance(std::uint64_t bytes);  ///< any thread
  void set_done(std::uint64_t bytes); ///< any thread
  void restart(std::string verb, std::uint64_t total_bytes);
  void clear();

 private:
  void draw();
  struct State;
  std::shared_ptr<State> state_;
};

// One per file under commands/.
void add_init(CLI::App&, Context&);
void add_up(CLI::App&, Context&);
void add_invite(CLI::App&, Context&);
void add_join(CLI::App&, Context&);
void add_recover(CLI::App&, Context&);
void add_put(CLI::App&, Context&);
void add_get(CLI::App&, Context&);
void add_cat(CLI::App&, Context&);
void add_ls(CLI::App&, Context&);
void add_du(CLI::App&, Context&);
void add_rm(CLI::App&, Context&);
void add_mv(CLI::App&, Context&);
void add_mkdir(CLI::App&, Context&);
void add_status(CLI::App&, Context&);
void add_metrics(CLI::App&, Context&);
void add_contracts(CLI::App&, Context&);
void add_repair(CLI::App&, Context&);
void add_jobs(CLI::App&, Context&);
void add_pledge(CLI::App&, Context&);
void add_cycles(CLI::App&, Context&);
void add_mine(CLI::App&, Context&);
void add_miner_process(CLI::App&, Context&);
void add_mode(CLI::App&, Context&);
void add_events(CLI::App&, Context&);
void add_audit(CLI::App&, Context&);
void add_servers(CLI::App&, Context&);
void add_volumes(CLI::App&, Context&);
void add_forget(CLI::App&, Context&);
void add_fsck(CLI::App&, Context&);
void add_chance(CLI::App&, Context&);
void add_directory(CLI::App&, Context&);
void add_trust(CLI::App&, Context&);
void add_key(CLI::App&, Context&);
void add_vouch(CLI::App&, Context&);
void add_announce(CLI::App&, Context&);
void add_reviews(CLI::App&, Context&);
void add_review(CLI::App&, Context&);
void add_renew(CLI::App&, Context&);
void add_countersign(CLI::App&, Context&);
void add_doubt(CLI::App&, Context&);
void add_try(CLI::App&, Context&);
void add_completion(CLI::App&, Context&);
void add_man(CLI::App&, Context&);

}  // namespace spatter::doors
