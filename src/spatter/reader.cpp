#include "spatter/reader.h"

#include <set>

#include "code/layout.h"
#include "crypto/merkle.h"
#include "holder_link.h"
#include "base/task_groups.h"

namespace spatter {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t read_bytes_max = 64 << 20;
constexpr std::uint64_t read_at_once_max = 8 << 20;  ///< larger reads are cut
constexpr std::size_t descriptors_cached_max = 512;
constexpr Duration call_timeout = seconds(15);
constexpr Duration patience_min = milliseconds(30);
constexpr Duration patience_alone = milliseconds(150);  ///< nothing measured to compare with

Layout::Range to_leaves(Layout::Range range, std::uint64_t shard_size) {
  const auto begin = range.offset / leaf_bytes * leaf_bytes;
  const auto end = std::min(shard_size, (range.end() + leaf_bytes - 1) / leaf_bytes * leaf_bytes);
  return {begin, end - begin};
}

Layout::Range hull(Layout::Range a, Layout::Range b) {
  if (a.length == 0) return b;
  if (b.length == 0) return a;
  const auto begin = std::min(a.offset, b.offset);
  return {begin, std::max(a.end(), b.end()) - begin};
}

bool covers(Layout::Range outer, Layout::Range inner) {
  return inner.length == 0 ||
         (outer.offset <= inner.offset && inner.end() <= outer.end() && outer.length > 0);
}

/// A reply is exactly the leaves asked for and they belong to the shard that was signed.
Result<void> check_part(const SentPart& part, const Descriptor& descriptor, unsigned index,
                        Layout::Range asked) {
  const auto refuse = [&](std::string_view what) {
    return fail(Errc::corrupt, "shard {} of stripe {}: {}", index, descriptor.stripe, what);
  };
  if (part.first_leaf != asked.offset / leaf_bytes || part.leaves.size() != asked.length)
    return refuse("other leaves came than were asked for");
  LeafHasher hasher;
  for (const auto& piece : part.leaves.pieces()) hasher.update(piece);
  if (!verify_range(descriptor.shard_roots[index], descriptor.shard_size, part.first_leaf,
                    hasher.finish(), part.proof))
    return refuse("its leaves do not match the signed root");
  return {};
}

/// What is at hand of a plain column, from shard offset `base` on.
struct Column {
  Rope bytes;
  std::uint64_t base = 0;
};

/// The pack bytes [offset, offset + length) from the plain columns that hold them.
Buffer put_together(const Layout& layout, const std::vector<Column>& columns, std::uint64_t offset,
                    std::uint64_t length) {
  auto out = Buffer::allocate(length);
  for (const auto& piece : layout.pieces(offset, length)) {
    const auto& column = columns[piece.column];
    column.bytes.copy_to(piece.shard_offset - column.base,
                         out.mutable_view().subspan(piece.pack_offset - offset, piece.length));
  }
  return out;
}

}  // namespace

struct StripeReader::Load {
  unsigned calls = 0;
  double seconds = 0;  ///< decayed average of a call
};

/// A shard that can be asked for.
struct StripeReader::Source {
  std::uint16_t index = 0;
  ServerId holder;
  double cost = 0;  ///< the lower the sooner it will answer
};

/// One read from one stripe. Calls under way own it.
struct StripeReader::Fetch {
  explicit Fetch(SpatterContext context)
      : context(context), link(context), progress(context.runtime.executor()) {}

  struct Part {
    std::uint16_t index = 0;  ///< with k = 1 any shard is column 0
    Layout::Range range;
    ServerId holder;
    enum class State { going, here, failed } state = State::going;
    TimePoint started{};
    bool late = false;  ///< waited for longer than its like usually take: no longer counted on
    Rope bytes;
  };

  SpatterContext context;
  HolderLink link;
  StripePtr stripe;
  std::shared_ptr<const Descriptor> descriptor;
  std::function<void(StripeId, std::uint16_t, ServerId)> bad_shard;
  std::shared_ptr<std::unordered_map<ServerId, Load>> loads;
  std::vector<std::shared_ptr<Part>> parts;
  std::set<std::pair<std::uint16_t, ServerId>> failed;
  std::string last_error;
  WaitQueue progress;

