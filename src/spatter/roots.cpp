#include "spatter/roots.h"

#include "net/methods.h"
#include "proto/holder.pb.h"
#include "trust/signed.h"

namespace spatter {
namespace {

/// A root record that the person signed, with whatever key he had then; nullopt for anything else.
std::optional<KnownRoot> person_root(const Members& members, const wire::Signed& record,
                                            const PersonId& person) {
  const auto key = PersonId::from(record.key());
  if (!key || !members.was_key_of(*key, person)) return std::nullopt;
  auto root = open_signed<wire::RootRecord>(record, kind::root);
  if (!root || root->person() != person.raw()) return std::nullopt;
  return KnownRoot{std::move(*root), *key};
}

template <class Records>
std::vector<KnownRoot> signed_by(const Members& members, const Records& records, const PersonId& person) {
  std::vector<KnownRoot> result;
  for (const auto& record : records)
    if (auto root = person_root(members, record, person)) result.push_back(std::move(*root));
  return result;
}

}  // namespace

std::optional<VolumeKeys> keys_of_volume(const PersonKeys& person, const wire::RootRecord& root) {
  const auto volume = VolumeId::from(root.volume());
  if (!volume) return std::nullopt;
  for (auto number = person.count(); number > 0; --number) {
    auto keys = VolumeKeys::derive(person.numbered(number), *volume);
    if (keys.metadata.open(volume->view(), as_bytes(root.sealed()))) return keys;
  }
  return std::nullopt;
}

Task<Result<KnownRoots>> ask_roots(SpatterContext context, ServerId member,
                                   std::optional<PersonId> of) {
  const auto person = of.value_or(context.identity.person);
  if (member == context.identity.server) {
    CO_TRY(const auto records, co_await context.own_store.roots(person));
    co_return KnownRoots{signed_by(context.members, records, person), {}};
  }
  wire::RootGetRequest request;
  request.set_person(person.raw());
  CO_TRY(const auto answer,
         co_await context.rpc.call(
             member, {.method = method::root_get, .body = request.SerializeAsString()}));
  wire::RootGetReply reply;
  if (!reply.ParseFromString(answer.body))
    co_return fail(Errc::invalid, "server {}: its answer to {} cannot be read", member,
                   method_name(method::root_get));
  co_return KnownRoots{signed_by(context.members, reply.roots(), person),
                       {reply.writers_up().begin(), reply.writers_up().end()}};
}

Task<Result<void>> give_root(SpatterContext context, ServerId member, wire::Signed root) {
  if (member == context.identity.server)
    co_return co_await context.own_store.put_root(
        {member, context.identity.person, person_id(context.identity.person_key.public_key())}, std::move(root));
  wire::RootPutRequest request;
  *request.mutable_root() = std::move(root);
  CO_TRY_VOID(co_await context.rpc.call(
      member, {.method = method::root_put, .body = request.SerializeAsString()}));
  co_return Result<void>{};
}

}  // namespace spatter
