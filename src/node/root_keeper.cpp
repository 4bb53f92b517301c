#include "root_keeper.h"

#include "node/drive.h"
#include "spatter/recover.h"
#include "trust/signed.h"

namespace spatter {
namespace {

constexpr std::uint64_t root_file_bytes_max = 256 * 1024;
constexpr auto retry_after = std::chrono::seconds(10);

}  // namespace

Task<Result<std::optional<wire::RootRecord>>> load_root(Runtime& runtime, VolumeId volume) {
  auto bytes = co_await runtime.blocking([&] {
    return read_file(runtime.disk(), drive_path::root, root_file_bytes_max);
  });
  if (!bytes) {
    if (bytes.error().code == Errc::not_found) co_return std::nullopt;
    co_return fail(std::move(bytes).error());
  }
  wire::Signed record;
  if (!record.ParseFromArray(bytes->data(), static_cast<int>(bytes->size())))
    co_return fail(Errc::corrupt, "{} cannot be read", drive_path::root);
  CO_TRY(auto root, open_signed<wire::RootRecord>(record, kind::root));
  if (root.volume() != volume.raw()) co_return std::nullopt;
  co_return root;
}

RootKeeper::RootKeeper(SpatterContext context, Volume& volume, const VolumeKeys& keys,
                       std::uint64_t number, std::uint64_t last_version)
    : context_(context), volume_(volume), keys_(keys), number_(number), version_(last_version),
      publishing_(context.runtime.executor()), wanted_(context.runtime.executor()),
      tasks_(context.runtime.executor()) {}

void RootKeeper::start() {
  subscription_ = context_.members.subscribe([this] { wanted_.set(); });
  wanted_.set();
  tasks_.spawn(publish_loop());
}

Task<void> RootKeeper::stop() {
  if (subscription_) context_.members.unsubscribe(std::exchange(subscription_, 0));
  co_await tasks_.stop();
}

void RootKeeper::changed() {
  stale_ = true;
  wanted_.set();
}

Result<void> RootKeeper::may_write() const {
  if (fenced_) return fail(*fenced_);
  return {};
}

std::set<ServerId> RootKeeper::servers_up() const {
  std::set<ServerId> up;
  for (const auto& member : context_.members.others()) {
    if (member.up) up.insert(member.id);
  }
  return up;
}

Task<Result<void>> RootKeeper::ensure_known() {
  CO_TRY_VOID(may_write());
  if (!known_to_.empty() || servers_up().empty()) co_return Result<void>{};
  co_return co_await publish();
}

Task<void> RootKeeper::publish_loop() {
  for (;;) {
    co_await wanted_.wait();
    wanted_.reset();
    if (fenced_) continue;
    const auto up = servers_up();
    const bool all_know = std::ranges::includes(known_to_, up);
    if (up.empty() || (all_know && !stale_)) continue;
    // A member that just came up may take a moment until it knows us.
    co_await context_.runtime.sleep(std::chrono::milliseconds(500));
    if (auto done = co_await publish(); !done)
      context_.runtime.log().warning("root record: {}", done.error().message);
    if (fenced_ || std::ranges::includes(known_to_, servers_up())) continue;
    co_await context_.runtime.sleep(retry_after);
    wanted_.set();
  }
}

Task<Result<wire::Signed>> RootKeeper::make_record() {
  const auto state = volume_.log_state();
  wire::RootContent content;
  content.set_snapshot(state.snapshot);
  content.set_snapshot_covers(state.snapshot_covers);
  content.set_last_log(state.last_log);
  for (const auto& pack : state.snapshot_packs) content.add_snapshot_packs(pack.raw());
  const auto plain = content.SerializeAsString();
  const auto sealed = keys_.metadata.seal(volume_.id().view(), as_bytes(plain));

  wire::RootRecord root;
  root.set_person(context_.identity.person.raw());
  root.set_volume(volume_.id().raw());
  root.set_number(number_);
  root.set_writer(context_.identity.server.raw());
  root.set_version(version_ + 1);
  root.set_sealed(sealed.data(), sealed.size());
  root.set_made_ms(static_cast<std::uint64_t>(std::max<WallMs>(context_.runtime.wall_ms(), 0)));
  auto record = sign_message(context_.identity.person_key, kind::root, root);
  const auto bytes = record.SerializeAsString();
  CO_TRY_VOID(co_await context_.runtime.blocking([&] {
    return write_file_durably(context_.runtime.disk(), drive_path::root, as_bytes(bytes));
  }));
  ++version_;
  co_return record;
}

Task<Result<void>> RootKeeper::publish() {
  auto turn = co_await publishing_.lock();
  if (stale_ || !record_) {
    stale_ = false;
    auto made = co_await make_record();
    if (!made) {
      stale_ = true;
      co_return fail(std::move(made).error());
    }
    record_ = std::move(*made);
    known_to_.clear();
  }
  auto up = servers_up();
  if (up.empty()) co_return Result<void>{};
  auto taken = co_await publish_root(context_, *record_);
  if (!taken) {
    if (taken.error().code == Errc::fenced)
      fenced_ = Error{Errc::fenced, "another server has taken this volume over (as `spatter "
                      "recover` does); here it can only be read"};
    co_return fail(fenced_ ? *fenced_ : taken.error());
  }
  if (*taken == 0) co_return fail(Errc::unavailable, "no other server took the root record");
  // Who took it is not said; with any missing, everybody gets it again later.
  if (*taken >= up.size()) {
    known_to_ = std::move(up);
    co_return Result<void>{};
  }
  known_to_ = {*up.begin()};
  co_return Result<void>{};
}

}  // namespace spatter
