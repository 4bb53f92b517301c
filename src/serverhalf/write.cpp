// Taking shards in.
#include "impl.h"

namespace spatter {

using serverhalf::charge_at_most;
using serverhalf::charge_for;

namespace {

/// The disk is asked how full it is at least this often while shards come in.
constexpr Duration look_every = std::chrono::seconds(1);
/// Pieces of one shard that may wait for those before them.
constexpr unsigned early_pieces_max = 3;
/// What the receipt adds to a contract.
constexpr std::size_t receipt_bytes = 128;

}  // namespace

Task<Result<void>> ShardStore::Impl::look(Charge need, bool force) {
  const TimePoint now = runtime_.now();
  if (!force && now - looked_at_ < look_every && !ledger_.look_is_stale(need)) co_return Result<void>{};
  ledger_.begin_look();
  auto seen = co_await runtime_.blocking([this]() -> Result<serverhalf::DiskLook> {
    Disk& disk = runtime_.disk();
    TRY(const DiskSpace space, disk.space());
    serverhalf::DiskLook look{.total = space.total, .free = space.free};
    if (auto file = disk.stat(database_path())) look.database = file->size;
    if (auto file = disk.stat(database_path() + "-wal")) look.log = file->size;
    return look;
  });
  if (!seen) co_return fail(seen.error().during("asking the disk for its free space"));
  for (const auto& [path, size] : strays_) seen->strays += size;
  ledger_.looked(*seen);
  looked_at_ = now;
  co_return Result<void>{};
}

Task<Result<ShardStore::Impl::Room>> ShardStore::Impl::reserve(PersonId person, Charge need,
                                                               const Admission* admission) {
  if (!admission) admission = options_.admission.get();
  CO_TRY_VOID(co_await look(need, false));
  const Reciprocity reciprocity = options_.reciprocity ? options_.reciprocity(person) : Reciprocity{};
  auto room = ledger_.reserve(person, need, *admission, reciprocity);
  if (room) co_return room;
  CO_TRY_VOID(co_await look(need, true));
  co_return ledger_.reserve(person, need, *admission, reciprocity);
}

Result<ContractTerms> ShardStore::Impl::examine_terms(const Asker& asker,
                                                      const wire::Contract& contract) const {
  if (contract.body().size() + receipt_bytes * 2 > serverhalf::contract_bytes_max)
    return fail(Errc::invalid, "a contract of {} bytes", contract.body().size());
  TRY(auto terms, check_offer(contract));
  const ShardKey key{terms.stripe, terms.index};
  if (terms.holder != self_)
    return fail(Errc::invalid, "the contract for {} is with server {}, this is {}", key.text(),
                terms.holder, self_);
  if (terms.person != asker.person)
    return fail(Errc::denied, "the contract for {} is of another person than the server that offers it",
                key.text());
  if (terms.until_ms <= runtime_.wall_ms())
    return fail(Errc::invalid, "the contract for {} has ended already", key.text());
  return terms;
}

/// Only the fields we know are kept, whatever else the message held.
wire::Contract ShardStore::Impl::receipt_for(const wire::Contract& offer) const {
  wire::Contract contract;
  contract.set_body(offer.body());
  contract.set_owner_signature(offer.owner_signature());
  countersign(contract, holder_);
  return contract;
}

Result<ShardStore::Impl::Offer> ShardStore::Impl::examine(const Asker& asker,
                                                          const wire::Signed& descriptor,
                                                          const wire::Contract& contract,
                                                          const Staged& staged) const {
  using namespace serverhalf;
  Offer offer;
  if (descriptor.body().size() + 200 > descriptor_bytes_max)
    return fail(Errc::invalid, "a stripe descriptor of {} bytes", descriptor.body().size());
  TRY(offer.terms, examine_terms(asker, contract));
  offer.key = {offer.terms.stripe, offer.terms.index};
  TRY(offer.stripe, check_descriptor(descriptor));
  TRY_VOID(check_matches(offer.terms, offer.stripe));
  constexpr auto number_max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (offer.stripe.writer_number > number_max)
    return fail(Errc::invalid, "stripe {}: writer number {}", offer.stripe.stripe,
                offer.stripe.writer_number);
  if (staged.size != offer.terms.size)
    return fail(Errc::invalid, "{}: {} bytes came, the contract is for {}", offer.key.text(),
                staged.size, offer.terms.size);
  if (merkle_root(staged.leaves) != offer.terms.shard_root)
    return fail(Errc::corrupt, "{}: the bytes that came do not have the contract's root",
                offer.key.text());
  offer.contract = receipt_for(contract);
  offer.contract_bytes = offer.contract.SerializeAsString();
  wire::Signed kept;
  kept.set_body(descriptor.body());
  kept.set_key(descriptor.key());
  kept.set_signature(descriptor.signature());
  offer.descriptor_bytes = kept.SerializeAsString();
  offer.charge = charge_for(staged.size, offer.descriptor_bytes.size(), offer.contract_bytes.size());
  if (staged.size > shard_inline_bytes_max)
    offer.file_bytes = staged.size + staged.leaves.size() * 32 + offer.descriptor_bytes.size() +
                       offer.contract_bytes.size() + footer_bytes;
  return offer;
}

Result<void> ShardStore::Impl::create_tmp(Staged& staged) {
  TRY(staged.file, runtime_.disk().open(staged.tmp, OpenMode::create_new));
  return {};
}

Result<void> ShardStore::Impl::seal(Staged& staged, const Offer& offer) {
  const Bytes tail = serverhalf::make_tail(staged.size, staged.leaves, offer.descriptor_bytes,
                                           offer.contract_bytes);
  TRY_VOID(staged.file->write_at(staged.size, tail));
  TRY_VOID(staged.file->sync());
  staged.file->forget_cached();
  staged.file.reset();
  return {};
}

Result<void> ShardStore::Impl::place(const std::string& tmp, const ShardKey& key) {
  Disk& disk = runtime_.disk();
  const std::string folder = serverhalf::shard_folder(options_.folder, key.stripe);
  auto& made = folder_made_[key.stripe.bytes[0]];
  if (!made) {
    TRY_VOID(disk.make_directories(folder));
    TRY_VOID(disk.sync_directory(options_.folder + "/shards"));
    made = true;
  }
  TRY_VOID(disk.rename(tmp, serverhalf::shard_path(options_.folder, key)));
  return disk.sync_directory(folder);
}

std::string ShardStore::Impl::next_tmp() {
  std::string path = fmt::format("{}/{}", tmp_folder(), tmp_number_++);
  tmp_in_use_.insert(path);
  return path;
}

/// Whatever stays behind when this fails is removed at the next open, and counts until then.
Task<void> ShardStore::Impl::discard(Staged staged) {
  if (staged.tmp.empty()) co_return;
  auto removed = co_await runtime_.blocking([&] {
    staged.file.reset();
    return runtime_.disk().remove(staged.tmp);
  });
  if (!removed && removed.error().code != Errc::not_found) {
    strays_[staged.tmp] = staged.size;
    runtime_.log().warning("server half: {}", removed.error().message);
  }
  tmp_in_use_.erase(staged.tmp);
}

Task<Result<wire::Contract>> ShardStore::Impl::give_up(Staged staged, Error why) {
  co_await discard(std::move(staged));
  co_return fail(std::move(why));
}

namespace {

Result<void> check_size(const Buffer& shard) {
  if (!shard.empty() && shard.size() <= shard_bytes_max) return {};
  return fail(Errc::invalid, "a shard of {} bytes, allowed are 1 to {}", shard.size(), shard_bytes_max);
}

serverhalf::Charge charge_of(const Buffer& shard, const wire::Signed& descriptor, const wire::Contract& contract) {
  return charge_for(shard.size(), descriptor.ByteSizeLong(), contract.body().size() + 64 + receipt_bytes);
}

}  // namespace

Task<Result<wire::Contract>> ShardStore::Impl::put(Asker asker, wire::Signed descriptor,
                                                   wire::Contract contract, Buffer shard) {
  CO_TRY_VOID(check_size(shard));
  auto room = co_await reserve(asker.person, charge_of(shard, descriptor, contract));
  co_return co_await take(asker, std::move(descriptor), std::move(contract), std::move(shard), std::move(room), 0);
}

Task<Result<wire::Contract>> ShardStore::Impl::put_rebuilt(ServerId coordinator, wire::Signed descriptor,
                                                           wire::Contract contract, Buffer shard,
                                                           WallMs trial_until_ms) {
  CO_TRY_VOID(check_size(shard));
  CO_TRY(const auto terms, check_offer(contract));
  if (server_id(terms.owner_key) != coordinator)
    co_return fail(Errc::denied, "the contract for shard {} of stripe {} is not offered by the server that brings it",
                   terms.index, terms.stripe);
  // What a list gave this server for good is the owner's doing, and held to his share; but for what this
  // server brings back itself.
  const bool bounded = trial_until_ms == rebuilt_for_good && coordinator != self_;
  auto room = co_await reserve(terms.person, charge_of(shard, descriptor, contract), bounded ? nullptr : &everyone());
  co_return co_await take({coordinator, terms.person}, std::move(descriptor), std::move(contract), std::move(shard),
                          std::move(room), trial_until_ms);
}

Task<Result<wire::Contract>> ShardStore::Impl::take(Asker asker, wire::Signed descriptor, wire::Contract contract,
                                                    Buffer shard, Result<Room> room, WallMs trial_until_ms) {
  // No room is no refusal yet: it may be here already, and its receipt got lost.
  if (!room && room.error().code != Errc::no_space) co_return fail(room.error());
  Staged staged{.size = shard.size(), .bytes = shard};
  if (shard.size() > shard_inline_bytes_max && room) staged.tmp = next_tmp();
  const auto check = [&]() -> Result<Offer> {
    staged.leaves = leaf_hashes(shard);
    TRY(Offer checked, examine(asker, descriptor, contract, staged));
    checked.trial_until_ms = trial_until_ms;
    if (!staged.tmp.empty()) {
      TRY_VOID(create_tmp(staged));
      TRY_VOID(staged.file->write_at(0, shard));
      TRY_VOID(seal(staged, checked));
    }
    return checked;
  };
  // A few hashes and signatures take less than going to another thread and back.
  auto offer = shard.size() <= shard_inline_bytes_max ? check() : co_await runtime_.blocking(check);
  if (!offer) co_return co_await give_up(std::move(staged), offer.error());
  co_return co_await keep(std::move(*offer), std::move(staged), std::move(room));
}

Task<Result<wire::Contract>> ShardStore::Impl::keep(Offer offer, Staged staged, Result<Room> room) {
  namespace index = serverhalf::index;
  const bool is_file = offer.file_bytes != 0;
  const auto hold = co_await locks_.lock(offer.key);
  bool placed = false;
  if (is_file || !room) {
    auto before = co_await database_->read_for<std::optional<Entry>>(
        [&](Connected& db) { return index::judge(db, offer); });
    if (!before) co_return co_await give_up(std::move(staged), before.error());
    const bool whole_already = *before && !(*before)->lost;
    if (!whole_already && !room) co_return co_await give_up(std::move(staged), room.error());
    if (whole_already) {
      co_await discard(std::move(staged));
      staged = {};
    } else if (is_file) {
      auto in_place = co_await runtime_.blocking([&] { return place(staged.tmp, offer.key); });
      const std::string path = serverhalf::shard_path(options_.folder, offer.key);
      if (!in_place) {  // perhaps renamed already
        co_await discard({.size = offer.file_bytes, .tmp = path});
        co_return co_await give_up(std::move(staged), in_place.error());
      }
      strays_.erase(path);
      placed = true;
    }
  }
  auto kept = co_await database_->write_for<index::Kept>([&](Connected& db) {
    return index::keep(db, offer, is_file ? ByteView() : staged.bytes.view(), staged.leaves);
  });
  if (placed) tmp_in_use_.erase(staged.tmp);
  if (!kept) {
    if (placed) co_await discard({.size = offer.file_bytes,
                                  .tmp = serverhalf::shard_path(options_.folder, offer.key)});
    co_return fail(kept.error());
  }
  account(*kept, offer, room ? std::move(*room) : Room());
  wire::Contract receipt;
  if (!receipt.ParseFromString(kept->contract_bytes))
    co_return fail(Errc::corrupt, "the contract for {} in the index cannot be read",
                   offer.key.text());
  co_return receipt;
}

void ShardStore::Impl::account(const serverhalf::index::Kept& kept, const Offer& offer, Room room) {
  using How = serverhalf::index::Kept::How;
  if (kept.how == How::known) return;
  const ServerId server = server_id(offer.terms.owner_key);
  const PersonId& person = offer.stripe.person;
  if (kept.before) {
    ledger_.shard_gone(person, kept.before->server, kept.before->size);
    if (kept.how == How::healed) {
      ledger_.gone(person, kept.before->charge);
      --lost_;
    }
  }
  ledger_.shard_kept(person, server, offer.terms.size);
  if (kept.how != How::renewed) ledger_.settle(std::move(room), offer.charge);
}

Result<void> ShardStore::Impl::check_begin_limits(const Asker& asker, std::uint64_t size) const {
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  for (const auto& [handle, one] : begun_) {
    if (one->asker.server != asker.server) continue;
    ++count;
    bytes += one->size;
  }
  if (count >= options_.begins_per_server_max || bytes + size > options_.begin_bytes_per_server_max)
    return fail(Errc::busy, "server {} has begun {} shards of {} bytes here and finished none of them",
                asker.server, count, bytes);
  return {};
}

Task<Result<std::uint64_t>> ShardStore::Impl::begin(Asker asker, ShardKey key, std::uint64_t size,
                                                    WriterMark mark) {
  if (size < 1 || size > shard_bytes_max || key.index > shard_index_max)
    co_return fail(Errc::invalid, "{} of {} bytes: no shard is like that", key.text(), size);
  CO_TRY_VOID(check_begin_limits(asker, size));
  CO_TRY_VOID(co_await database_->read([&](Connected& db) {
    return serverhalf::index::check_fence(db, asker.person, mark.volume, mark.number);
  }));
  CO_TRY(auto room, co_await reserve(asker.person, charge_at_most(size)));
  CO_TRY_VOID(check_begin_limits(asker, size));
  auto begun = std::make_shared<Begun>(runtime_.executor());
  begun->asker = asker;
  begun->key = key;
  begun->size = size;
  begun->mark = mark;
  begun->room = std::move(room);
  begun->touched = runtime_.now();
  if (size <= shard_inline_bytes_max)
    begun->staged.bytes = Buffer::allocate(size);
  else
    begun->staged.tmp = next_tmp();
  std::uint64_t handle = 0;
  while (handle == 0 || begun_.contains(handle)) handle = runtime_.entropy().next_u64();
  begun_.emplace(handle, std::move(begun));
  something_begun_.set();
  co_return handle;
}

Result<std::shared_ptr<ShardStore::Impl::Begun>> ShardStore::Impl::find_begun(const Asker& asker,
                                                                              std::uint64_t handle) {
  auto found = begun_.find(handle);
  // A stranger's handle looks like none at all.
  if (found == begun_.end() || found->second->asker.server != asker.server)
    return fail(Errc::not_found, "nothing has been begun under handle {:016x}, or it took too long",
                handle);
  return found->second;
}

/// A piece may have overtaken those before it on its way here.
Task<Result<void>> ShardStore::Impl::wait_for_turn(Begun& begun, std::uint64_t offset) {
  if (offset <= begun.written || begun.over) co_return Result<void>{};
  if (begun.early_pieces >= early_pieces_max)
    co_return fail(Errc::invalid, "{}: a piece for offset {}, expected is {}", begun.key.text(),
                   offset, begun.written);
  ++begun.early_pieces;
  while (begun.written < offset && !begun.over) co_await begun.advanced.wait();
  --begun.early_pieces;
  co_return Result<void>{};
}

Task<Result<void>> ShardStore::Impl::write(Asker asker, std::uint64_t handle, std::uint64_t offset,
                                           Buffer piece) {
  CO_TRY(auto begun, find_begun(asker, handle));
  CO_TRY_VOID(co_await wait_for_turn(*begun, offset));
  const auto turn = co_await begun->busy.lock();
  if (begun->over)
    co_return fail(Errc::not_found, "{}: what was begun is over", begun->key.text());
  begun->touched = runtime_.now();
  if (offset != begun->written)
    co_return fail(Errc::invalid, "{}: a piece for offset {}, expected is {}", begun->key.text(),
                   offset, begun->written);
  if (piece.size() > begun->size - begun->written)
    co_return fail(Errc::invalid, "{}: {} bytes at {} go past its {}", begun->key.text(),
                   piece.size(), offset, begun->size);
  auto done = co_await runtime_.blocking([&]() -> Result<void> {
    Staged& staged = begun->staged;
    begun->hasher.update(piece);
    if (staged.tmp.empty()) {
      std::copy(piece.data(), piece.data() + piece.size(), staged.bytes.mutable_data() + offset);
      return {};
    }
    if (!staged.file) TRY_VOID(create_tmp(staged));
    return staged.file->write_at(offset, piece);
  });
  begun->touched = runtime_.now();
  if (done) {
    begun->written += piece.size();
    begun->staged.size = begun->written;
    begun->advanced.wake_all();
    co_return Result<void>{};
  }
  begun->end();
  begun_.erase(handle);
  co_await discard(std::move(begun->staged));
  begun->room.give_back();
  co_return done;
}

Task<Result<wire::Contract>> ShardStore::Impl::commit(Asker asker, std::uint64_t handle,
                                                      wire::Signed descriptor,
                                                      wire::Contract contract) {
  CO_TRY(auto begun, find_begun(asker, handle));
  const auto turn = co_await begun->busy.lock();
  if (begun->over)
    co_return fail(Errc::not_found, "{}: what was begun is over", begun->key.text());
  begun->end();
  begun_.erase(handle);
  Staged staged = std::move(begun->staged);
  Room room = std::move(begun->room);
  if (begun->written != begun->size)
    co_return co_await give_up(
        std::move(staged), Error{Errc::invalid, fmt::format("{}: {} of {} bytes have come",
                                                            begun->key.text(), begun->written,
                                                            begun->size)});
  auto offer = co_await runtime_.blocking([&]() -> Result<Offer> {
    staged.leaves = begun->hasher.finish();
    TRY(Offer checked, examine(asker, descriptor, contract, staged));
    if (checked.key != begun->key)
      return fail(Errc::invalid, "{} was begun, the contract is for {}", begun->key.text(),
                  checked.key.text());
    if (!staged.tmp.empty()) TRY_VOID(seal(staged, checked));
    return checked;
  });
  if (!offer) co_return co_await give_up(std::move(staged), offer.error());
  co_return co_await keep(std::move(*offer), std::move(staged), std::move(room));
}

Task<Result<void>> ShardStore::Impl::abort(Asker asker, std::uint64_t handle) {
  CO_TRY(auto begun, find_begun(asker, handle));
  const auto turn = co_await begun->busy.lock();
  if (begun->over) co_return Result<void>{};
  begun->end();
  begun_.erase(handle);
  co_await discard(std::move(begun->staged));
  begun->room.give_back();
  co_return Result<void>{};
}

/// Drops what was begun and then left alone; sleeps while nothing is begun.
Task<void> ShardStore::Impl::expire_begun() {
  while (true) {
    co_await something_begun_.wait();
    something_begun_.reset();
    while (!begun_.empty()) {
      TimePoint next = TimePoint::max();
      for (const auto& [handle, one] : begun_)
        next = std::min(next, one->touched + options_.begin_idle_max);
      co_await runtime_.sleep_until(next);
      const TimePoint now = runtime_.now();
      std::vector<std::pair<Asker, std::uint64_t>> old;
      for (const auto& [handle, one] : begun_)
        if (one->touched + options_.begin_idle_max <= now) old.emplace_back(one->asker, handle);
      for (const auto& [asker, handle] : old) {
        runtime_.log().info("server half: server {} left a begun shard alone; its room is free again",
                            asker.server);
        static_cast<void>(co_await apart(abort(asker, handle)));
      }
    }
  }
}

}  // namespace spatter
