// The directory as a server runs it: keeps the routing table fresh and the records alive in the
// background, finds and publishes records when asked. All calls on the executor.
//
// A record is found as long as one of the honest servers that keep it is up and one honest server
// near it is found; what hostile servers say can hide neither (directory/lookup.h).
#pragma once

#include <memory>

#include "base/runtime.h"
#include "base/sync.h"
#include "directory/core.h"
#include "directory/link.h"

namespace spatter {

struct DirectoryPace {
  Duration check_busy = std::chrono::seconds(5);   ///< between checks, while there is something to check
  Duration check_idle = std::chrono::seconds(30);  ///< until looking again, when there is not
  Duration check_burst = std::chrono::milliseconds(250);  ///< between the first checks after a start
  unsigned checks_in_burst = 96;
  unsigned checks_when_told = 8;  ///< as quick as those, after somebody was told of
};

class Directory {
 public:
  /// `own`: this server's contact, its signed record inside. The references outlive the object.
  Directory(Runtime& runtime, DirectoryLink& link, ContactPtr own, const RecordValidators& validators,
            DirectoryOptions options = {}, DirectoryPace pace = {});
  ~Directory();  ///< stopped, or never started

  /// Begins upkeep. `first`: servers known from elsewhere (an invite, the last run), verified. Who
  /// has just come knows too few to publish at the right servers; so get and put wait until it has
  /// looked round, which takes seconds at most.
  void start(const std::vector<ContactPtr>& first);
  Task<void> stop();

  /// Somebody whom we know from elsewhere is in the directory as well: verified, and checked soon.
  void tell(const ContactPtr& contact);
  /// A newer record of this server's own.
  void set_own(ContactPtr own) { core_.set_own(std::move(own)); }

  // Both: Errc::cancelled once it is stopped.
  /// The highest valid version there is. Errc::not_found: those who should have it do not.
  /// Errc::unavailable: nobody near it could be asked.
  Task<Result<RecordPtr>> get(RecordKey key);
  /// The same, and what it took.
  struct Found {
    RecordPtr record;
    std::size_t hops = 0;       ///< to the first server that had it; 0: it is kept here
    std::size_t questions = 0;
    std::size_t places = 0;     ///< where it is or should be
    std::size_t lacking = 0;    ///< of them, those asked that had it not, or an older version
  };
  Task<Result<Found>> look_up(RecordKey key);
  /// Looks up who is near a newcomer's position, for it: contacts as in DirectoryCore::found_for.
  Task<Result<std::vector<ContactPtr>>> look_for(Position position);
  /// Whether one server answers, under one of the addresses of its record.
  Task<Result<void>> ping(ContactPtr contact);
  /// Publishes a record: done when all its places have been asked to keep it. Says how many keep it.
  /// Errc::unavailable when none does. Errc::invalid or what the validator says: it is no good.
  Task<Result<std::size_t>> put(RecordKey key, std::string value);
  /// What others ask; everything in the request has been verified.
  DirectoryReply answer(const DirectoryRequest& request);
  DirectoryCore& core() { return core_; }
  const DirectoryCore& core() const { return core_; }

  struct Stats {
    std::size_t contacts = 0;
    std::size_t records = 0;
    std::size_t memory_bytes = 0;
    double network_size = 0;
    std::uint64_t questions = 0, unanswered = 0;
    std::uint64_t lookups = 0, lookup_hops = 0;
  };
  Stats stats() const;

 private:
  struct Search;
  struct Passing;
  Task<Result<void>> arrive();
  Task<void> upkeep(std::vector<ContactPtr> first);
  Task<void> look_round(std::vector<ContactPtr> first, DirectoryCore::Look look);
  Task<void> check(DirectoryCore::Ask ask);
  Task<std::size_t> publish(DirectoryCore::Publication publication, RecordPtr record);
  Task<void> pass_on(DirectoryCore::Ask ask, std::shared_ptr<Passing> passing);
  Task<Lookup> search(Lookup lookup, Position target, std::optional<RecordKey> key,
                      bool introduce = false);
  Task<void> question(std::shared_ptr<Search> search, Lookup::Query query);
  Task<Result<DirectoryReply>> ask(ContactPtr to, DirectoryRequest request);

  Runtime& runtime_;
  DirectoryLink& link_;
  const RecordValidators& validators_;
  DirectoryPace pace_;
  DirectoryCore core_;
  unsigned burst_left_ = 0;
  Event arrived_;
  Event told_;
  TimePoint next_look_{};
  Stats counted_;
  TaskGroup tasks_;
};

}  // namespace spatter
