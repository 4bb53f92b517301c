// Directory messages from a peer: refused, or within their bounds. The first byte says which message
// the rest is taken for; questions that are good are answered, answers that are good go into a look-up.
#include "crypto/hash.h"
#include "directory/core.h"
#include "directory/roster.h"
#include "directory/wire_form.h"
#include "net/methods.h"

namespace {

using namespace spatter;

struct World {
  World() {
    validators.set(RecordType::stripe, [](const RecordKey&, ByteView value) -> Result<RecordFacts> {
      if (value.empty()) return fail(Errc::invalid, "an empty record");
      return RecordFacts{value[0], std::numeric_limits<WallMs>::max() / 2, {}};
    });
    for (int i = 0; i < 3; ++i) {
      const auto identity = make_identity(genesis.network, founder, SigningKey::generate(random), 1);
      const PlaceDraw place{0, 1, {make_place_draw(founder, {genesis.network, 1, identity.server, identity.person, 0,
                                                             {founder.public_key()}})}};
      const auto record =
          make_server_record(identity, {{"192.0.2.1", 1}}, 10, 5, 1, &place).SerializeAsString();
      contacts.push_back(judge.judge(as_bytes(record)).value());
    }
  }
  SeededRandom random{1};
  SigningKey founder = SigningKey::generate(random);
  GenesisFacts genesis = check_genesis(make_genesis(founder, random, 1)).value();
  ContactJudge judge{{genesis.network, [](const ServerId&, const PersonId&) { return true; },
                      [](const PlaceFacts&, const PersonId&) { return Result<void>{}; }}};
  RecordValidators validators;
  std::vector<ContactPtr> contacts;
};

void as_request(World& world, std::uint16_t method, std::string_view body) {
  auto foreign = read_request(method, body);
  if (!foreign) {
    SPATTER_ASSERT(!foreign.error().message.empty());
    return;
  }
  SPATTER_ASSERT(foreign->request.contacts <= contacts_per_reply_max);
  SPATTER_ASSERT(foreign->values.size() <= records_per_put_max);
  DirectoryCore core(world.contacts[0], world.random);
  core.table().answered(world.contacts[1], TimePoint{});
  for (auto& [key, value] : foreign->values)
    if (auto record = world.validators.check(key, std::move(value)))
      foreign->request.records.push_back(*record);
  const auto reply = core.answer(foreign->request, TimePoint{}, 0);
  SPATTER_ASSERT(reply.contacts.size() <= 1);
  (void)to_wire(method, reply);
}

void as_reply(World& world, std::string_view body) {
  const RecordKey key{RecordType::stripe, {}};
  Lookup lookup(Lookup::Want::record, record_position(key), world.contacts[0]->id,
                {world.contacts[1]}, 1000, false);
  for (const auto& query : lookup.next(TimePoint{})) {
    DirectoryRequest request;
    request.kind = DirectoryRequest::Kind::get;
    request.key = key;
    request.contacts = query.contacts;
    auto reply = read_reply(request, body, world.judge, world.validators);
    if (!reply) return lookup.failed(query.number);
    SPATTER_ASSERT(reply->contacts.size() <= query.contacts);
    lookup.answered(query.number, *reply, TimePoint{});
  }
  (void)lookup.next(TimePoint{});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 6) {
    case 0: as_request(world, method::directory_ping, body); break;
    case 1: as_request(world, method::directory_find, body); break;
    case 2: as_request(world, method::directory_get, body); break;
    case 3: as_request(world, method::directory_put, body); break;
    case 4: as_reply(world, body); break;
    default:
      (void)world.judge.judge(as_bytes(body));
      break;
  }
  return 0;
}
