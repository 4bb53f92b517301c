// Values of directory records from a peer: refused, or what is read out of them is within its bounds. The
// first byte says of which kind the rest is: a value as it comes, or a body that its owner really signed, as
// a hostile member would. The seeds in the corpus are good bodies.
#include "directory/record_kinds.h"
#include "server_of_founder.h"
#include "wire/proto/directory.pb.h"

namespace {

using namespace spatter;

struct Kinds : World {
  ContactJudge judge{{genesis.network, [](const ServerId&, const PersonId&) { return true; },
                      [](const PlaceFacts&, const PersonId&) { return Result<void>{}; }}};
  RecordValidators validators = record_validators(
      judge, {genesis.network, [](const ServerId&, const PersonId&) { return true; },
              [](const PersonId& key, const PersonId& person) { return key == person; },
              [this](WallMs moment) { return genesis.epoch_of(moment); }});
  PlaceDraw place{0, 1, {make_place_draw(founder, {genesis.network, 1, identity.server, identity.person, 0,
                                                   {founder.public_key()}})}};
};

/// What was read is what the validator says too, under its own name and no other.
void expect_good(Kinds& kinds, const RecordKey& key, const std::string& value, bool should = true) {
  const auto record = kinds.validators.check(key, value);
  SPATTER_ASSERT(record || !record.error().message.empty());
  SPATTER_ASSERT(record || !should || value.size() > record_value_bytes_max);
  if (!record) return;
  SPATTER_ASSERT((*record)->facts.version > 0 && (*record)->facts.expires_ms > 0);
  auto other = key;
  other.subject.bytes[0] ^= 1;
  SPATTER_ASSERT(!kinds.validators.check(other, value));
}

void as_person(Kinds& kinds, const std::string& value) {
  const auto facts = read_person_servers(as_bytes(value), kinds.genesis.network);
  if (!facts) return;
  SPATTER_ASSERT(facts->servers.size() <= Roster::servers_per_person_max);
  SPATTER_ASSERT(std::ranges::is_sorted(facts->servers));
  expect_good(kinds, person_key_of(facts->person), value, facts->signed_by == facts->person);
}

void as_stripe(Kinds& kinds, const std::string& value) {
  const auto facts = read_stripe_holders(as_bytes(value), kinds.genesis.network);
  if (!facts) return;
  SPATTER_ASSERT(facts->k >= 1 && facts->n == 3 * facts->k && facts->n <= 255);
  std::size_t shards = 0;
  for (const HeldShards& held : facts->holders) {
    SPATTER_ASSERT(!held.indices.empty() && held.indices.back() < facts->n);
    SPATTER_ASSERT(std::ranges::is_sorted(held.indices));
    shards += held.indices.size();
  }
  SPATTER_ASSERT(shards <= 2 * facts->n);
  expect_good(kinds, stripe_key_of(facts->stripe, facts->owner), value);
}

void as_health(Kinds& kinds, const std::string& value) {
  const auto facts = read_health(as_bytes(value), kinds.genesis.network);
  if (!facts) return;
  SPATTER_ASSERT(facts->full <= facts->stripes && facts->lost <= facts->stripes);
  SPATTER_ASSERT(facts->full + facts->safe + facts->at_risk + facts->lost == facts->stripes);
  const auto epoch = kinds.genesis.epoch_of(facts->made_ms);
  expect_good(kinds, health_key_of(facts->epoch, facts->reporter), value,
              facts->epoch == epoch || facts->epoch + 1 == epoch || facts->epoch == epoch + 1);
}

void as_server(Kinds& kinds, const std::string& value) {
  const auto contact = kinds.judge.judge(as_bytes(value));
  if (!contact) return;
  expect_good(kinds, server_key_of((*contact)->id), value, false);  // its version may be no time at all
}

template <class Message>
std::optional<Message> body_of(std::string_view bytes) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  return message;
}

/// Puts in what must be the owner's own.
void as_signed(Kinds& kinds, unsigned kind, std::string_view bytes) {
  const auto& own = kinds.identity;
  if (kind == 0) {
    auto body = body_of<wire::ServerRecord>(bytes);
    if (!body) return;
    if (body->place_draws().empty()) {
      body->set_place_number(kinds.place.number);
      body->set_place_epoch(kinds.place.epoch);
      body->set_place_draws(to_bytes(kinds.place.draws));
    }
    as_server(kinds, kinds.signed_record(std::move(*body)).SerializeAsString());
  } else if (kind == 1) {
    auto body = body_of<wire::PersonServers>(bytes);
    if (!body) return;
    body->set_network(own.network.raw());
    body->set_person(own.person.raw());
    as_person(kinds, sign_message(own.person_key, kind::person_servers, *body).SerializeAsString());
  } else if (kind == 2) {
    auto body = body_of<wire::StripeHolders>(bytes);
    if (!body) return;
    *body->mutable_certificate() = own.certificate;
    as_stripe(kinds, sign_message(own.server_key, kind::stripe_holders, *body).SerializeAsString());
  } else {
    auto body = body_of<wire::HealthReport>(bytes);
    if (!body) return;
    *body->mutable_certificate() = own.certificate;
    as_health(kinds, sign_message(own.server_key, kind::health, *body).SerializeAsString());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Kinds kinds;
  if (size == 0) return 0;
  const std::string value(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 8) {
    case 0: as_server(kinds, value); break;
    case 1: as_person(kinds, value); break;
    case 2: as_stripe(kinds, value); break;
    case 3: as_health(kinds, value); break;
    default: as_signed(kinds, data[0] % 4, value); break;
  }
  for (std::uint8_t type = 1; type <= record_types; ++type)
    SPATTER_ASSERT(!kinds.validators.check({static_cast<RecordType>(type), {}}, value));
  return 0;
}
