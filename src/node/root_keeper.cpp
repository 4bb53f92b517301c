#include "root_keeper.h"

#include <asio/experimental/awaitable_operators.hpp>

#include "node/drive.h"
#include "root_check.h"
#include "spatter/roots.h"
#include "trust/signed.h"

namespace spatter {
namespace {

constexpr std::uint64_t root_file_bytes_max = 256 * 1024;
/// A member that just came up may take a moment until it knows us.
constexpr Duration retry_after_min = std::chrono::milliseconds(100);
constexpr Duration retry_after_max = std::chrono::seconds(10);
constexpr Duration known_within = std::chrono::seconds(30);

}  // namespace

Task<Result<std::optional<wire::RootRecord>>> load_root(Runtime& runtime) {
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
  co_return root;
}

std::size_t roots_wanted(std::size_t others_up, Level level) {
  if (others_up == 0) return 0;
  return (level == Level::full ? 2 * others_up / 3 : others_up / 3) + 1;
}

RootKeeper::RootKeeper(SpatterContext context, Volume& volume, const VolumeKeys& keys,
                       std::uint64_t number, std::uint64_t last_version)
    : context_(context), volume_(volume), keys_(keys), number_(number), version_(last_version),
      wanted_(context.runtime.executor()), progress_(context.runtime.executor()),
      tasks_(context.runtime.executor()) {}

void RootKeeper::start() {
  subscription_ = context_.members.subscribe([this] {
    wanted_.set();
    progress_.wake_all();
  });
  // Whoever takes the volume over brings its root record here, too.
  context_.own_store.on_root([this](const PersonId& person, const ServerId& from) {
    if (person != context_.identity.person || from == context_.identity.server) return;
    told_[context_.identity.server].compared = false;
    wanted_.set();
  });
  wanted_.set();
  tasks_.spawn(publish_loop());
}

Task<void> RootKeeper::stop() {
  if (subscription_) context_.members.unsubscribe(std::exchange(subscription_, 0));
  context_.own_store.on_root({});
  co_await tasks_.stop();
}

void RootKeeper::changed() {
  stale_ = true;
  wanted_.set();
}

Task<Result<void>> RootKeeper::compare_all() {
  for (const auto& id : servers_up()) {
    told_[id].compared = false;
    if (auto compared = co_await compare(id); !compared)
      context_.runtime.log().debug("root record of server {}: {}", id, compared.error().message);
  }
  co_return may_write();
}

bool RootKeeper::disown(std::set<PersonId> keys) {
  if (keys == disowned_) return false;
  disowned_ = std::move(keys);
  refused_.reset();
  for (auto& [id, told] : told_) told.compared = told.knows = false;
  changed();
  return true;
}

Result<void> RootKeeper::may_write() const {
  if (refused_) return fail(*refused_);
  return {};
}

void RootKeeper::refuse(Error why) {
  if (refused_) return;
  context_.runtime.log().error("{}", why.message);
  refused_ = std::move(why);
  progress_.wake_all();
}

std::vector<ServerId> RootKeeper::servers_up() const {
  std::vector<ServerId> up;
  for (const auto& member : context_.members.others()) {
    if (member.up) up.push_back(member.id);
  }
  return up;
}

bool RootKeeper::is_known(Level level) const {
  const auto up = servers_up();
  const auto knowing = std::ranges::count_if(up, [&](const ServerId& id) {
    const auto at = told_.find(id);
    return at != told_.end() && at->second.knows;
  });
  return static_cast<std::size_t>(knowing) >= roots_wanted(up.size(), level);
}

Task<Result<void>> RootKeeper::ensure_known(Level level) {
  using namespace asio::experimental::awaitable_operators;
  const auto until = context_.runtime.now() + known_within;
  while (true) {
    CO_TRY_VOID(may_write());
    if (is_known(level)) co_return Result<void>{};
    if (context_.runtime.now() >= until)
      co_return fail(Errc::unavailable, "too few of the {} other servers that are up take the "
                     "volume's root record: a new machine might not find it", servers_up().size());
    wanted_.set();
    co_await (progress_.wait() || context_.runtime.sleep_until(until));
  }
}

Task<Result<void>> RootKeeper::may_release(ServerId holder) {
  for (const auto& id : servers_up()) {
    if (id == holder) continue;
    if (auto compared = co_await compare(id); !compared && compared.error().code != Errc::fenced)
      context_.runtime.log().debug("root record of server {}: {}", id, compared.error().message);
  }
  CO_TRY_VOID(co_await compare(holder));
  co_return may_write();
}

Task<void> RootKeeper::publish_loop() {
  for (;;) {
    co_await wanted_.wait();
    wanted_.reset();
    if (refused_) continue;
    if (stale_ || !record_) {
      stale_ = false;
      if (auto made = co_await make_record(); !made) {
        stale_ = true;
        context_.runtime.log().warning("root record: {}", made.error().message);
        co_await context_.runtime.sleep(retry_after_max);
        wanted_.set();
        continue;
      }
    }
    auto members = servers_up();
    members.push_back(context_.identity.server);
    for (const auto& member : members) {
      auto& told = told_[member];
      const bool is_told = told.compared && told.knows && told.version == record_version_;
      if (told.busy || is_told) continue;
      told.busy = true;
      tasks_.spawn(tell(member));
    }
  }
}

/// Gives the newest record to one member; after a failure again when a while has passed.
Task<void> RootKeeper::tell(ServerId member) {
  auto done = co_await tell_once(member);
  auto& told = told_[member];
  progress_.wake_all();
  if (!done && !refused_) {
    context_.runtime.log().debug("root record: server {}: {}", member, done.error().message);
    told.pause = std::clamp(2 * told.pause, retry_after_min, retry_after_max);
    co_await context_.runtime.sleep(told.pause);
  }
  if (done) told.pause = {};
  told.busy = false;
  if (!done || told.version != record_version_) wanted_.set();
}

Task<Result<void>> RootKeeper::tell_once(ServerId member) {
  CO_TRY_VOID(co_await compare(member));
  const auto version = record_version_;
  auto given = co_await give_root(context_, member, *record_);
  if (!given) {
    // Something newer than it had when we looked, or another of the same version.
    if (given.error().code == Errc::fenced || given.error().code == Errc::exists)
      told_[member].compared = false;
    if (given.error().code == Errc::exists) changed();
    co_return given;
  }
  told_[member].knows = true;
  told_[member].version = version;
  co_return Result<void>{};
}

/// Looks at what a member has, once in a run. What goes beyond the index here ends all writing.
Task<Result<void>> RootKeeper::compare(ServerId member) {
  CO_TRY_VOID(may_write());
  if (told_[member].compared) co_return Result<void>{};
  CO_TRY(const auto known, co_await ask_roots(context_, member));
  for (const auto& [root, signed_by] : known.roots) {
    if (disowned_.contains(signed_by)) continue;
    const OwnIndex own{volume_.id(), context_.identity.server, number_, volume_.log_state()};
    if (auto good = check_index(root, own, keys_.metadata); !good) {
      refuse(good.error());
      co_return good;
    }
    if (root.volume() != volume_.id().raw() || root.number() != number_) continue;
    told_[member].knows = true;
    if (root.version() <= version_) continue;
    // The file with our own last record was lost or set back: the next goes beyond theirs.
    version_ = root.version();
    changed();
  }
  told_[member].compared = true;
  co_return Result<void>{};
}

Task<Result<void>> RootKeeper::make_record() {
  const auto state = volume_.log_state();
  wire::RootContent content;
  content.set_snapshot(state.snapshot);
  content.set_snapshot_covers(state.snapshot_covers);
  content.set_last_log(state.last_log);
  for (const auto& pack : state.snapshot_packs) content.add_snapshot_packs(pack.raw());
  const auto plain = content.SerializeAsString();
  const auto sealed = keys_.metadata.seal(volume_.id().view(), as_bytes(plain));

  const auto version = version_ + 1;
  wire::RootRecord root;
  root.set_person(context_.identity.person.raw());
  root.set_volume(volume_.id().raw());
  root.set_number(number_);
  root.set_writer(context_.identity.server.raw());
  root.set_version(version);
  root.set_sealed(sealed.data(), sealed.size());
  root.set_made_ms(static_cast<std::uint64_t>(std::max<WallMs>(context_.runtime.wall_ms(), 0)));
  auto record = sign_message(context_.identity.person_key, kind::root, root);
  const auto bytes = record.SerializeAsString();
  CO_TRY_VOID(co_await context_.runtime.blocking([&] {
    return write_file_durably(context_.runtime.disk(), drive_path::root, as_bytes(bytes));
  }));
  // A member may have shown a higher version meanwhile: then another is made at once.
  if (version <= version_) {
    stale_ = true;
    wanted_.set();
  }
  version_ = std::max(version_, version);
  record_version_ = version;
  record_ = std::move(record);
  co_return Result<void>{};
}

}  // namespace spatter
