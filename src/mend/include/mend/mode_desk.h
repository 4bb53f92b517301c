// One server's part in the network's mode (mend/mode.h): reports when its person is drawn, passes reports on,
// judges each epoch, and says when the mode has changed.
//
// In each epoch: the report is made at a drawn time in the first quarter; at half of it the epoch is judged,
// and the one before it once more, with what came late. A server that starts asks others for the reports of the
// last epochs as soon as half of the voices are present; until then it judges nothing and stays in the mode that
// it was in. It reports when half of them have been there for a moment (1/8 epoch), or an epoch after its start.
//
// All calls on the executor; the parts outlive it; await stop() before it dies. Durable: the mode, before
// anybody here is told of a change.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime.h"
#include "base/sync.h"
#include "base/task.h"
#include "directory/members.h"
#include "mend/mode.h"
#include "net/rpc.h"

namespace spatter {

struct ModeDeskOptions {
  std::string path = "network/mode";  ///< on the Runtime's disk
  std::size_t tell_max = 64;          ///< members that a reporter tells; whoever hears
  std::size_t pass_on = 8;            ///< of a report for the first time passes it on to so many
};

/// What is known here of the network's mode.
struct ModeStatus {
  ModeState state;
  WallMs since_ms = 0;       ///< when this server saw it begin; 0: it has always been so
  ModeTally tally;           ///< of the epoch that was judged last
  Electorate electorate;     ///< likewise
  std::vector<ModeReportFacts> reports;  ///< those that counted in it
  std::uint64_t waiting_most = 0;        ///< stripes that were due or urgent at once, since it only mends
  std::optional<ModeTally> cause;        ///< of the epoch that began it: who said what, stripes, urgent and lost
  std::uint64_t waiting() const { return tally.sum.due + tally.sum.urgent; }
};

class ModeDesk {
 public:
  struct Parts {
    Runtime& runtime;
    Rpc& rpc;
    Members& members;
    const Identity& identity;
    const GenesisFacts& genesis;
    SigningKey first_key;                         ///< of the person: what he draws with
    std::function<std::vector<PersonId>()> trusted;  ///< all persons that are
    std::function<std::optional<Duration>(const ServerId&)> away;  ///< as Mender::away
    std::function<Task<ModeFacts>()> facts;       ///< what is seen here now, but for `fresh`
  };
  explicit ModeDesk(Parts parts, ModeDeskOptions options = {});
  ~ModeDesk();

  /// Reads the mode that this server was in, serves mode.push and mode.reports, and begins.
  Task<Result<void>> start();
  Task<void> stop();

  bool repair_only() const;
  ModeStatus status() const;

  /// Called after the mode has changed. Set before start().
  std::function<void()> on_change;
  /// So often has it changed since the start.
  std::uint64_t changes() const;
  /// Returns once changes() is more than `seen`.
  Task<void> wait_change(std::uint64_t seen);

  /// Counts who has a voice, now.
  Electorate electorate() const;

  struct State;

 private:
  std::shared_ptr<State> state_;  ///< shared with calls that come too late
};

}  // namespace spatter
