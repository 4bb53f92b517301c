#include "work_play.h"

#include "crypto/hash.h"
#include "cycles/video_target.h"

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t fuel_per_byte = 100'000;
constexpr std::size_t input_bytes_max = 64 * 1024;
constexpr unsigned pieces_max = 6;
constexpr std::size_t stretch_bytes = 12 * 1024;
constexpr std::uint32_t sizes[] = {720, 240};  // that a whole file is made in

std::string computed(ByteView module, ByteView input) {
  return Sha256().update(module).update(input).finish().hex() + "\n";
}

Bytes module_bytes() { return Bytes(as_bytes("a program").begin(), as_bytes("a program").end()); }

wire::TranscodeWork work_of(std::uint32_t size) {
  wire::TranscodeWork work;
  work.set_height(size);
  return work;
}

/// As if every byte were a frame.
std::uint64_t fuel_of(const wire::TranscodeWork& work, std::size_t bytes) { return cycles::transcode_fuel(work, 1 + bytes); }

Result<void> write_plainly(Disk& disk, const std::string& path, ByteView bytes) {
  TRY(auto file, disk.open(path, OpenMode::create));
  TRY_VOID(file->truncate(0));
  return file->write_at(0, bytes);
}

}  // namespace

Result<void> SimWorkshop::can_make(const std::string& target) const {
  if (target != "sim") return fail(Errc::invalid, "only sim");
  return {};
}