  std::uint16_t column(std::uint16_t index) const { return stripe->k == 1 ? 0 : index; }

  /// A part of this column that is here and covers the range.
  const Part* have(std::uint16_t wanted, Layout::Range range) const {
    for (const auto& part : parts)
      if (part->state == Part::State::here && column(part->index) == wanted &&
          covers(part->range, range))
        return part.get();
    return nullptr;
  }
  bool is_coming(std::uint16_t wanted, Layout::Range range) const {
    return std::any_of(parts.begin(), parts.end(), [&](const auto& part) {
      return part->state == Part::State::going && !part->late && column(part->index) == wanted &&
             covers(part->range, range);
    });
  }

  /// The `missing` columns over `gap`, from k parts that cover it. Off the executor.
  Result<void> rebuild(std::span<const Part* const> inputs, const std::vector<unsigned>& missing,
                       Layout::Range gap, std::vector<Column>& columns) const {
    TRY(const auto code, StripeCode::make(stripe->k, stripe->n));
    std::vector<unsigned> have;
    std::vector<Buffer> flat;
    std::vector<const std::uint8_t*> in;
    for (const auto* part : inputs) {
      have.push_back(part->index);
      flat.push_back(part->bytes.flat());
      in.push_back(flat.back().data() + (gap.offset - part->range.offset));
    }
    TRY(const auto rebuild, code.rebuild(have, missing));
    std::vector<std::uint8_t*> out;
    for (const auto column : missing) {
      auto made = Buffer::allocate(gap.length);
      out.push_back(made.mutable_data());
      columns[column] = {std::move(made), gap.offset};
    }
    rebuild.run(in, out, gap.length);
    return {};
  }

  static Task<void> ask(std::shared_ptr<Fetch> fetch, std::shared_ptr<Part> part) {
    struct Counted {
      std::shared_ptr<std::unordered_map<ServerId, Load>> loads;
      ServerId holder;
      ~Counted() { --(*loads)[holder].calls; }
    };
    ++(*fetch->loads)[part->holder].calls;
    const Counted counted{fetch->loads, part->holder};
    auto& runtime = fetch->context.runtime;

    auto reply = co_await fetch->link.read(part->holder, {fetch->stripe->id, part->index},
                                           part->range.offset, part->range.length, call_timeout);
    Result<void> good;
    if (reply) {
      good = co_await runtime.blocking(
          [&] { return check_part(*reply, *fetch->descriptor, part->index, part->range); });
    } else {
      good = std::unexpected(std::move(reply).error());
    }
    const double took = std::chrono::duration<double>(runtime.now() - part->started).count();
    auto& average = (*fetch->loads)[part->holder].seconds;
    average = average == 0 ? took : 0.8 * average + 0.2 * took;
    if (good) {
      part->bytes = std::move(reply->leaves);
      part->state = Part::State::here;
    } else {
      const auto code = good.error().code;
      part->state = Part::State::failed;
      fetch->failed.emplace(part->index, part->holder);
      fetch->last_error = fmt::format("server {}: {}", part->holder, good.error().message);
      if (code == Errc::corrupt || code == Errc::not_found) {
        runtime.log().warning("shard {} of stripe {} at server {}: {}", part->index,
                              fetch->stripe->id, part->holder, good.error().message);
        if (fetch->bad_shard) fetch->bad_shard(fetch->stripe->id, part->index, part->holder);
      }
    }
    fetch->progress.wake_all();
  }
};

StripeReader::StripeReader(SpatterContext context)
    : context_(context),
      loads_(std::make_shared<std::unordered_map<ServerId, Load>>()),
      groups_(std::make_unique<TaskGroups>(context.runtime.executor())) {}

StripeReader::~StripeReader() = default;

Task<void> StripeReader::stop() { co_await groups_->stop(); }

