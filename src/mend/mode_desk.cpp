#include "mend/mode_desk.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/task_groups.h"
#include "directory/allowances.h"
#include "net/methods.h"

namespace spatter {
namespace {

constexpr std::uint64_t epochs_kept = 4;      ///< before the present one
constexpr int reports_per_push = 64;
constexpr std::size_t reply_bytes_max = 384 << 10;
constexpr std::size_t servers_per_person = 8; ///< whose reports are kept in an epoch, where persons have voices
constexpr std::size_t asked_at_start = 5;
constexpr int taken_per_reply = 1024;         ///< of what one of them answers
constexpr std::size_t mode_file_bytes_max = 4096;
constexpr std::uint64_t forgotten_after = 10; ///< absences: then somebody does not count among those known either
/// Reports that one caller may push: at once, and a second in the long run. And how often he may ask for them.
constexpr double push_burst = 2048, push_per_s = 8;
constexpr double ask_burst = 16, ask_per_s = 1.0 / 30;

}  // namespace

struct ModeDesk::State {
  State(Parts parts, ModeDeskOptions options)
      : parts(std::move(parts)), options(options), changed(this->parts.runtime.executor()),
        members_changed(this->parts.runtime.executor()), ready(this->parts.runtime.executor()),
        judging(this->parts.runtime.executor()), tasks(this->parts.runtime.executor()) {}

  struct Heard {
    ModeReportFacts facts;
    wire::Signed record;
    std::optional<wire::Signed> other;  ///< of the same server: it says two things, and neither counts
  };
  struct Epoch {
    std::map<ServerId, Heard> reports;
    std::optional<Electorate> electorate;  ///< as it was when it was first judged with a quorum
  };
  using Records = std::vector<wire::Signed>;

  std::uint64_t epoch() const { return parts.genesis.epoch_of(parts.runtime.wall_ms()); }
  Duration length() const { return std::chrono::seconds(parts.genesis.epoch_seconds); }
  TimePoint begin_of(std::uint64_t number) const;

  Task<void> run();
  Task<void> catch_up();
  Task<bool> ask_others();
  bool sees_half() const;
  bool may_say() const;
  Task<void> report(std::uint64_t number);
  void sample(std::uint64_t number, ModeFacts& facts);
  void tell(const wire::Signed& record);
  void pass_on(const wire::ModePushRequest& news, const ServerId& from);
  Task<void> push(ServerId server, std::string body);
  /// Takes a report in; what others may not know yet is the answer.
  Task<Result<Records>> take(wire::Signed record);
  Result<void> may_count(const ModeReportFacts& facts) const;
  bool is_wanted(std::uint64_t number) const;
  bool has_voice(const ModeReport& report) const;

  Electorate count() const;
  ModeTally tally_of(std::uint64_t number);
  std::vector<ModeReportFacts> reports_of(std::uint64_t number) const;
  Task<void> judge(std::uint64_t last);
  void begin_anew(std::uint64_t last);
  Task<void> load();
  Task<Result<void>> save(ModeState state);