Task<void> SimWorkshop::take_a_while() { co_await runtime_.sleep(Duration(runtime_.chance().below(8'000'000'000))); }

Task<Result<JobWorkshop::Split>> SimWorkshop::split(std::string, std::string, std::string folder) {
  co_await take_a_while();
  co_return co_await runtime_.blocking([&]() -> Result<Split> {
    auto& disk = runtime_.disk();
    TRY(const auto source, read_file(disk, folder + "/source", 1 << 20));
    TRY_VOID(disk.make_directories(folder + "/in"));
    Split split{.kind = "sim whole", .fuel_max = 1ULL << 50, .memory_bytes_max = 1 << 20, .output_bytes_max = 1 << 20};
    for (const auto size : sizes)
      for (std::size_t at = 0; at < source.size(); at += stretch_bytes) {
        const auto part = ByteView(source).subspan(at, std::min(stretch_bytes, source.size() - at));
        const auto path = fmt::format("in/{}", at / stretch_bytes);
        TRY_VOID(write_plainly(disk, folder + "/" + path, part));
        split.pieces.push_back({.name = fmt::format("{}/{}", size, at), .path = path, .bytes = part.size(), .local = true,
                                .fuel = fuel_of(work_of(size), part.size()), .work = work_of(size).SerializeAsString()});
      }
    split.plan = fmt::format("{} pieces", split.pieces.size());
    return split;
  });
}

Task<Result<void>> SimWorkshop::beside(std::string folder, std::string) {
  co_await take_a_while();
  co_return co_await runtime_.blocking([&]() -> Result<void> {
    auto& disk = runtime_.disk();
    if (disk.stat(folder + "/beside")) return {};
    TRY_VOID(disk.stat(folder + "/source"));
    return write_file_durably(disk, folder + "/beside", as_bytes("made"));
  });
}

Task<Result<std::vector<JobWorkshop::Made>>> SimWorkshop::join(std::string folder, std::string plan, std::vector<Output> outputs) {
  co_await take_a_while();
  co_return co_await runtime_.blocking([&]() -> Result<std::vector<Made>> {
    auto& disk = runtime_.disk();
    if (plan != fmt::format("{} pieces", outputs.size())) return fail(Errc::corrupt, "{} outputs for {}", outputs.size(), plan);
    TRY_VOID(disk.stat(folder + "/beside"));
    Bytes whole;
    for (const auto& output : outputs) {
      TRY(const auto bytes, read_file(disk, output.path, 1 << 20));
      whole.insert(whole.end(), bytes.begin(), bytes.end());
    }
    TRY_VOID(write_plainly(disk, folder + "/whole", whole));
    return std::vector<Made>{{"whole", folder + "/whole", whole.size()}};
  });
}

Result<void> SimRunner::can_run(const wire::WorkOrder& order) const {
  if (!order.has_module() && !order.has_transcode()) return fail(Errc::invalid, "only modules and transcodings");
  return {};
}

Task<Result<PieceDone>> SimRunner::run(wire::WorkOrder order, PieceFiles files) {
  auto read = co_await runtime_.blocking([&]() -> Result<std::pair<Bytes, Bytes>> {
    Bytes module, input;
    if (order.has_transcode()) {
      const auto work = order.transcode().SerializeAsString();
      module.assign(work.begin(), work.end());
    } else {
      TRY(module, read_file(runtime_.disk(), files.module, 1 << 20));
    }
    if (!files.inputs.empty()) {
      TRY(input, read_file(runtime_.disk(), files.inputs.front(), 1 << 20));
    }
    return std::pair(std::move(module), std::move(input));
  });
  CO_TRY(const auto bytes, std::move(read));
  PieceDone done;
  done.fuel = order.has_transcode() ? fuel_of(order.transcode(), bytes.second.size()) : 1 + bytes.second.size() * fuel_per_byte;
  const double seconds = static_cast<double>(done.fuel) / fuel_per_s_ * (0.9 + 0.2 * runtime_.chance().unit());
  co_await runtime_.sleep(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds)));
  auto output = computed(bytes.first, bytes.second);
  if (wrong_) output[0] = output[0] == '0' ? '1' : '0';
  const auto written = co_await runtime_.blocking([&]() -> Result<void> {
    TRY(auto file, runtime_.disk().open(files.output, OpenMode::create));
    TRY_VOID(file->truncate(0));
    return file->write_at(0, as_bytes(output));
  });
  CO_TRY_VOID(written);
  co_return done;
}

Task<std::optional<WorkPlay::Given>> WorkPlay::give(unsigned index, unsigned number) {
  std::optional<Given> given;
  co_await fleet_.run_on(index, [&, index, number](Server& server) -> Task<void> {
    Given job{.index = index, .output = fmt::format("out-{}", number)};
    JobSpec spec{.name = "a program", .kind = "sim", .output = "/" + job.output,
                 .fuel_max = 1ULL << 50, .memory_bytes_max = 1 << 20, .output_bytes_max = 1 << 20};
    const bool whole = world_.random().below(2) == 0;
    if (!co_await (whole ? write_whole(server, number, spec, job) : write_pieces(server, number, spec, job))) co_return;
    const auto id = co_await server.jobs().submit(std::move(spec));
    if (!id) co_return;
    job.id = *id;
    world_.note(fmt::format("m{} gives out job {} of {}", index, id->brief(), whole ? "one file" : "pieces"));
    given = std::move(job);
  });
  co_return given;
}

Task<bool> WorkPlay::write_pieces(Server& server, unsigned number, JobSpec& spec, Given& job) {
  spec.module = module_bytes();
  const auto pieces = 1 + world_.random().below(pieces_max);
  for (std::uint64_t i = 0; i < pieces; ++i) {
    Bytes input(world_.random().below(input_bytes_max));
    world_.random().fill(input);
    const auto name = fmt::format("in-{}-{}", number, i);
    if (!co_await server.volume().put_small("/" + name, {}, Buffer::copy_of(input))) co_return false;
    spec.pieces.push_back({name, "/" + name, 0, input.size()});
    job.expected.emplace_back(name, computed(spec.module, input));
  }
  co_return true;
}

/// A job whose pieces are cut at home: its server may go down before, while and after that.
Task<bool> WorkPlay::write_whole(Server& server, unsigned number, JobSpec& spec, Given& job) {
  Bytes input(1 + world_.random().below(input_bytes_max));
  world_.random().fill(input);
  const auto path = fmt::format("/whole-{}", number);
  if (!co_await server.volume().put_small(path, {}, Buffer::copy_of(input))) co_return false;
  spec.whole = JobSpec::Whole{path, input.size(), "sim"};
  std::string expected;
  for (const auto size : sizes)
    for (std::size_t at = 0; at < input.size(); at += stretch_bytes)
      expected += computed(as_bytes(work_of(size).SerializeAsString()), ByteView(input).subspan(at, std::min(stretch_bytes, input.size() - at)));
  job.expected.emplace_back("whole", std::move(expected));
  co_return true;
}

/// Whether it has ended; what it came to is looked at then.
Task<bool> WorkPlay::judge(Given& job) {
  bool ended = false;
  co_await fleet_.run_on(job.index, [&](Server& server) -> Task<void> {
    const auto report = co_await server.jobs().report(job.id);
    if (!report) {
      problems_.add("m{}: job {}: {}", job.index, job.id, report.error().message);
      ended = true;
      co_return;
    }
    if (report->state == JobState::running) co_return;
    ended = true;
    world_.note(fmt::format("job {} of m{} is {} {}", job.id.brief(), job.index, to_string(report->state), report->trouble));
    if (report->state != JobState::done) {
      problems_.add("m{}: job {} is {}: {}", job.index, job.id, to_string(report->state), report->trouble);
      co_return;
    }
    ++done_;
    for (const auto& [name, wanted] : job.expected) {
      const auto path = "/" + job.output + "/" + name;
      auto reader = co_await server.volume().read_file(path);
      if (!reader) {
        problems_.add("m{}: {}: {}", job.index, path, reader.error().message);
        continue;
      }
      const auto bytes = co_await (*reader)->read(0, wanted.size() + 1);
      if (!bytes || as_text(bytes->view()) != wanted) problems_.add("m{}: {} holds a wrong result", job.index, path);
    }
  });
  co_return ended;
}

Task<void> WorkPlay::member(unsigned index, unsigned jobs) {
  for (bool promised = false; !promised;) {
    co_await world_.sleep(Duration(world_.random().below(5'000'000'000)));
    co_await fleet_.run_on(index, [&](Server& server) -> Task<void> {
      promised = (co_await server.set_cycles({.share_ppm = 500'000})).has_value();
    });
  }
  for (unsigned number = 0; number < jobs;) {
    co_await world_.sleep(Duration(world_.random().below(20'000'000'000)));
    if (auto job = co_await give(index, number)) {
      jobs_.push_back(std::move(*job));
      ++number;
    }
  }
}

Task<void> WorkPlay::check(Duration within) {
  const auto until = world_.now() + within;
  std::vector<bool> ended(jobs_.size());
  while (world_.now() < until) {
    bool all = true;
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      if (!ended[i]) ended[i] = co_await judge(jobs_[i]);
      all = all && ended[i];
    }
    if (all) co_return;
    co_await world_.sleep(5s);
  }
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (ended[i]) continue;
    std::string why = "its server is down";
    co_await fleet_.run_on(jobs_[i].index, [&](Server& server) -> Task<void> {
      if (const auto report = co_await server.jobs().report(jobs_[i].id))
        why = fmt::format("{} of {} pieces, {} under way, {} stuck; {}", report->agreed + report->held, report->pieces,
                          report->under_way, report->stuck, report->trouble);
    });
    problems_.add("m{}: job {} does not end: {}", jobs_[i].index, jobs_[i].id, why);
  }
}

NewNetwork quick_months() {
  NewNetwork network;
  network.epoch_seconds = 120;
  network.cycles_month_epochs = 14;
  return network;
}

Task<void> WorkPlay::check_ledgers() {
  const auto network = quick_months();
  const auto epochs = cycles::LedgerRules{}.settle_epochs + *network.cycles_month_epochs + 3;
  co_await world_.sleep(std::chrono::seconds(network.epoch_seconds) * epochs);
  const auto running = fleet_.running();
  if (running.empty()) co_return;
  const auto& first = fleet_.server(running.front())->ledger().ledger();
  for (const auto& person : first.persons()) {
    if (first.barred_until(person)) problems_.add("person {} is barred as a cheat", person);
    const auto wanted = first.months(person);
    for (const auto index : running) {
      const auto& ledger = fleet_.server(index)->ledger().ledger();
      const auto got = ledger.months(person);
      // One may have closed an epoch more than the other just now.
      for (std::size_t i = 0; i < std::max(wanted.size(), got.size()); ++i) {
        if (i < wanted.size() && !wanted[i].closed) break;
        if (i >= got.size() || i >= wanted.size() || got[i] != wanted[i]) {
          problems_.add("m{} and m{} do not agree on month {} of person {}", running.front(), index, i, person);
          break;
        }
      }
    }
  }
  world_.note(fmt::format("{} entries in the ledger of m{}", first.size(), running.front()));
}

}  // namespace spatter::sim