Task<Result<std::shared_ptr<const Descriptor>>> StripeReader::descriptor(StripeId id) {
  if (const auto at = descriptors_.find(id); at != descriptors_.end()) co_return at->second;
  CO_TRY(const auto bytes, co_await context_.table.descriptor(id));
  wire::Signed record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    co_return fail(Errc::corrupt, "stripe {}: its descriptor cannot be read", id);
  CO_TRY(auto checked, check_descriptor(record));
  auto shared = std::make_shared<const Descriptor>(std::move(checked));
  if (descriptors_.emplace(id, shared).second) descriptor_order_.push_back(id);
  while (descriptor_order_.size() > descriptors_cached_max) {
    descriptors_.erase(descriptor_order_.front());
    descriptor_order_.pop_front();
  }
  co_return shared;
}

std::vector<StripeReader::Source> StripeReader::sources(const Stripe& stripe) const {
  std::vector<Source> result;
  for (const auto& shard : stripe.shards) {
    Source source{.index = shard.index, .holder = shard.holder};
    if (shard.lost) continue;
    if (shard.holder != context_.identity.server) {
      if (!context_.members.is_up(shard.holder)) continue;
      const auto measured = context_.rpc.measure(shard.holder);
      const auto load = loads_->find(shard.holder);
      const double per_call = load != loads_->end() && load->second.seconds > 0
                                  ? load->second.seconds
                                  : measured.round_trip
                                        ? std::chrono::duration<double>(*measured.round_trip).count()
                                        : 0.01;
      const unsigned calls = load == loads_->end() ? 0 : load->second.calls;
      source.cost = per_call * (1 + calls) + measured.failures;
    }
    result.push_back(source);
  }
  std::sort(result.begin(), result.end(), [](const Source& a, const Source& b) {
    return std::tie(a.cost, a.index) < std::tie(b.cost, b.index);
  });
  return result;
}

unsigned StripeReader::reachable(const Stripe& stripe) const {
  std::set<ServerId> holders;
  std::set<std::uint16_t> indices;
  for (const auto& shard : stripe.shards) {
    if (shard.lost) continue;
    if (shard.holder != context_.identity.server && !context_.members.is_up(shard.holder)) continue;
    holders.insert(shard.holder);
    indices.insert(shard.index);
  }
  return static_cast<unsigned>(stripe.k == 1 ? holders.size() : indices.size());
}

Task<Result<Buffer>> StripeReader::read(PackId pack, std::uint64_t offset, std::uint64_t length) {
  if (length > read_bytes_max)
    co_return fail(Errc::invalid, "pack {}: a read of {} bytes is too long", pack, length);
  std::vector<Buffer> pieces;
  const auto end = offset + length;
  for (auto at = offset; at < end;) {
    StripePtr best;
    bool best_readable = false;
    for (const auto& stripe : context_.table.of_pack(pack)) {
      if (stripe->offset > at || stripe->end() <= at) continue;
      const bool readable = reachable(*stripe) >= stripe->k;
      if (!best || std::tuple(readable, stripe->end(), stripe->k) >
                       std::tuple(best_readable, best->end(), best->k)) {
        best = stripe;
        best_readable = readable;
      }
    }
    if (!best)
      co_return fail(Errc::unavailable, "pack {}: its bytes from {} on are not in the network", pack,
                     at);
    const auto take = std::min(end, best->end()) - at;
    auto piece = co_await read_stripe(best, at - best->offset, take);
    if (!piece) co_return fail(piece.error().during(fmt::format("pack {}", pack)));
    pieces.push_back(std::move(*piece));
    at += take;
  }
  if (pieces.size() == 1) co_return std::move(pieces.front());
  auto whole = Buffer::allocate(length);
  std::size_t filled = 0;
  for (const auto& piece : pieces) {
    std::memcpy(whole.mutable_data() + filled, piece.data(), piece.size());
    filled += piece.size();
  }
  co_return whole;
}

