// The entries on this drive: those of other servers, and this server's own chain, of which it is the only
// writer. An own entry is durable before anybody gets it, so whatever moment the machine fails at, no
// number is ever used twice. (Two machines with copies of one drive would do so, and prove
// themselves cheats.)
#pragma once

#include <memory>
#include <vector>

#include "base/database.h"
#include "base/runtime.h"
#include "cycles/entry.h"

namespace spatter::cycles {

/// All calls on the Runtime's executor. close() must have been awaited before it dies; the key outlives it.
class LedgerStore {
 public:
  /// Opens or makes `path` on the Runtime's disk.
  static Task<Result<std::unique_ptr<LedgerStore>>> open(Runtime& runtime, std::string path, const SigningKey& server,
                                                         NetworkId network, PersonId person);

  /// Says something: the next entry of the own chain, durable on return. Calls may overlap.
  Task<Result<MadeEntry>> append(What what, WallMs now, WallMs cause_ms = 0);

  struct Kept {
    wire::CyclesRecord record;
    Entry entry;  ///< checked
  };
  /// Keeps entries that were checked, durable on return; those that are here already are passed over. Own
  /// entries may be among them, from servers that remember what this drive has lost: the chain goes on
  /// after the highest.
  Task<Result<void>> add(std::vector<Kept> entries);

  Task<Result<ChainHead>> head();
  /// All entries, by date, checked anew. Errc::corrupt names the one that does not stand the check.
  Task<Result<std::vector<Entry>>> load();
  /// Of one chain from a number on, in order, both of any two with one number; at most `limit`.
  Task<Result<std::vector<wire::CyclesRecord>>> chain(ServerId server, std::uint64_t from, std::uint32_t limit);
  Task<Result<std::vector<wire::CyclesRecord>>> find(std::vector<EntryId> ids);

  Task<void> close();

 private:
  LedgerStore(const SigningKey& server, NetworkId network, PersonId person)
      : key_(server), network_(network), person_(person), server_(server_id(server.public_key())) {}

  const SigningKey& key_;
  NetworkId network_;
  PersonId person_;
  ServerId server_;
  std::unique_ptr<Database> database_;
};

}  // namespace spatter::cycles
