#include "client.h"

namespace spatter::sim {
namespace {

constexpr std::uint64_t piece_bytes = 256 * 1024;

Task<Result<PackPosition>> write_content(Server& server, std::string path, Content content) {
  Attributes attributes;
  CO_TRY(auto writer, co_await server.volume().write_file(path, attributes));
  for (std::uint64_t at = 0; at < content.size; at += piece_bytes)
    CO_TRY_VOID(co_await writer->write(
        content.bytes(at, std::min(piece_bytes, content.size - at))));
  co_return co_await writer->commit();
}

/// Which of `candidates` the file is; Errc::corrupt when none.
Task<Result<Content>> read_content(Server& server, std::string path,
                                   std::vector<Model::State> candidates, ReadFrom from) {
  CO_TRY(auto reader, co_await server.volume().read_file(path, from));
  const std::uint64_t size = reader->node().size;
  std::erase_if(candidates, [&](const Model::State& s) { return !s || s->size != size; });
  for (std::uint64_t at = 0; at < size && !candidates.empty();) {
    CO_TRY(const Buffer got, co_await reader->read(at, std::min(piece_bytes, size - at)));
    if (got.empty()) co_return fail(Errc::corrupt, "{} ends at {} of {}", path, at, size);
    std::erase_if(candidates, [&](const Model::State& s) {
      return !std::ranges::equal(s->bytes(at, got.size()).view(), got.view());
    });
    at += got.size();
  }
  if (candidates.empty())
    co_return fail(Errc::corrupt, "{} ({} bytes) holds what nobody wrote", path, size);
  co_return *candidates.front();
}

bool is_excused(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::timeout ||
         error.code == Errc::no_space || error.code == Errc::busy ||
         error.code == Errc::cancelled;
}

}  // namespace

Client::Client(World& world, Fleet& fleet, Problems& problems, unsigned server, unsigned number,
               ClientOptions options)
    : world_(world),
      fleet_(fleet),
      problems_(problems),
      server_(server),
      folder_(fmt::format("client{}", number)),
      options_(options) {}

std::string Client::any_path() {
  return fmt::format("{}/f{}", folder_, world_.random().below(options_.paths));
}

Task<void> Client::work(unsigned operations) {
  for (unsigned i = 0; i < operations; ++i) {
    co_await world_.sleep(Duration(world_.random().below(4'000'000'000)));
    ++operations_;
    const std::uint64_t dice = options_.puts_only ? 0 : world_.random().below(10);
    if (dice < 5)
      co_await put(any_path());
    else if (dice < 7)
      co_await read(any_path(), ReadFrom::anywhere, false);
    else if (dice < 9)
      co_await rename(any_path(), any_path());
    else
      co_await remove(any_path());
  }
}

Task<Client::End> Client::change(Change change, Level level) {
  last_error_.reset();
  // Shared, for the work may be cut off while this frame waits elsewhere.
  const auto result = std::make_shared<std::optional<Result<PackPosition>>>();
  const auto safe = std::make_shared<bool>(false);
  const auto run = [result, safe, change, folder = folder_, level](Server& server) -> Task<void> {
    Attributes attributes;
    attributes.mode = 0040755;
    if (!co_await server.volume().stat(folder)) {
      // A disk that is full refuses this as well, and what follows would fail for another reason.
      if (auto made = co_await server.volume().make_directory(folder, attributes, true); !made) {
        *result = fail(std::move(made).error());
        co_return;
      }
    }
    *result = co_await change(server);
    if (!**result || level == Level::local) co_return;
    const auto waited = co_await server.wait_for(***result, level);
    if (waited) *safe = true;
  };
  const bool whole = co_await fleet_.run_on(server_, run);
  if (*safe && options_.on_safe) options_.on_safe(server_);
  if (result->has_value() && result->value()) {
    ++acknowledged_;  // whatever came after: it was acknowledged
    co_return End::acknowledged;
  }
  if (!whole || !result->has_value()) co_return End::unknown;
  last_error_ = result->value().error();
  co_return End::refused;
}

void Client::refused(std::string_view verb, const std::string& path, const Error& error) {
  if (!is_excused(error))
    problems_.add("m{}: {} {}: {} ({})", server_, verb, path, error.message, to_string(error.code));
}

Task<void> Client::put(std::string path) {
  // Sizes spread evenly over their logarithms: many small files, some of several stripes' units.
  SeededRandom& random = world_.random();
  const std::uint64_t bits = random.below(std::bit_width(options_.file_bytes_max));
  const Content content{random.next_u64(), random.below((std::uint64_t{1} << bits) + 1)};
  static constexpr Level levels[] = {Level::local, Level::local, Level::safe, Level::full};
  const Level level = levels[random.below(4)];
  const auto write = [path, content](Server& server) -> Task<Result<PackPosition>> {
    co_return co_await write_content(server, path, content);
  };
  switch (co_await change(write, level)) {
    case End::acknowledged: model_.set(path, content); break;
    case End::unknown: model_.may_be_now(path, content); break;
    case End::refused: refused("put", path, *last_error_); break;
  }
}

Task<void> Client::rename(std::string from, std::string to) {
  if (from == to || model_.possible(from).size() > 1) co_return;
  const Model::State moved = model_.possible(from).front();
  const auto rename = [from, to](Server& server) -> Task<Result<PackPosition>> {
    co_return co_await server.volume().rename(from, to);
  };
  switch (co_await change(rename, Level::local)) {
    case End::acknowledged:
      if (!moved) problems_.add("m{}: renamed {}, which is not there", server_, from);
      model_.set(from, std::nullopt);
      model_.set(to, moved);
      break;
    case End::unknown:
      if (!moved) break;
      model_.may_be_now(from, std::nullopt);
      model_.may_be_now(to, moved);
      break;
    case End::refused:
      if (last_error_->code != Errc::not_found || moved) refused("rename", from, *last_error_);
  }
}

Task<void> Client::remove(std::string path) {
  const auto remove = [path](Server& server) -> Task<Result<PackPosition>> {
    co_return co_await server.volume().remove(path);
  };
  switch (co_await change(remove, Level::local)) {
    case End::acknowledged:
      if (model_.possible(path) == std::vector<Model::State>{std::nullopt})
        problems_.add("m{}: removed {}, which is not there", server_, path);
      model_.set(path, std::nullopt);
      break;
    case End::unknown: model_.may_be_now(path, std::nullopt); break;
    case End::refused:
      if (last_error_->code == Errc::not_found && !model_.surely_there(path))
        model_.set(path, std::nullopt);
      else
        refused("remove", path, *last_error_);
  }
}

Task<bool> Client::read(std::string path, ReadFrom from, bool must_work) {
  const auto found = std::make_shared<std::optional<Result<Content>>>();
  const auto run = [found, path, candidates = model_.possible(path), from](Server& server)
      -> Task<void> { *found = co_await read_content(server, path, candidates, from); };
  const bool whole = co_await fleet_.run_on(server_, run);
  const std::string_view where = from == ReadFrom::network ? " from the network" : "";
  if (!whole) {
    if (must_work) problems_.add("m{}: read {}{}: the server is down", server_, path, where);
    co_return false;
  }
  const Result<Content>& result = **found;
  if (result) {
    model_.set(path, *result);
    co_return true;
  }
  if (result.error().code == Errc::not_found && model_.may_be(path, std::nullopt)) {
    model_.set(path, std::nullopt);
    co_return true;
  }
  if (must_work || !is_excused(result.error()))
    problems_.add("m{}: read {}{}: {} ({})", server_, path, where, result.error().message,
                  to_string(result.error().code));
  co_return false;
}

Task<void> Client::verify(ReadFrom from) {
  for (const std::string& path : model_.paths()) co_await read(path, from, true);
  if (from != ReadFrom::anywhere) co_return;
  const auto names = std::make_shared<std::vector<std::string>>();
  co_await fleet_.run_on(server_, [names, folder = folder_](Server& server) -> Task<void> {
    if (auto entries = co_await server.volume().list(folder))
      for (const auto& entry : *entries) names->push_back(folder + '/' + entry.name);
  });
  for (const std::string& name : *names)
    if (!model_.surely_there(name))
      problems_.add("m{}: {} is listed, but was removed or never written", server_, name);
}

}  // namespace spatter::sim
