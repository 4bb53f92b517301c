// Jobs that are made of one large file: fetched from the volume, split here, and put together here at the end.
#include "blob_file.h"
#include "cycles/work_desk.h"
#include "job_desk_state.h"

namespace spatter {
namespace {

constexpr auto again_after = std::chrono::seconds(15);

/// Not the job's fault: it may be otherwise in a while.
bool may_pass(const Error& error) {
  switch (error.code) {
    case Errc::no_space:
    case Errc::io:
    case Errc::unavailable:
    case Errc::timeout:
    case Errc::busy: return true;
    default: return false;
  }
}

}  // namespace

/// The source as a file of this disk: tools want to read it here and there.
Task<Result<void>> JobDesk::State::fetch_source(RunningJob& job) {
  auto& runtime = parts.runtime;
  const auto path = job_folder(job.id) + "/source";
  CO_TRY(auto reader, co_await parts.volume.read_file(job.stored.source));
  const auto space = co_await runtime.blocking([&] { return runtime.disk().space(); });
  CO_TRY(const auto disk_space, space);
  // The source, and its stretches.
  if (disk_space.free < 2 * job.stored.source_bytes)
    co_return fail(Errc::no_space, "{} has {} bytes, and the disk has room for {}", job.stored.source, job.stored.source_bytes,
                   disk_space.free);
  auto opened = co_await runtime.blocking([&]() -> Result<std::unique_ptr<File>> {
    TRY(auto file, runtime.disk().open(path, OpenMode::create));
    TRY_VOID(file->truncate(0));
    return file;
  });
  CO_TRY(const auto file, std::move(opened));
  for (std::uint64_t offset = 0; offset < job.stored.source_bytes;) {
    const auto length = std::min<std::uint64_t>(job.stored.source_bytes - offset, work_fetch_bytes_max);
    CO_TRY(const auto bytes, co_await reader->read(offset, length));
    if (bytes.size() != length) co_return fail(Errc::invalid, "'{}' has become shorter", job.stored.source);
    const auto written = co_await runtime.blocking([&] { return file->write_at(offset, bytes.view()); });
    CO_TRY_VOID(written);
    offset += length;
  }
  co_return Result<void>{};
}

Task<Result<void>> JobDesk::State::split_source(const JobPointer& job) {
  auto& runtime = parts.runtime;
  const auto folder = job_folder(job->id);
  CO_TRY_VOID(parts.may_run());
  CO_TRY_VOID(co_await fetch_source(*job));
  CO_TRY(auto split, co_await parts.workshop->split(job->stored.target, job->stored.name, folder));
  if (split.pieces.empty() || split.pieces.size() > job_pieces_max)
    co_return fail(Errc::invalid, "{} pieces, and a job has 1 to {}", split.pieces.size(), job_pieces_max);
  const auto durable = co_await runtime.blocking([&]() -> Result<void> {
    std::set<std::string> files, folders{folder};
    for (const auto& piece : split.pieces) files.insert(folder + "/" + piece.path);  // some share theirs
    for (const auto& path : files) {
      TRY(const auto file, runtime.disk().open(path, OpenMode::read_write));
      TRY_VOID(file->sync());
      folders.insert(path.substr(0, path.rfind('/')));
    }
    for (const auto& one : folders) TRY_VOID(runtime.disk().sync_directory(one));
    return {};
  });
  CO_TRY_VOID(durable);
  // It counts as split once that is kept, and not before: a full disk may refuse it, and then it is split anew.
  auto order = job->order;
  order.set_fuel_max(split.fuel_max);
  order.set_memory_bytes_max(split.memory_bytes_max);
  order.set_output_bytes_max(split.output_bytes_max);
  auto stored = job->stored;
  stored.kind = split.kind;
  stored.plan = split.plan;
  stored.pieces = static_cast<std::uint32_t>(split.pieces.size());
  stored.order = order.SerializeAsString();
  CO_TRY_VOID(co_await store.set_split(stored, split.pieces));
  job->order = std::move(order);
  job->stored.kind = std::move(stored.kind);
  job->stored.plan = std::move(stored.plan);
  job->stored.pieces = stored.pieces;
  job->stored.order = std::move(stored.order);
  for (auto& piece : split.pieces) job->pieces.push_back({std::move(piece), {}});
  begin(job);
  listen(*job);
  co_return Result<void>{};
}

/// All that is done at home while, and before, pieces are under way.
Task<void> JobDesk::State::prepare(JobPointer job) {
  const auto attempt = [&](Result<void> done) -> bool {
    if (!done && !may_pass(done.error())) {
      // Who cancels it at the same time ends it already.
      if (!std::exchange(job->ending, true)) tasks.spawn(close(job, JobState::failed, done.error().message));
    } else if (!done) {
      job->stored.trouble = done.error().message;
      parts.runtime.log().warning("job {}: {}", job->id, done.error().message);
      touch(*job);
    }
    return done.has_value();
  };
  const auto folder = job_folder(job->id);
  while (!job->stored.plan) {
    job->stored.trouble = fmt::format("{} is being fetched and cut", job->stored.source);
    touch(*job);
    if (attempt(co_await split_source(job))) break;
    if (job->ending) co_return;
    co_await parts.runtime.sleep(again_after);
  }
  job->stored.trouble.clear();
  pump(job);
  while (!attempt(co_await parts.workshop->beside(folder, *job->stored.plan))) {
    if (job->ending) co_return;
    co_await parts.runtime.sleep(again_after);
  }
  // Nothing needs it any more; and if it stays, it goes with the folder.
  (void)co_await parts.runtime.blocking([&] { return parts.runtime.disk().remove(folder + "/source"); });
  job->prepared = true;
  pump(job);
}

/// In the job's group, so that who cancels need not wait for it.
Task<void> JobDesk::State::join_outputs(JobPointer job) {
  std::vector<JobWorkshop::Output> outputs;
  for (std::uint32_t i = 0; i < job->pieces.size(); ++i) {
    const auto believed = job->dispatcher->believed(i);
    SPATTER_ASSERT(believed);
    const auto& result = job->results.at(believed->result);
    outputs.push_back({output_file(job->id, result), result.fuel});
  }
  job->made = co_await parts.workshop->join(job_folder(job->id), *job->stored.plan, std::move(outputs));
  touch(*job);
}

/// What the pieces came to as it goes into the volume. Errors: cancelled.
Task<Result<void>> JobDesk::State::make_whole(JobPointer job) {
  if (job->made && *job->made) co_return Result<void>{};
  job->made.reset();
  job->stored.trouble = "the pieces are being put together";
  job->group->spawn(join_outputs(job));
  touch(*job);
  while (!job->made && !job->cancelled) co_await job->changed.wait();
  if (!job->made) co_return fail(Errc::cancelled, "cancelled");
  job->stored.trouble.clear();
  if (!*job->made) co_return fail(job->made->error());
  co_return Result<void>{};
}

Task<Result<void>> JobDesk::State::write_whole(RunningJob& job) {
  const auto& made = **job.made;
  for (; job.written < made.size(); ++job.written) {
    const auto& one = made[job.written];
    CO_TRY_VOID(co_await write_output(job.stored.output + "/" + one.name, one.bytes, one.path));
  }
  co_return Result<void>{};
}

}  // namespace spatter
