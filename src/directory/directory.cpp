#include "directory/directory.h"

namespace spatter {

/// What the questions of one look-up share. They may outlive it: a slow answer comes to nobody.
struct Directory::Search {
  Search(asio::any_io_executor executor, Lookup lookup, Position target,
         std::optional<RecordKey> key, bool introduce)
      : lookup(std::move(lookup)), target(target), key(key), introduce(introduce),
        changed(executor) {}
  Lookup lookup;
  Position target;
  std::optional<RecordKey> key;
  bool introduce;
  Event changed;
};

/// Puts that somebody waits for.
struct Directory::Passing {
  explicit Passing(asio::any_io_executor executor) : all_ended(executor) {}
  std::size_t left = 0, stored = 0;
  Event all_ended;
};

Directory::Directory(Runtime& runtime, DirectoryLink& link, ContactPtr own,
                     const RecordValidators& validators, DirectoryOptions options,
                     DirectoryPace pace)
    : runtime_(runtime), link_(link), validators_(validators), pace_(pace),
      core_(std::move(own), runtime.chance(), options), arrived_(runtime.executor()), told_(runtime.executor()),
      tasks_(runtime.executor()) {}

Directory::~Directory() = default;

void Directory::start(const std::vector<ContactPtr>& first) {
  for (const ContactPtr& contact : first) core_.table().heard(contact, runtime_.now());
  burst_left_ = pace_.checks_in_burst;
  tasks_.spawn(upkeep(first));
}

Task<void> Directory::stop() {
  co_await tasks_.stop();
  arrived_.set();  // nobody waits for what will not be
}

Task<Result<DirectoryReply>> Directory::ask(ContactPtr to, DirectoryRequest request) {
  ++counted_.questions;
  auto reply = co_await link_.ask(std::move(to), std::move(request));
  if (!reply) ++counted_.unanswered;
  co_return reply;
}

// Upkeep -------------------------------------------------------------------------------------

Task<void> Directory::look_round(std::vector<ContactPtr> first, DirectoryCore::Look look) {
  (void)co_await search(core_.look_round(first, look), core_.own()->position, std::nullopt, true);
  // Servers that come at the same time may miss each other: whom they ask does not know the other yet.
  // Where everybody knows everybody, looking round once more soon costs little.
  const bool soon = look == DirectoryCore::Look::arriving && core_.table().holds_everybody();
  next_look_ = runtime_.now() + (soon ? pace_.check_idle : core_.look_round_every());
}

void Directory::tell(const ContactPtr& contact) {
  core_.table().heard(contact, runtime_.now());
  burst_left_ = std::max(burst_left_, pace_.checks_when_told);
  told_.set();
}

DirectoryReply Directory::answer(const DirectoryRequest& request) {
  auto reply = core_.answer(request, runtime_.now(), runtime_.wall_ms());
  if (request.from && core_.table().is_candidate(*request.from)) {
    told_.set();
    if (core_.table().holds_everybody()) next_look_ = std::min(next_look_, runtime_.now() + pace_.check_idle);
  }
  return reply;
}

Task<void> Directory::upkeep(std::vector<ContactPtr> first) {
  using namespace asio::experimental::awaitable_operators;
  co_await look_round(std::move(first), DirectoryCore::Look::arriving);
  for (;;) {
    for (auto& ask : core_.republish(runtime_.now(), runtime_.wall_ms()))
      tasks_.spawn(pass_on(std::move(ask), nullptr));
    auto next = core_.next_check(runtime_.now());
    Duration pause = next ? pace_.check_busy : pace_.check_idle;
    if (next && burst_left_ > 0) {
      --burst_left_;
      pause = pace_.check_burst;
    } else if (!arrived_.is_set()) {
      co_await look_round({}, DirectoryCore::Look::arriving);
      arrived_.set();
    }
    if (next) tasks_.spawn(check(std::move(*next)));
    if (runtime_.now() >= next_look_) co_await look_round({}, DirectoryCore::Look::again);
    const auto quarter = static_cast<std::uint64_t>(pause.count() / 4 + 1);
    pause += Duration(runtime_.chance().below(quarter));
    // With nothing to check it would sleep for long.
    if (next) co_await runtime_.sleep(pause);
    else co_await (runtime_.sleep(pause) || told_.wait());
    told_.reset();
  }
}

Task<void> Directory::check(DirectoryCore::Ask asked) {
  auto reply = co_await ask(asked.to, asked.request);
  core_.check_ended(asked, reply ? &*reply : nullptr, runtime_.now());
}

Task<void> Directory::pass_on(DirectoryCore::Ask asked, std::shared_ptr<Passing> passing) {
  struct Ended {  // also when it is cancelled
    std::shared_ptr<Passing> passing;
    ~Ended() {
      if (passing && --passing->left == 0) passing->all_ended.set();
    }
  } ended{passing};
  auto reply = co_await ask(asked.to, asked.request);
  core_.put_ended(asked, reply.has_value(), runtime_.now());
  if (passing && reply && reply->stored > 0) ++passing->stored;
}

// Looking up ---------------------------------------------------------------------------------

Task<void> Directory::question(std::shared_ptr<Search> search, Lookup::Query query) {
  struct Ended {  // also when it is cancelled
    Search& search;
    ~Ended() { search.changed.set(); }
  } ended{*search};
  auto reply = co_await ask(query.to, core_.request_for(query, search->target, search->key,
                                                              search->introduce));
  if (reply) search->lookup.answered(query.number, *reply, runtime_.now());
  else search->lookup.failed(query.number);
}

Task<Lookup> Directory::search(Lookup lookup, Position target, std::optional<RecordKey> key,
                               bool introduce) {
  using namespace asio::experimental::awaitable_operators;
  auto search =
      std::make_shared<Search>(runtime_.executor(), std::move(lookup), target, key, introduce);
  for (;;) {
    search->changed.reset();
    for (auto& query : search->lookup.next(runtime_.now()))
      tasks_.spawn(question(search, std::move(query)));
    if (search->lookup.done() || tasks_.stopping()) break;
    if (const auto wake = search->lookup.wake_at(runtime_.now()))
      co_await (search->changed.wait() || runtime_.sleep_until(*wake));
    else
      co_await search->changed.wait();
  }
  core_.learn(search->lookup, runtime_.now());
  ++counted_.lookups;
  counted_.lookup_hops += search->lookup.hops();
  co_return std::move(search->lookup);
}

/// Waits until it has looked round. Once it has been stopped no question is asked any more, and whoever
/// waited for an answer would wait for ever.
Task<Result<void>> Directory::arrive() {
  co_await arrived_.wait();
  if (tasks_.stopping()) co_return fail(Errc::cancelled, "the directory is stopping");
  co_return Result<void>{};
}

Task<Result<RecordPtr>> Directory::get(RecordKey key) {
  CO_TRY(auto found, co_await look_up(key));
  co_return std::move(found.record);
}

Task<Result<Directory::Found>> Directory::look_up(RecordKey key) {
  CO_TRY_VOID(co_await arrive());
  const Lookup lookup = co_await search(core_.find_record(key), record_position(key), key);
  Found found{core_.store().get(key, runtime_.wall_ms()), 0, lookup.queries(), lookup.places().size(), lookup.lacking().size()};
  if (lookup.record() && (!found.record || lookup.record()->facts.version > found.record->facts.version)) {
    found.record = lookup.record();
    found.hops = lookup.hops();
  }
  for (auto& ask : core_.mending(lookup))
    tasks_.spawn(pass_on(std::move(ask), nullptr));
  if (found.record) co_return found;
  if (lookup.answering().empty() && core_.table().proven() > 0)
    co_return fail(Errc::unavailable, "directory record {}: nobody near it answers", key.subject);
  co_return fail(Errc::not_found, "directory record {}: nobody has it", key.subject);
}

Task<Result<std::vector<ContactPtr>>> Directory::look_for(Position position) {
  CO_TRY_VOID(co_await arrive());
  const Lookup lookup = co_await search(core_.find_servers(position), position, std::nullopt);
  co_return core_.found_for(lookup, position);
}

Task<Result<void>> Directory::ping(ContactPtr contact) {
  CO_TRY_VOID(co_await ask(std::move(contact), {}));
  co_return Result<void>{};
}

/// How many took the record, this server included.
Task<std::size_t> Directory::publish(DirectoryCore::Publication publication, RecordPtr record) {
  auto passing = std::make_shared<Passing>(runtime_.executor());
  if (publication.self && core_.store().put(record, runtime_.now(), runtime_.wall_ms(),
                                            runtime_.chance().next_u64()))
    ++passing->stored;
  if (tasks_.stopping()) co_return passing->stored;
  passing->left = publication.asks.size();
  for (auto& ask : publication.asks) tasks_.spawn(pass_on(std::move(ask), passing));
  if (passing->left > 0) co_await passing->all_ended.wait();
  co_return passing->stored;
}

Task<Result<std::size_t>> Directory::put(RecordKey key, std::string value) {
  CO_TRY(const RecordPtr record, validators_.check(key, std::move(value)));
  CO_TRY_VOID(co_await arrive());
  if (auto at_once = core_.publication_at_once(record))
    if (const auto stored = co_await publish(std::move(*at_once), record); stored > 0) co_return stored;
  // Else, or when those who were taken for everybody are not: the record's places keep it, others don't.
  const Lookup lookup =
      co_await search(core_.find_servers(record->position), record->position, std::nullopt);
  const auto stored = co_await publish(core_.publication(lookup, record), record);
  if (stored == 0)
    co_return fail(Errc::unavailable, "directory record {}: no server takes it", key.subject);
  co_return stored;
}

Directory::Stats Directory::stats() const {
  Stats stats = counted_;
  const auto contacts = core_.table().contacts();
  stats.contacts = contacts.size();
  stats.records = core_.store().size();
  stats.memory_bytes = core_.table().memory_bytes() + core_.store().bytes();
  for (const ContactPtr& contact : contacts) stats.memory_bytes += contact->memory_bytes();
  stats.network_size = core_.table().network_size();
  return stats;
}

}  // namespace spatter