Task<Result<Buffer>> StripeReader::read_stripe(StripePtr stripe, std::uint64_t offset,
                                               std::uint64_t length) {
  if (offset > stripe->length || length > stripe->length - offset)
    co_return fail(Errc::invalid, "stripe {}: bytes {} to {} are outside of its {}", stripe->id,
                   offset, offset + length, stripe->length);
  if (length <= read_at_once_max) co_return co_await read_some(stripe, offset, length);
  auto whole = Buffer::allocate(length);
  for (std::uint64_t done = 0; done < length;) {
    const auto take = std::min(read_at_once_max, length - done);
    CO_TRY(const auto piece, co_await read_some(stripe, offset + done, take));
    std::memcpy(whole.mutable_data() + done, piece.data(), take);
    done += take;
  }
  co_return whole;
}

Error StripeReader::too_few(const Stripe& stripe, const Fetch& fetch) const {
  std::set<std::uint16_t> usable;
  std::set<ServerId> missing;
  for (const auto& shard : stripe.shards) {
    const bool down = shard.holder != context_.identity.server &&
                      !context_.members.is_up(shard.holder);
    if (down || shard.lost || fetch.failed.contains({shard.index, shard.holder})) {
      missing.insert(shard.holder);
    } else {
      usable.insert(fetch.column(shard.index));
    }
  }
  std::string names;
  for (const auto& server : missing) names += (names.empty() ? "" : ", ") + server.brief();
  std::string text =
      fmt::format("stripe {}: {} of the {} shards needed can be had now; missing servers: {}",
                  stripe.id, std::min<std::size_t>(usable.size(), stripe.k), stripe.k,
                  names.empty() ? "none known" : names);
  if (!fetch.last_error.empty()) text += fmt::format(" (last: {})", fetch.last_error);
  return {Errc::unavailable, std::move(text)};
}

