#include "trust/contract.h"

namespace spatter {
namespace {

template <class IdType>
Result<IdType> field_id(const std::string& raw, std::string_view record, std::string_view field) {
  auto id = IdType::from(raw);
  if (!id)
    return fail(Errc::invalid, "a {} record whose {} has {} bytes instead of 32", record, field,
                raw.size());
  return *id;
}

}  // namespace

bool renewal_due(WallMs signed_ms, WallMs until_ms, WallMs now) {
  return now >= until_ms - (until_ms - signed_ms) / 3;
}

bool contract_lapsed(WallMs until_ms, WallMs now) {
  return now > until_ms && now - until_ms > contract_grace_ms;
}

wire::Signed sign_descriptor(const SigningKey& server, const wire::StripeDescriptor& descriptor) {
  return sign_message(server, kind::stripe, descriptor);
}

Result<Descriptor> check_descriptor(const wire::Signed& record) {
  TRY(auto message, open_signed<wire::StripeDescriptor>(record, kind::stripe));
  Descriptor descriptor;
  TRY(descriptor.stripe, field_id<StripeId>(message.stripe(), "stripe", "id"));
  TRY(descriptor.person, field_id<PersonId>(message.person(), "stripe", "owner"));
  TRY(descriptor.volume, field_id<VolumeId>(message.volume(), "stripe", "volume"));
  if (message.server_key() != record.key())
    return fail(Errc::denied, "stripe {}: signed by another key than its server's",
                descriptor.stripe);
  descriptor.server_key = to_bytes(as_bytes(message.server_key()));
  descriptor.server = server_id(as_bytes(message.server_key()));
  descriptor.writer_number = message.writer_number();
  descriptor.k = message.k();
  descriptor.n = message.n();
  descriptor.length = message.length();
  descriptor.shard_size = message.shard_size();
  descriptor.created_ms = message.created_ms();
  descriptor.label = message.label();
  if (descriptor.k < 1 || descriptor.k > 85 || descriptor.n != 3 * descriptor.k)
    return fail(Errc::invalid, "stripe {}: k = {} and n = {} are not a code of ours",
                descriptor.stripe, message.k(), message.n());
  if (descriptor.shard_size < 1 || descriptor.shard_size > shard_bytes_max)
    return fail(Errc::invalid, "stripe {}: shards of {} bytes, allowed are 1 to {}",
                descriptor.stripe, descriptor.shard_size, shard_bytes_max);
  if (descriptor.length < 1 || descriptor.length > descriptor.k * descriptor.shard_size)
    return fail(Errc::invalid, "stripe {}: {} bytes do not fit {} columns of {}",
                descriptor.stripe, descriptor.length, descriptor.k, descriptor.shard_size);
  if (message.shard_roots().size() != std::size_t{descriptor.n} * 32)
    return fail(Errc::invalid, "stripe {}: not {} shard roots but {} bytes", descriptor.stripe,
                descriptor.n, message.shard_roots().size());
  if (descriptor.label.size() > stripe_label_bytes_max)
    return fail(Errc::invalid, "stripe {}: a label of {} bytes", descriptor.stripe,
                descriptor.label.size());
  descriptor.shard_roots.reserve(descriptor.n);
  for (unsigned i = 0; i < descriptor.n; ++i) {
    TRY(auto root, Digest::from(std::string_view(message.shard_roots()).substr(i * 32, 32)));
    descriptor.shard_roots.push_back(root);
  }
  return descriptor;
}

wire::Contract offer_contract(const SigningKey& owner_server, const Descriptor& descriptor,
                              unsigned index, const ServerId& holder, WallMs signed_ms,
                              WallMs until_ms) {
  SPATTER_ASSERT(index < descriptor.n);
  const auto owner_key = owner_server.public_key();
  wire::ContractBody body;
  body.set_stripe(descriptor.stripe.raw());
  body.set_index(index);
  body.set_shard_root(descriptor.shard_roots[index].raw());
  body.set_size(descriptor.shard_size);
  body.set_person(descriptor.person.raw());
  body.set_owner_key(owner_key.data(), owner_key.size());
  body.set_holder(holder.raw());
  body.set_signed_ms(static_cast<std::uint64_t>(signed_ms));
  body.set_until_ms(static_cast<std::uint64_t>(until_ms));
  wire::Contract contract;
  contract.set_body(body.SerializeAsString());
  const auto signature = owner_server.sign(signed_bytes(kind::contract, contract.body()));
  contract.set_owner_signature(signature.data(), signature.size());
  return contract;
}

Result<ContractTerms> check_offer(const wire::Contract& contract) {
  wire::ContractBody body;
  if (contract.body().size() > record_bytes_max || !body.ParseFromString(contract.body()))
    return fail(Errc::invalid, "a contract that cannot be read");
  ContractTerms terms;
  TRY(terms.stripe, field_id<StripeId>(body.stripe(), "contract", "stripe"));
  TRY(terms.shard_root, field_id<Digest>(body.shard_root(), "contract", "shard root"));
  TRY(terms.person, field_id<PersonId>(body.person(), "contract", "owner"));
  TRY(terms.holder, field_id<ServerId>(body.holder(), "contract", "holder"));
  terms.index = body.index();
  terms.size = body.size();
  terms.owner_key = to_bytes(as_bytes(body.owner_key()));
  if (terms.index > shard_index_max)
    return fail(Errc::invalid, "a contract for shard {} of stripe {}", terms.index, terms.stripe);
  if (terms.size < 1 || terms.size > shard_bytes_max)
    return fail(Errc::invalid, "a contract for {} bytes of stripe {}", terms.size, terms.stripe);
  constexpr auto ms_max = static_cast<std::uint64_t>(std::numeric_limits<WallMs>::max());
  if (body.signed_ms() > ms_max || body.until_ms() > ms_max || body.until_ms() < body.signed_ms())
    return fail(Errc::invalid, "a contract for stripe {} that ends before it begins",
                terms.stripe);
  terms.signed_ms = static_cast<WallMs>(body.signed_ms());
  terms.until_ms = static_cast<WallMs>(body.until_ms());
  if (terms.owner_key.size() != 32 || contract.owner_signature().size() != 64)
    return fail(Errc::invalid, "a contract whose owner key or signature has a wrong length");
  if (!verify(terms.owner_key, signed_bytes(kind::contract, contract.body()),
              as_bytes(contract.owner_signature())))
    return fail(Errc::corrupt, "the owner's signature of the contract for shard {} of stripe {} "
                "does not match", terms.index, terms.stripe);
  return terms;
}

Result<void> check_matches(const ContractTerms& terms, const Descriptor& descriptor) {
  if (terms.stripe != descriptor.stripe || terms.person != descriptor.person ||
      terms.index >= descriptor.n || terms.size != descriptor.shard_size ||
      terms.shard_root != descriptor.shard_roots[terms.index])
    return fail(Errc::invalid, "the contract for shard {} of stripe {} does not match its stripe's "
                "descriptor", terms.index, terms.stripe);
  return {};
}

void countersign(wire::Contract& contract, const SigningKey& holder) {
  const auto key = holder.public_key();
  const auto signature = holder.sign(signed_bytes(kind::contract, contract.body()));
  contract.set_holder_key(key.data(), key.size());
  contract.set_holder_signature(signature.data(), signature.size());
}

Result<ContractTerms> check_contract(const wire::Contract& contract) {
  TRY(auto terms, check_offer(contract));
  if (contract.holder_key().size() != 32 || contract.holder_signature().size() != 64)
    return fail(Errc::invalid, "the receipt for shard {} of stripe {} is missing", terms.index,
                terms.stripe);
  if (server_id(as_bytes(contract.holder_key())) != terms.holder)
    return fail(Errc::denied, "the receipt for shard {} of stripe {} is signed by another server "
                "than its holder {}", terms.index, terms.stripe, terms.holder);
  if (!verify(as_bytes(contract.holder_key()), signed_bytes(kind::contract, contract.body()),
              as_bytes(contract.holder_signature())))
    return fail(Errc::corrupt, "the receipt for shard {} of stripe {} does not match", terms.index,
                terms.stripe);
  return terms;
}

bool is_receipt(const wire::Contract& contract, const Descriptor& descriptor, unsigned index,
                const ServerId& holder) {
  const auto terms = check_contract(contract);
  return terms && terms->index == index && terms->holder == holder &&
         check_matches(*terms, descriptor).has_value();
}

}  // namespace spatter