  using Handle = Task<Result<RpcReply>> (State::*)(Caller, RpcRequest);
  static Task<Result<RpcReply>> serve_while_there(std::shared_ptr<State> state, Handle handle, Caller caller,
                                                  RpcRequest request);
  Task<Result<RpcReply>> handle_push(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_reports(Caller caller, RpcRequest request);

  Parts parts;
  ModeDeskOptions options;
  std::map<std::uint64_t, Epoch> epochs;
  std::map<std::uint64_t, std::uint64_t> helpless;  ///< stripes lost or stuck, as reported by epoch
  Allowances<ServerId> pushes{push_burst, push_per_s}, questions{ask_burst, ask_per_s};
  ModeState settled;  ///< after the epoch before the one that was judged last: judged twice, and final
  ModeState now;
  ModeTally last_tally;
  std::optional<ModeTally> cause;  ///< of the present repair-only
  std::uint64_t reported = 0;      ///< epoch of the last own report; durable before anybody has it
  TimePoint started{};
  bool caught_up = false;
  bool had_half = false;           ///< of the voices, for a moment
  WallMs since_ms = 0;
  std::uint64_t waiting_most = 0;
  std::uint64_t changes = 0;
  std::function<void()>* on_change = nullptr;
  WaitQueue changed;
  WaitQueue members_changed;
  WaitQueue ready;  ///< had_half came about
  Mutex judging;    ///< and saving
  Members::Subscription subscription = 0;
  TaskGroup tasks;
};

TimePoint ModeDesk::State::begin_of(std::uint64_t number) const {
  const auto at = static_cast<WallMs>(parts.genesis.created_ms + number * 1000 * parts.genesis.epoch_seconds);
  return parts.runtime.now() + std::chrono::milliseconds(at - parts.runtime.wall_ms());
}

Task<void> ModeDesk::State::run() {
  auto& runtime = parts.runtime;
  while (true) {
    const auto number = epoch();
    const auto begin = begin_of(number);
    const auto half = begin + length() / 2;
    if (runtime.now() < half) {
      const auto jitter = length() / 4 * static_cast<Duration::rep>(runtime.chance().next_u64() % 1024) / 1024;
      co_await runtime.sleep_until(begin + jitter);
      while (!may_say() && runtime.now() < half) co_await wait_until(runtime, ready, std::min(half, started + length()));
      if (may_say()) co_await report(number);
      co_await runtime.sleep_until(half);
    }
    if (caught_up) co_await judge(number);
    co_await runtime.sleep_until(std::max(begin_of(number + 1), runtime.now() + std::chrono::milliseconds(10)));
  }
}

bool ModeDesk::State::sees_half() const {
  const auto electorate = count();
  return 2 * electorate.present >= electorate.voices;
}

/// After an outage of all everybody sees everybody gone at first.
bool ModeDesk::State::may_say() const { return had_half || parts.runtime.now() >= started + length(); }

/// Who has been away asks others what was reported meanwhile; not before he sees half of those who
/// have a voice, for what fewer say decides nothing. Nothing is judged before that.
Task<void> ModeDesk::State::catch_up() {
  auto& runtime = parts.runtime;
  const Duration moment = length() / 8;
  while (!sees_half()) co_await wait_until(runtime, members_changed, runtime.now() + moment);
  while (!co_await ask_others() && runtime.now() < started + length()) co_await runtime.sleep(moment);
  caught_up = true;
  const auto number = epoch();
  const bool half_is_over = runtime.now() >= begin_of(number) + length() / 2;
  if (number > 0 || half_is_over) co_await judge(half_is_over ? number : number - 1);
  do co_await runtime.sleep(moment);
  while (!sees_half());
  had_half = true;
  ready.wake_all();
}

/// False: there is somebody to be asked, and nobody has answered.
Task<bool> ModeDesk::State::ask_others() {
  auto up = parts.members.connected();
  std::erase_if(up, [](const Member& member) { return !member.up; });
  bool answered = up.empty();
  for (std::size_t i = up.size(); i > 1; --i) std::swap(up[i - 1], up[parts.runtime.chance().next_u64() % i]);
  up.resize(std::min(up.size(), asked_at_start));
  wire::ModeReportsRequest request;
  const auto present = epoch();
  request.set_from_epoch(present - std::min(present, epochs_kept));
  for (const auto& member : up) {
    auto reply = co_await parts.rpc.call(
        member.id, {.method = method::mode_reports, .body = request.SerializeAsString(), .payload = {}});
    wire::ModeReportsReply message;
    if (!reply || !message.ParseFromString(reply->body)) continue;
    answered = true;
    for (int i = 0; i < std::min(message.reports_size(), taken_per_reply); ++i) {
      const auto taken = co_await take(std::move(*message.mutable_reports(i)));
      if (!taken) parts.runtime.log().debug("from server {}: {}", member.id, taken.error().message);
    }
  }
  co_return answered;
}

/// A person counts while one of his servers does.
Electorate ModeDesk::State::count() const {
  const auto trusted = parts.trusted();
  struct Servers {
    std::uint64_t voices = 0, present = 0;
  };
  std::map<PersonId, Servers> persons;  ///< who have a voice
  std::set<PersonId> known;
  std::uint64_t servers_known = 0;
  const Duration absent_after = length() * parts.genesis.mend.absent_epochs;
  for (const auto& member : parts.members.all()) {
    if (!std::ranges::binary_search(trusted, member.person)) continue;
    const bool up = member.up || member.id == parts.identity.server;
    const auto away = up ? std::optional<Duration>() : parts.away(member.id);
    if (away && *away > absent_after * forgotten_after) continue;
    known.insert(member.person);
    ++servers_known;
    if (away && *away > absent_after) continue;
    auto& one = persons[member.person];
    ++one.voices;
    one.present += up;
  }
  Electorate electorate;
  if (persons.size() <= 1) {
    electorate.by_server = true;
    electorate.known = servers_known;
    if (!persons.empty()) {
      electorate.voices = electorate.persons = persons.begin()->second.voices;
      electorate.present = persons.begin()->second.present;
    }
    return electorate;
  }
  electorate.voices = persons.size();
  electorate.known = known.size();
  for (const auto& [person, one] : persons) electorate.present += one.present > 0;
  electorate.persons = parts.members.is_complete() ? electorate.voices : std::max<std::uint64_t>(trusted.size(), electorate.voices);
  return electorate;
}

/// Sees what has become lost or stuck of late, also in epochs in which nobody asks for it.
void ModeDesk::State::sample(std::uint64_t number, ModeFacts& facts) {
  helpless.erase(helpless.upper_bound(number), helpless.end());
  helpless[number] = facts.lost + facts.stuck;
  while (helpless.begin()->first + fresh_epochs < number) helpless.erase(helpless.begin());
  facts.fresh = helpless[number] - std::min(helpless[number], helpless.begin()->second);
}

Task<void> ModeDesk::State::report(std::uint64_t number) {
  const auto& identity = parts.identity;
  ModeReport report;
  report.facts = co_await parts.facts();
  sample(number, report.facts);
  if (!parts.members.is_trusted(identity.person) || reported == number) co_return;
  const auto draw = make_draw(parts.first_key, reporter_draw(identity.network, number, identity.person));
  const auto electorate = count();
  if (!is_reporter(draw.output, parts.genesis.mend, electorate.by_server ? 1 : electorate.persons)) co_return;
  const auto verdict = judge_facts(report.facts, parts.genesis.mend, length());
  report.reporter = identity.server;
  report.person = identity.person;
  report.epoch = number;
  report.draw_key = draw.proof.key;
  report.draw = draw.proof.proof;
  report.certificate = identity.certificate;
  report.threatened = verdict.threatened;
  report.calm = verdict.calm;
  report.repair_only = now.repair_only;
  report.made_ms = parts.runtime.wall_ms();
  // Two reports of one epoch would count as a lie, so after a restart there is no second.
  {
    auto turn = co_await judging.lock();
    reported = number;
    if (const auto saved = co_await save(now); !saved) {
      parts.runtime.log().warning("no report on the network's mode: {}", saved.error().message);
      co_return;
    }
  }
  auto record = make_mode_report(identity.server_key, identity.network, report);
  const auto taken = co_await take(record);
  if (!taken) parts.runtime.log().debug("the own report: {}", taken.error().message);
  if (taken && !taken->empty()) tell(record);
}

void ModeDesk::State::tell(const wire::Signed& record) {
  wire::ModePushRequest request;
  *request.add_reports() = record;
  const auto body = request.SerializeAsString();
  auto up = parts.members.connected();
  std::erase_if(up, [](const Member& member) { return !member.up; });
  for (std::size_t i = 0; i < std::min(up.size(), options.tell_max); ++i) {
    std::swap(up[i], up[i + parts.runtime.chance().next_u64() % (up.size() - i)]);
    tasks.spawn(push(up[i].id, body));
  }
}

void ModeDesk::State::pass_on(const wire::ModePushRequest& news, const ServerId& from) {
  auto up = parts.members.connected();
  std::erase_if(up, [&](const Member& member) { return !member.up || member.id == from; });
  const auto body = news.SerializeAsString();
  for (std::size_t i = 0; i < std::min(up.size(), options.pass_on); ++i) {
    std::swap(up[i], up[i + parts.runtime.chance().next_u64() % (up.size() - i)]);
    tasks.spawn(push(up[i].id, body));
  }
}

Task<void> ModeDesk::State::push(ServerId server, std::string body) {
  const auto pushed = co_await parts.rpc.call(server, {.method = method::mode_push, .body = std::move(body), .payload = {}});
  if (!pushed) parts.runtime.log().debug("server {} was not told of a mode report: {}", server, pushed.error().message);
}

bool ModeDesk::State::is_wanted(std::uint64_t number) const {
  const auto present = epoch();
  return number <= present + 1 && number + epochs_kept >= present;
}

/// What can change while a report is kept.
bool ModeDesk::State::has_voice(const ModeReport& report) const {
  return parts.members.is_trusted(report.person) && !parts.members.retired_by(report.reporter);
}

Result<void> ModeDesk::State::may_count(const ModeReportFacts& facts) const {
  const auto& report = facts.report;
  const auto denied = [&](std::string_view why) {
    return fail(Errc::denied, "a mode report of server {}: {}", report.reporter, why);
  };
  if (!std::ranges::binary_search(parts.trusted(), report.person) || !has_voice(report)) return denied("it has no voice here");
  if (parts.members.key_of(report.person) != facts.signed_by) return denied("its certificate is by a key that its person has changed");
  const auto verdict = judge_facts(report.facts, parts.genesis.mend, length());
  if (report.threatened != verdict.threatened || report.calm != verdict.calm)
    return denied("its figures do not call for what it says");
  const auto electorate = count();
  if (!may_report(facts.output, parts.genesis.mend, electorate.by_server ? 1 : electorate.persons))
    return denied("its person is not drawn in that epoch");
  return {};
}

Task<Result<ModeDesk::State::Records>> ModeDesk::State::take(wire::Signed record) {
  const auto& network = parts.identity.network;
  CO_TRY(const auto read, read_mode_report(record.body(), network));
  if (!is_wanted(read.epoch))
    co_return fail(Errc::invalid, "a mode report of server {} for epoch {}, which is not now", read.reporter, read.epoch);
  const auto known = [&]() -> Heard* {
    const auto at = epochs.find(read.epoch);
    if (at == epochs.end()) return nullptr;
    const auto heard = at->second.reports.find(read.reporter);
    return heard == at->second.reports.end() ? nullptr : &heard->second;
  };
  const auto says_nothing_new = [&](const Heard& before) {
    return before.other || before.record.body() == record.body();
  };
  if (const auto* before = known(); before && says_nothing_new(*before)) co_return Records{};
  auto checked = co_await parts.runtime.blocking([&] { return check_mode_report(record, network); });
  if (!checked) co_return fail(std::move(checked).error());
  CO_TRY_VOID(may_count(*checked));
  if (auto* before = known()) {
    if (says_nothing_new(*before)) co_return Records{};
    parts.runtime.log().warning("server {} has signed two different mode reports of epoch {}: neither counts", read.reporter, read.epoch);
    before->other = record;
    co_return Records{before->record, std::move(record)};
  }
  auto& reports = epochs[read.epoch].reports;
  const auto of_person = std::ranges::count_if(reports, [&](const auto& one) { return one.second.facts.report.person == read.person; });
  const std::size_t most = 4 * std::size_t{parts.genesis.mend.reporters} + 256;
  if (reports.size() >= most || (!count().by_server && static_cast<std::size_t>(of_person) >= servers_per_person))
    co_return fail(Errc::busy, "there are {} mode reports of epoch {} already", reports.size(), read.epoch);
  reports.emplace(read.reporter, Heard{std::move(*checked), record, {}});
  co_return Records{std::move(record)};
}

std::vector<ModeReportFacts> ModeDesk::State::reports_of(std::uint64_t number) const {
  std::vector<ModeReportFacts> result;
  if (const auto at = epochs.find(number); at != epochs.end())
    for (const auto& [server, heard] : at->second.reports)
      if (!heard.other && has_voice(heard.facts.report)) result.push_back(heard.facts);
  return result;
}

ModeTally ModeDesk::State::tally_of(std::uint64_t number) {
  auto& one = epochs[number];
  const auto electorate = one.electorate ? *one.electorate : count();
  const auto sum = tally(reports_of(number), number, electorate, parts.genesis.mend);
  if (sum.quorum) one.electorate = electorate;
  return sum;
}

/// After a clock that was ahead, or with a file from one: the mode stays, what follows is counted from now.
void ModeDesk::State::begin_anew(std::uint64_t last) {
  now.epoch = last - std::min<std::uint64_t>(last, 1);
  now.since_epoch = std::min(now.since_epoch, now.epoch);
  now.calm_run = 0;
  settled = now;
  epochs.erase(epochs.upper_bound(last + 1), epochs.end());
}

Task<void> ModeDesk::State::judge(std::uint64_t last) {
  auto turn = co_await judging.lock();
  if (now.epoch > last + 1) begin_anew(last);
  if (now.epoch > last) co_return;
  ModeState state = settled;
  const auto first = std::max(settled.epoch + 1, last - std::min(last, epochs_kept - 1));
  ModeTally began;
  for (auto number = first; number <= last; ++number) {
    const bool before = state.repair_only;
    last_tally = tally_of(number);
    state = step(state, last_tally, parts.genesis.mend);
    if (state.repair_only && !before) began = last_tally;
    if (number + 1 == last) settled = state;
  }
  const bool turned = state.repair_only != now.repair_only;
  if (turned) cause = state.repair_only ? std::optional(began.epoch > 0 ? began : last_tally) : std::nullopt;
  const auto waiting = last_tally.sum.due + last_tally.sum.urgent;
  if (turned) since_ms = parts.runtime.wall_ms();
  waiting_most = state.repair_only ? std::max(turned ? 0 : waiting_most, waiting) : 0;
  while (!epochs.empty() && epochs.begin()->first + epochs_kept < last) epochs.erase(epochs.begin());
  if (const auto saved = co_await save(state); !saved)
    parts.runtime.log().warning("the network's mode could not be saved: {}", saved.error().message);
  now = state;
  if (!turned) co_return;
  ++changes;
  changed.wake_all();
  if (on_change && *on_change) (*on_change)();
}

/// A file that is missing or cannot be read means that this server knows nothing yet.
Task<void> ModeDesk::State::load() {
  const auto bytes = co_await parts.runtime.blocking(
      [&] { return read_file(parts.runtime.disk(), options.path, mode_file_bytes_max); });
  wire::ModeFile file;
  if (!bytes || !file.ParseFromArray(bytes->data(), static_cast<int>(bytes->size()))) {
    if (bytes || bytes.error().code != Errc::not_found)
      parts.runtime.log().warning("{} cannot be read: others will tell the network's mode", options.path);
    co_return;
  }
  now = {file.epoch(), file.repair_only(), file.since_epoch(), file.calm_run()};
  settled = now;
  since_ms = static_cast<WallMs>(file.since_ms());
  waiting_most = file.waiting_most();
  reported = file.reported_epoch();
  if (file.has_cause()) {
    const auto& was = file.cause();
    cause = ModeTally{.epoch = was.epoch(), .reports = was.reports(), .threatened = was.threatened(), .repair_only = was.repair_only(),
                      .share_in_danger = was.in_danger_ppm() / 1e6};
    cause->sum.stripes = was.stripes();
    cause->sum.urgent = was.urgent();
    cause->sum.lost = was.lost();
  }
  if (const auto present = epoch(); now.epoch > present + 1) {
    parts.runtime.log().warning("{} is of epoch {}, and now is {}: one of the clocks was wrong", options.path, now.epoch, present);
    begin_anew(present);
  }
}

Task<Result<void>> ModeDesk::State::save(ModeState state) {
  wire::ModeFile file;
  file.set_epoch(state.epoch);
  file.set_repair_only(state.repair_only);
  file.set_since_epoch(state.since_epoch);
  file.set_since_ms(static_cast<std::uint64_t>(since_ms));
  file.set_calm_run(state.calm_run);
  file.set_waiting_most(waiting_most);
  file.set_reported_epoch(reported);
  if (cause) {
    auto& was = *file.mutable_cause();
    was.set_epoch(cause->epoch);
    was.set_reports(cause->reports);
    was.set_threatened(cause->threatened);
    was.set_repair_only(cause->repair_only);
    was.set_stripes(cause->sum.stripes);
    was.set_urgent(cause->sum.urgent);
    was.set_lost(cause->sum.lost);
    was.set_in_danger_ppm(static_cast<std::uint32_t>(cause->share_in_danger * 1e6));
  }
  const auto bytes = file.SerializeAsString();
  co_return co_await parts.runtime.blocking(
      [&] { return write_file_durably(parts.runtime.disk(), options.path, as_bytes(bytes)); });
}

Task<Result<RpcReply>> ModeDesk::State::serve_while_there(std::shared_ptr<State> state, Handle handle, Caller caller,
                                                          RpcRequest request) {
  if (!state || state->tasks.stopping()) co_return fail(Errc::unavailable, "this server is stopping");
  if (!state->parts.members.person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  co_return co_await (state.get()->*handle)(std::move(caller), std::move(request));
}

Task<Result<RpcReply>> ModeDesk::State::handle_push(Caller caller, RpcRequest request) {
  wire::ModePushRequest message;
  if (!message.ParseFromString(request.body) || message.reports_size() > reports_per_push)
    co_return fail(Errc::invalid, "a mode.push request that cannot be read, or is too long");
  if (!pushes.take(caller.server, message.reports_size(), parts.runtime.now()))
    co_return fail(Errc::busy, "server {} pushes too many mode reports", caller.server);
  wire::ModePushRequest news;
  for (auto& record : *message.mutable_reports()) {
    auto taken = co_await take(std::move(record));
    if (!taken) parts.runtime.log().debug("from server {}: {}", caller.server, taken.error().message);
    else for (auto& one : *taken) *news.add_reports() = std::move(one);
    if (news.reports_size() + 2 > reports_per_push) {
      pass_on(news, caller.server);
      news.Clear();
    }
  }
  if (news.reports_size() > 0) pass_on(news, caller.server);
  co_return RpcReply{wire::ModePushReply().SerializeAsString(), {}};
}

Task<Result<RpcReply>> ModeDesk::State::handle_reports(Caller caller, RpcRequest request) {
  if (!questions.take(caller.server, 1, parts.runtime.now()))
    co_return fail(Errc::busy, "server {} asks for mode reports too often", caller.server);
  wire::ModeReportsRequest message;
  if (!message.ParseFromString(request.body)) co_return fail(Errc::invalid, "a mode.reports request that cannot be read");
  wire::ModeReportsReply reply;
  std::size_t bytes = 0;
  const auto add = [&](const wire::Signed& record) {
    const auto size = record.ByteSizeLong() + 8;
    if (bytes + size > reply_bytes_max) return;
    bytes += size;
    *reply.add_reports() = record;
  };
  for (auto at = epochs.rbegin(); at != epochs.rend() && at->first >= message.from_epoch(); ++at) {
    if (at->first > epoch()) continue;
    for (const auto& [server, heard] : at->second.reports) {
      add(heard.record);
      if (heard.other) add(*heard.other);
    }
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

ModeDesk::ModeDesk(Parts parts, ModeDeskOptions options)
    : state_(std::make_shared<State>(std::move(parts), std::move(options))) {}
ModeDesk::~ModeDesk() = default;

Task<Result<void>> ModeDesk::start() {
  auto& state = *state_;
  state.on_change = &on_change;
  state.started = state.parts.runtime.now();
  co_await state.load();
  const auto serve = [&](std::uint16_t number, State::Handle handle) {
    state.parts.rpc.serve(number, [weak = std::weak_ptr(state_), handle](Caller caller, RpcRequest request) {
      return State::serve_while_there(weak.lock(), handle, std::move(caller), std::move(request));
    });
  };
  serve(method::mode_push, &State::handle_push);
  serve(method::mode_reports, &State::handle_reports);
  state.subscription = state.parts.members.subscribe([&state] { state.members_changed.wake_all(); });
  state.tasks.spawn(state.catch_up());
  state.tasks.spawn(state.run());
  co_return Result<void>{};
}

Task<void> ModeDesk::stop() {
  auto& state = *state_;
  if (state.subscription) state.parts.members.unsubscribe(std::exchange(state.subscription, 0));
  state.on_change = nullptr;
  co_await state.tasks.stop();
}

bool ModeDesk::repair_only() const { return state_->now.repair_only; }
std::uint64_t ModeDesk::changes() const { return state_->changes; }
Electorate ModeDesk::electorate() const { return state_->count(); }

Task<void> ModeDesk::wait_change(std::uint64_t seen) {
  while (state_->changes <= seen) co_await state_->changed.wait();
}

ModeStatus ModeDesk::status() const {
  const auto& state = *state_;
  ModeStatus status;
  status.state = state.now;
  status.since_ms = state.since_ms;
  status.tally = state.last_tally;
  status.waiting_most = state.waiting_most;
  status.cause = state.cause;
  const auto at = state.epochs.find(state.last_tally.epoch);
  if (at != state.epochs.end() && at->second.electorate) status.electorate = *at->second.electorate;
  else status.electorate = state.count();
  const auto reports = state.reports_of(state.last_tally.epoch);
  for (const auto* one : counted(reports, state.last_tally.epoch, status.electorate.by_server)) status.reports.push_back(*one);
  return status;
}

}  // namespace spatter
