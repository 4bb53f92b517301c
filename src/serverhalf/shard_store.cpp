#include "serverhalf/shard_store.h"

#include "impl.h"

namespace spatter {

std::string ShardKey::text() const { return fmt::format("shard {} of stripe {}", index, stripe); }

std::string_view to_string(ShardDamage::Kind kind) {
  switch (kind) {
    case ShardDamage::Kind::missing: return "missing";
    case ShardDamage::Kind::truncated: return "truncated";
    case ShardDamage::Kind::flipped: return "flipped";
    case ShardDamage::Kind::swapped: return "swapped";
    case ShardDamage::Kind::unreadable: return "unreadable";
    case ShardDamage::Kind::record: return "record";
    case ShardDamage::Kind::orphan: return "orphan";
    case ShardDamage::Kind::leftover: return "leftover";
  }
  return "unknown";
}

Task<Result<std::unique_ptr<ShardStore>>> ShardStore::open(Runtime& runtime,
                                                           const SigningKey& holder,
                                                           ShardStoreOptions options) {
  auto impl = std::make_unique<Impl>(runtime, holder, std::move(options));
  auto opened = co_await impl->open();
  if (!opened) {
    co_await impl->stop();
    co_return fail(opened.error().during("opening the server half"));
  }
  co_return std::unique_ptr<ShardStore>(new ShardStore(std::move(impl)));
}

ShardStore::ShardStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ShardStore::~ShardStore() = default;

Task<void> ShardStore::stop() { return impl_->stop(); }

Task<Result<wire::Contract>> ShardStore::put(Asker asker, wire::Signed descriptor,
                                             wire::Contract contract, Buffer shard) {
  return impl_->apart(
      impl_->put(asker, std::move(descriptor), std::move(contract), std::move(shard)));
}

Task<Result<wire::Contract>> ShardStore::put_rebuilt(ServerId coordinator, wire::Signed descriptor,
                                                     wire::Contract contract, Buffer shard,
                                                     WallMs trial_until_ms) {
  return impl_->apart(impl_->put_rebuilt(coordinator, std::move(descriptor), std::move(contract), std::move(shard),
                                         trial_until_ms));
}

Task<Result<std::vector<KeptStripe>>> ShardStore::kept_stripes(std::optional<StripeId> after, std::size_t limit) {
  return impl_->apart(impl_->kept_stripes(after, limit));
}

Task<Result<std::optional<KeptStripe>>> ShardStore::kept_stripe(StripeId stripe) {
  return impl_->apart(impl_->kept_stripe(stripe));
}

Task<Result<std::vector<ShardStore::KeptVersion>>> ShardStore::kept_versions(PersonId person,
                                                                             std::optional<StripeId> after,
                                                                             std::size_t limit) {
  return impl_->apart(impl_->kept_versions(person, after, limit));
}

Task<Result<bool>> ShardStore::set_holders(StripeId stripe, std::uint64_t version, Bytes chain,
                                           std::vector<std::uint8_t> confirmed) {
  return impl_->apart(impl_->set_holders(stripe, version, std::move(chain), std::move(confirmed)));
}

Task<Result<std::uint32_t>> ShardStore::let_go(std::vector<ShardKey> keys, std::uint64_t holders_version,
                                               bool on_trial) {
  return impl_->apart(impl_->let_go(std::move(keys), holders_version, on_trial));
}

void ShardStore::on_released(std::function<void(const std::vector<ShardKey>&)> call) {
  impl_->on_released = std::move(call);
}

Task<Result<std::uint64_t>> ShardStore::begin(Asker asker, ShardKey key, std::uint64_t size,
                                              WriterMark mark) {
  return impl_->apart(impl_->begin(asker, key, size, mark));
}

Task<Result<void>> ShardStore::write(Asker asker, std::uint64_t handle, std::uint64_t offset,
                                     Buffer piece) {
  return impl_->apart(impl_->write(asker, handle, offset, std::move(piece)));
}

Task<Result<wire::Contract>> ShardStore::commit(Asker asker, std::uint64_t handle,
                                                wire::Signed descriptor, wire::Contract contract) {
  return impl_->apart(impl_->commit(asker, handle, std::move(descriptor), std::move(contract)));
}

Task<Result<void>> ShardStore::abort(Asker asker, std::uint64_t handle) {
  return impl_->apart(impl_->abort(asker, handle));
}

Task<Result<std::vector<wire::Contract>>> ShardStore::renew(Asker asker,
                                                            std::vector<wire::Contract> offers) {
  return impl_->apart(impl_->renew(asker, std::move(offers)));
}

Task<Result<ShardPart>> ShardStore::read(ShardKey key, std::uint64_t offset, std::uint64_t length) {
  return impl_->apart(impl_->read(key, offset, length));
}

Task<Result<ShardPage>> ShardStore::list(ShardQuery query) {
  return impl_->apart(impl_->list(std::move(query)));
}

Task<Result<std::vector<bool>>> ShardStore::check(std::vector<ShardKey> keys, bool deep) {
  return impl_->apart(impl_->check(std::move(keys), deep));
}

Task<Result<std::uint32_t>> ShardStore::release(Asker asker, std::vector<ShardKey> keys,
                                                std::uint64_t writer_number) {
  return impl_->apart(impl_->release(asker, std::move(keys), writer_number));
}

Task<Result<void>> ShardStore::put_root(Asker asker, wire::Signed root) {
  return impl_->apart(impl_->put_root(asker, std::move(root)));
}

Task<Result<std::vector<wire::Signed>>> ShardStore::roots(PersonId person) {
  return impl_->apart(impl_->roots(person));
}

ShardUsage ShardStore::usage() const { return impl_->usage(); }
std::vector<ShardBalance> ShardStore::balances() const { return impl_->ledger().balances(); }
std::uint64_t ShardStore::kept_for(PersonId person) const {
  return impl_->ledger().kept_for(person);
}
void ShardStore::set_budget(std::uint64_t bytes) { impl_->ledger().set_budget(bytes); }
void ShardStore::set_aside(std::uint64_t bytes) { impl_->ledger().set_aside(bytes); }
void ShardStore::set_reciprocity(std::function<Reciprocity(PersonId)> reciprocity) {
  impl_->options().reciprocity = std::move(reciprocity);
}

void ShardStore::on_lost(std::function<void()> call) { impl_->on_lost = std::move(call); }
void ShardStore::on_root(std::function<void(const PersonId&, const ServerId&)> call) {
  impl_->on_root = std::move(call);
}
Task<Result<std::map<PersonId, std::uint64_t>>> ShardStore::lost_of_persons() {
  return impl_->apart(impl_->lost_of_persons());
}

Task<Result<ShardCheckup>> ShardStore::fsck(
    bool deep, bool mend, std::function<void(std::uint64_t, std::uint64_t)> progress) {
  return impl_->apart(impl_->fsck(deep, mend, std::move(progress)));
}

ShardStore::Impl::Impl(Runtime& runtime, const SigningKey& holder, ShardStoreOptions options)
    : runtime_(runtime), holder_(holder), self_(server_id(holder.public_key())),
      options_(std::move(options)), ledger_(options_.budget_bytes, options_.disk_reserve_bytes),
      locks_(runtime.executor()), operations_(runtime.executor()),
      background_(runtime.executor()), something_begun_(runtime.executor()) {}

Task<void> ShardStore::Impl::stop() {
  if (stopping_) co_return;
  stopping_ = true;
  co_await background_.stop();
  for (const auto& [handle, one] : begun_) one->end();
  co_await operations_.drain();
  auto begun = std::move(begun_);
  begun_.clear();
  for (auto& [handle, one] : begun) co_await discard(std::move(one->staged));
  if (database_) co_await database_->close();
}

ShardUsage ShardStore::Impl::usage() const {
  return {.budget = ledger_.budget(), .used = ledger_.used(), .reserved = ledger_.reserved(),
          .free = ledger_.free(), .shards = ledger_.shards(), .lost = lost_};
}

}  // namespace spatter