/// At most read_at_once_max bytes of one stripe.
///
/// First the plain columns' own ranges are asked for. A column that nobody up holds, that fails or
/// that lags is then resolved from any k columns over its range (`gap`): those at hand serve, the
/// quickest others are asked in addition. Late answers are as welcome as the extra ones; whichever
/// way is complete first ends the read.
Task<Result<Buffer>> StripeReader::read_some(StripePtr stripe, std::uint64_t offset,
                                             std::uint64_t length) {
  if (length == 0) co_return Buffer{};
  const Layout layout(stripe->k, stripe->length);
  if (layout.shard_size() != stripe->shard_size)
    co_return fail(Errc::corrupt, "stripe {}: its shards have {} bytes, not {}", stripe->id,
                   stripe->shard_size, layout.shard_size());
  auto fetch = std::make_shared<Fetch>(context_);
  fetch->stripe = stripe;
  fetch->bad_shard = bad_shard_;
  fetch->loads = loads_;
  CO_TRY(fetch->descriptor, co_await descriptor(stripe->id));
  if (fetch->descriptor->k != stripe->k || fetch->descriptor->shard_size != stripe->shard_size)
    co_return fail(Errc::corrupt, "stripe {}: its descriptor tells another shape", stripe->id);

  TaskGroups::Scope scope(*groups_);
  const auto own_ranges = layout.column_ranges(offset, length);
  const auto order = sources(*stripe);
  const auto ask = [&](std::uint16_t column, Layout::Range range) {
    for (const auto& source : order) {
      if (fetch->column(source.index) != column) continue;
      if (fetch->failed.contains({source.index, source.holder})) continue;
      const bool asked = std::any_of(
          fetch->parts.begin(), fetch->parts.end(), [&](const auto& part) {
            return part->holder == source.holder && part->index == source.index &&
                   part->state == Fetch::Part::State::going && covers(part->range, range);
          });
      if (asked) continue;
      auto part = std::make_shared<Fetch::Part>();
      part->index = source.index;
      part->range = to_leaves(range, stripe->shard_size);
      part->holder = source.holder;
      part->started = context_.runtime.now();
      fetch->parts.push_back(part);
      scope.spawn(Fetch::ask(fetch, part));
      return true;
    }
    return false;
  };

  // Columns with nobody to ask are a gap from the start, and the others are asked for it at once.
  Layout::Range gap;
  std::set<std::uint16_t> available;
  for (const auto& source : order) available.insert(fetch->column(source.index));
  for (std::uint16_t c = 0; c < stripe->k; ++c)
    if (own_ranges[c].length > 0 && !available.contains(c)) gap = hull(gap, own_ranges[c]);
  for (std::uint16_t c = 0; c < stripe->k; ++c)
    if (own_ranges[c].length > 0 && available.contains(c)) ask(c, hull(own_ranges[c], gap));

  while (true) {
    std::vector<unsigned> missing;
    Layout::Range missing_gap;
    for (std::uint16_t c = 0; c < stripe->k; ++c) {
      if (own_ranges[c].length == 0 || fetch->have(c, own_ranges[c])) continue;
      missing.push_back(c);
      missing_gap = hull(missing_gap, own_ranges[c]);
    }
    // Enough? Either all plain, or any k over what is missing.
    std::vector<const Fetch::Part*> inputs;
    if (!missing.empty()) {
      std::set<std::uint16_t> used;
      for (const auto& part : fetch->parts) {
        if (inputs.size() == stripe->k) break;
        if (part->state == Fetch::Part::State::here && covers(part->range, missing_gap) &&
            used.insert(fetch->column(part->index)).second)
          inputs.push_back(part.get());
      }
    }
    if (missing.empty() || (inputs.size() == stripe->k && stripe->k > 1)) {
      co_return co_await context_.runtime.blocking([&]() -> Result<Buffer> {
        std::vector<Column> columns(stripe->k);
        for (std::uint16_t c = 0; c < stripe->k; ++c)
          if (const auto* part = fetch->have(c, own_ranges[c]); part && own_ranges[c].length > 0)
            columns[c] = {part->bytes, part->range.offset};
        if (!missing.empty()) TRY_VOID(fetch->rebuild(inputs, missing, missing_gap, columns));
        return put_together(layout, columns, offset, length);
      });
    }

    // A column that is late or failed: another holder of it is the cheapest way, if there is one.
    bool must_decode = false;
    for (const auto c : missing) {
      const auto column = static_cast<std::uint16_t>(c);
      if (fetch->is_coming(column, own_ranges[c])) continue;
      if (!ask(column, own_ranges[c])) must_decode = true;
    }
    if (must_decode && stripe->k > 1) {
      // Decoding needs k columns over everything missing; those at hand or coming in time count.
      std::set<std::uint16_t> counted;
      for (const auto& part : fetch->parts)
        if (part->state != Fetch::Part::State::failed && !part->late &&
            covers(part->range, missing_gap))
          counted.insert(part->index);
      for (const auto& source : order) {
        if (counted.size() >= stripe->k) break;
        if (!counted.contains(source.index) && ask(source.index, missing_gap))
          counted.insert(source.index);
      }
    }
    if (std::none_of(fetch->parts.begin(), fetch->parts.end(), [](const auto& part) {
          return part->state == Fetch::Part::State::going;
        }))
      co_return fail(too_few(*stripe, *fetch));

    // A call that takes several times what the quickest usually take is late.
    double usual = 0;
    for (const auto& source : order)
      if (const auto load = loads_->find(source.holder);
          load != loads_->end() && load->second.seconds > 0)
        usual = usual == 0 ? load->second.seconds : std::min(usual, load->second.seconds);
    const auto patience =
        usual == 0 ? patience_alone
                   : std::max(patience_min, std::chrono::duration_cast<Duration>(
                                                std::chrono::duration<double>(6 * usual)));
    const auto now = context_.runtime.now();
    auto deadline = now + call_timeout;
    bool any_late = false;
    for (const auto& part : fetch->parts) {
      if (part->state != Fetch::Part::State::going || part->late) continue;
      if (part->started + patience <= now) {
        part->late = any_late = true;
      } else {
        deadline = std::min(deadline, part->started + patience);
      }
    }
    if (!any_late) co_await wait_until(context_.runtime, fetch->progress, deadline);
  }
}

}  // namespace spatter
