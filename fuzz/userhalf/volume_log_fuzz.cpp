// Log records of any content, applied to an index: an error or a change, never a crash. (They are
// sealed by the owner, but a disk or an older version of ourselves may have written nonsense.)
#include <unistd.h>

#include <filesystem>

#include "base/database.h"
#include "base/real_runtime.h"
#include "tree.h"

using namespace spatter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static RealRuntime* const runtime =
      RealRuntime::open({.root = std::filesystem::temp_directory_path().string(),
                         .log_sink = [](LogLevel, std::string_view) {}})
          .value()
          .release();
  // Never destroyed: nobody is left to close it when the fuzzer exits.
  static Database* const database = [] {
    const std::string name = fmt::format("spatter-fuzz-{}.db", ::getpid());
    auto opened = runtime->wait_for(Database::open(*runtime, name, volume_migrations()));
    // It lives on as long as it is open.
    for (const char* suffix : {"", "-wal"}) (void)runtime->disk().remove(name + suffix);
    return opened.value().release();
  }();
  wire::LogEntry entry;
  if (!entry.ParseFromArray(data, static_cast<int>(size))) return 0;
  // An error at the end takes everything back, for the next input.
  (void)runtime->wait_for(database->write([&](Connected& db) -> Result<void> {
    TRY_VOID(make_root(db, 0));
    StateRow state;
    TreeEdit edit(db, state, TreeEdit::Mode::replay, 0);
    for (const auto& changes : entry.records())
      if (!edit.apply(changes)) break;
    TRY_VOID(recount_uses(db));
    TreeView view(db);
    (void)view.resolve("a/b");
    return fail(Errc::cancelled, "enough");
  }));
  wire::SnapshotPiece piece;
  (void)piece.ParseFromArray(data, static_cast<int>(size));
  return 0;
}
