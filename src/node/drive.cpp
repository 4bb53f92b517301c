#include "node/drive.h"

#include <charconv>

#include "directory/roster.h"
#include "directory/trust_exchange.h"
#include "node/drive_parts.h"
#include "trust/trust_record.h"

namespace spatter {
namespace {

constexpr std::string_view format_words = "spatter drive ";
constexpr std::uint64_t keyring_bytes_max = 64 * 1024;
constexpr std::uint64_t drive_bytes_min = 64ULL << 20;

/// The version in the format file; nullopt: there is none.
Result<std::optional<unsigned>> read_format(Disk& disk) {
  auto bytes = read_file(disk, drive_path::format, 256);
  if (!bytes) {
    if (bytes.error().code == Errc::not_found) return std::nullopt;
    return fail(std::move(bytes).error());
  }
  auto text = as_text(*bytes);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  unsigned version = 0;
  if (text.starts_with(format_words)) {
    text.remove_prefix(format_words.size());
    const auto read = std::from_chars(text.data(), text.data() + text.size(), version);
    if (read.ec == std::errc{} && read.ptr == text.data() + text.size() && version > 0)
      return version;
  }
  return fail(Errc::corrupt, "the drive's format file does not say what it is");
}

Result<void> check_format(Disk& disk) {
  TRY(auto version, read_format(disk));
  if (!version)
    return fail(Errc::not_found, "there is no Spatter drive here: make one with `spatter init`");
  if (*version > drive_format_version)
    return fail(Errc::newer_format, "the drive has format {}, this Spatter knows formats up to {}: "
                "install a newer one", *version, drive_format_version);
  return {};
}

Result<void> complete(Disk& disk) {
  const auto text = fmt::format("{}{}\n", format_words, drive_format_version);
  return write_file_durably(disk, drive_path::format, as_bytes(text));
}

Result<Keyring> load_keyring(Disk& disk, const std::optional<std::string>& passphrase) {
  TRY(auto bytes, read_file(disk, drive_path::keyring, keyring_bytes_max));
  std::optional<std::string_view> words;
  if (passphrase) words = *passphrase;
  auto keyring = read_keyring(bytes, words);
  wipe(bytes);
  return keyring;
}

Result<void> make_folders(Disk& disk) {
  for (const auto* folder : {"network", "user", drive_path::packs, drive_path::server}) {
    TRY_VOID(disk.make_directories(folder));
  }
  TRY_VOID(disk.sync_directory("user"));
  return disk.sync_directory("");
}

Result<void> store_keyring(Disk& disk, const Keyring& keyring, const std::optional<std::string>& sealed_with,
                           Random& nonces) {
  std::optional<std::string_view> passphrase;
  if (sealed_with) passphrase = *sealed_with;
  TRY(auto bytes, write_keyring(keyring, passphrase, nonces));
  auto written = write_file_durably(disk, drive_path::keyring, bytes);
  wipe(bytes);
  return written;
}

/// The keyring of an interrupted making, if it may be taken up; else a new one, durable.
Result<Keyring> make_keyring(Runtime& runtime, const NewDrive& options, const Keyring& fresh,
                             Random& nonces) {
  auto& disk = runtime.disk();
  auto there = load_keyring(disk, options.passphrase);
  if (there && options.secret) {
    if (!there->person.come_from(*options.secret))
      return fail(Errc::denied, "an unfinished drive of another person is here: choose another "
                  "folder, or remove its keyring if you are sure");
    return there;
  }
  if (!there && there.error().code != Errc::not_found)
    return fail(there.error().during("an unfinished drive is here, whose keyring does not open"));
  TRY_VOID(store_keyring(disk, fresh, options.passphrase, nonces));
  return fresh;
}

/// Randomness belongs to the executor: what a pool thread needs of it is drawn there.
class DrawnAhead final : public Random {
 public:
  explicit DrawnAhead(Random& entropy) : seed_(256) { entropy.fill(seed_); }
  void fill(MutableBytes out) override {
    SPATTER_ASSERT(used_ + out.size() <= seed_.size());
    std::copy_n(seed_.begin() + static_cast<std::ptrdiff_t>(used_), out.size(), out.begin());
    used_ += out.size();
  }

 private:
  Bytes seed_;
  std::size_t used_ = 0;
};

Result<ParsedConfig> load_config(Disk& disk) {
  auto bytes = read_file(disk, drive_path::config, config_bytes_max);
  if (!bytes) {
    if (bytes.error().code == Errc::not_found) return ParsedConfig{};  // all keys are optional
    return fail(std::move(bytes).error());
  }
  return parse_config(as_text(*bytes));
}

Task<Result<void>> put_network_in(Runtime& runtime, MemberStore::Contents contents) {
  CO_TRY(auto store, co_await MemberStore::open(runtime, drive_path::members));
  auto done = co_await store->replace(std::move(contents));
  co_await store->close();
  co_return done;
}

}  // namespace

Task<Result<bool>> drive_is_complete(Runtime& runtime) {
  CO_TRY(auto version, co_await runtime.blocking([&] { return read_format(runtime.disk()); }));
  co_return version.has_value();
}

Task<Result<Drive>> prepare_drive(Runtime& runtime, NewDrive options) {
  CO_TRY(const bool complete, co_await drive_is_complete(runtime));
  if (complete) co_return fail(Errc::exists, "a Spatter drive is here already");
  auto secret = options.secret ? *options.secret : PersonSecret::generate(runtime.entropy());
  const Keyring fresh{.person = PersonKeys::from_words(secret),
                      .server_key = SigningKey::generate(runtime.entropy()),
                      .created_ms = runtime.wall_ms(),
                      .name = options.name};
  DrawnAhead nonces(runtime.entropy());

  Config config;
  config.size_bytes = options.size_bytes;
  config.name = options.name;
  if (options.listen) config.listen = *options.listen;
  CO_TRY_VOID(co_await runtime.blocking([&]() -> Result<void> {
    TRY(auto space, runtime.disk().space());
    TRY_VOID(halves_of(config, space));
    return {};
  }));
  auto keyring = co_await runtime.blocking([&]() -> Result<Keyring> {
    auto& disk = runtime.disk();
    TRY_VOID(make_folders(disk));
    TRY(auto keyring, make_keyring(runtime, options, fresh, nonces));
    const auto text = config_text(config);
    TRY_VOID(write_file_durably(disk, drive_path::config, as_bytes(text)));
    return keyring;
  });
  if (!keyring) co_return fail(std::move(keyring).error());
  co_return Drive{std::move(*keyring), std::move(config), {},
                  Drive::Fresh{std::move(secret), std::move(options.passphrase)}};
}

Task<Result<void>> replace_keyring(Runtime& runtime, const Keyring& keyring,
                                   std::optional<std::string> passphrase) {
  DrawnAhead nonces(runtime.entropy());
  co_return co_await runtime.blocking([&]() -> Result<void> {
    auto& disk = runtime.disk();
    TRY(const auto there, read_file(disk, drive_path::keyring, keyring_bytes_max));
    if (!keyring_is_sealed(there)) return store_keyring(disk, keyring, std::nullopt, nonces);
    TRY_VOID(load_keyring(disk, passphrase));
    return store_keyring(disk, keyring, passphrase, nonces);
  });
}

Task<Result<void>> abandon_drive(Runtime& runtime) {
  CO_TRY(const bool complete, co_await drive_is_complete(runtime));
  if (complete) co_return Result<void>{};
  co_return co_await runtime.blocking([&]() -> Result<void> {
    auto& disk = runtime.disk();
    for (const auto* path : {drive_path::keyring, drive_path::config, drive_path::packs, "user",
                             "network", drive_path::server}) {
      auto removed = disk.remove(path);
      if (!removed && removed.error().code != Errc::not_found &&
          removed.error().code != Errc::not_empty)
        return removed;
    }
    return disk.sync_directory("");
  });
}

Task<Result<NetworkId>> found_network(Runtime& runtime, const Drive& drive, NewNetwork network) {
  const auto person_key = drive.keyring.person.numbered(1).signing_key();
  const auto now = runtime.wall_ms();
  MemberStore::Contents contents;
  GenesisExtras extras;
  extras.rules = network.rules;
  extras.mend = network.mend;
  extras.cycles_month_epochs = network.cycles_month_epochs;
  extras.recovery = drive.keyring.person.recovery();
  contents.genesis = make_genesis(person_key, runtime.entropy(), now, network.epoch_seconds, extras);
  CO_TRY(auto genesis, check_genesis(*contents.genesis));
  const auto identity =
      make_identity(genesis.network, person_key, drive.keyring.server_key, now);
  contents.records.push_back(make_server_record(
      identity, {}, 0, 0, static_cast<std::uint64_t>(std::max<WallMs>(now, 1))));
  CO_TRY_VOID(co_await put_network_in(runtime, std::move(contents)));
  CO_TRY_VOID(co_await make_databases(runtime, drive));
  CO_TRY_VOID(co_await runtime.blocking([&] { return complete(runtime.disk()); }));
  co_return genesis.network;
}

Task<Result<void>> adopt_network(Runtime& runtime, const Drive& drive,
                                 MemberStore::Contents contents,
                                 std::optional<Recovery> recovery,
                                 std::vector<wire::TrustRecord> rotations) {
  // The mark first: a drive that is complete but not yet recovered must not open as an empty one.
  if (recovery) {
    std::string mark = "the volume is to be brought back from the network\n";
    if (!recovery->volume.empty()) mark += fmt::format("volume {}\n", recovery->volume);
    if (recovery->copy) mark += "copy\n";
    CO_TRY_VOID(co_await runtime.blocking([&] {
      return write_file_durably(runtime.disk(), drive_path::recovering, as_bytes(mark));
    }));
  }
  CO_TRY_VOID(co_await put_network_in(runtime, std::move(contents)));
  if (!rotations.empty())
    CO_TRY_VOID(co_await TrustExchange::keep(runtime, drive_path::trust, std::move(rotations)));
  CO_TRY_VOID(co_await make_databases(runtime, drive));
  co_return co_await runtime.blocking([&] { return complete(runtime.disk()); });
}

Task<Result<Drive>> open_drive(Runtime& runtime, std::optional<std::string> passphrase) {
  auto opened = co_await runtime.blocking([&]() -> Result<Drive> {
    auto& disk = runtime.disk();
    TRY_VOID(check_format(disk));
    TRY(auto keyring, load_keyring(disk, passphrase));
    TRY(auto parsed, load_config(disk));
    if (parsed.config.name.empty()) parsed.config.name = keyring.name;
    return Drive{std::move(keyring), std::move(parsed.config), std::move(parsed.warnings)};
  });
  co_return opened;
}

Task<Result<bool>> drive_needs_passphrase(Runtime& runtime) {
  auto bytes = co_await runtime.blocking([&] {
    return read_file(runtime.disk(), drive_path::keyring, keyring_bytes_max);
  });
  if (!bytes) co_return fail(std::move(bytes).error());
  co_return keyring_is_sealed(*bytes);
}

Result<Halves> halves_of(const Config& config, const DiskSpace& space) {
  if (config.size_bytes > 0 && config.size_bytes > space.total)
    return fail(Errc::invalid, "a drive of {} bytes does not fit a file system of {} bytes",
                config.size_bytes, space.total);
  const auto size = config.size_bytes > 0 ? config.size_bytes : space.total;
  if (size < drive_bytes_min)
    return fail(Errc::no_space, "a drive of {} bytes is too small: it needs at least 64 MiB", size);
  return Halves{size / 2, size / 2};
}

}  // namespace spatter
