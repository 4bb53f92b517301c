#include "directory_requests.h"

#include "directory/roster.h"
#include "request_fields.h"

namespace spatter::doors {
namespace {

constexpr std::pair<RecordType, const char*> type_names[] = {{RecordType::server, "server"},
                                                             {RecordType::person, "person"},
                                                             {RecordType::stripe, "stripe"},
                                                             {RecordType::health, "health"}};

const char* name_of(RecordType type) {
  for (const auto& [known, name] : type_names)
    if (known == type) return name;
  return "unknown";
}

Result<RecordType> type_at(const Json& request) {
  const auto wanted = text_at(request, "type");
  for (const auto& [type, name] : type_names)
    if (wanted == name) return type;
  return fail(Errc::invalid, "'{}' is no type of record: server, person, stripe or health", wanted);
}

/// The one of `known` whose id begins with the digits; or any id, when all its digits are given.
template <class IdType, class Ids>
Result<IdType> id_from(std::string digits, const Ids& known, std::string_view what) {
  if (digits.size() == 2 * IdType::size_bytes) {
    auto id = IdType::from_hex(digits);
    if (!id) return fail(Errc::invalid, "'{}' is no id of a {}", digits, what);
    return id;
  }
  std::vector<IdType> matching;
  for (const IdType& id : known)
    if (id.hex().starts_with(digits)) matching.push_back(id);
  if (digits.empty() || matching.empty())
    return fail(Errc::not_found, "no {} known here has an id that begins with \"{}\": all 64 digits name any", what,
                digits);
  if (matching.size() > 1) return fail(Errc::invalid, "{} ids of a {} begin with {}", matching.size(), what, digits);
  return matching.front();
}

Result<ServerId> server_from(Server& server, std::string digits) {
  std::vector<ServerId> known;
  for (const Member& member : server.members().all()) known.push_back(member.id);
  if (auto directory = server.directory().directory())
    for (const auto& one : directory->core().table().known())
      if (std::ranges::find(known, one.contact->id) == known.end()) known.push_back(one.contact->id);
  return id_from<ServerId>(std::move(digits), known, "server");
}

Result<RecordKey> key_at(Server& server, const Json& request) {
  TRY(const RecordType type, type_at(request));
  auto digits = text_at(request, "id");
  switch (type) {
    case RecordType::server: {
      TRY(const auto id, server_from(server, std::move(digits)));
      return server_key_of(id);
    }
    case RecordType::person: {
      std::vector<PersonId> known;
      for (const auto& [id, standing] : server.trust().standings().persons) known.push_back(id);
      TRY(const auto id, id_from<PersonId>(std::move(digits), known, "person"));
      return person_key_of(id);
    }
    case RecordType::stripe: {
      std::vector<StripeId> known;
      for (const StripePtr& stripe : server.stripes().all()) known.push_back(stripe->id);
      TRY(const auto id, id_from<StripeId>(std::move(digits), known, "stripe"));
      ServerId owner = server.identity().server;
      if (auto given = text_at(request, "owner"); !given.empty()) {
        TRY(owner, server_from(server, std::move(given)));
      }
      return stripe_key_of(id, owner);
    }
    case RecordType::health: {
      TRY(const auto id, server_from(server, std::move(digits)));
      TRY(const auto epoch, number_at(request, "epoch", server.trust().epoch()));
      return health_key_of(epoch, id);
    }
  }
  return fail(Errc::invalid, "a record without a type");
}

Json addresses_json(const std::vector<Address>& addresses) {
  Json list = Json::array();
  for (const Address& address : addresses) list.push_back(address.text());
  return list;
}

Result<Json> server_json(const Record& record, const NetworkId& network) {
  wire::Signed outer;
  if (!outer.ParseFromString(record.value)) return fail(Errc::corrupt, "a server record that cannot be read");
  TRY(const auto entry, check_server_record(outer, network));
  Json json = {{"server", entry.member.id.hex()}, {"person", entry.member.person.hex()},
               {"addresses", addresses_json(entry.member.addresses)},
               {"capacity", entry.member.capacity_bytes}, {"free", entry.member.free_bytes}};
  if (const auto place = place_in(outer.body()))
    if (const auto draw = draw_of(*place)) json["position"] = server_position(entry.member.key, *draw).hex();
  return json;
}

Result<Json> person_json(const Record& record, const NetworkId& network) {
  TRY(const auto facts, read_person_servers(as_bytes(record.value), network));
  Json servers = Json::array();
  for (const ServerId& id : facts.servers) servers.push_back(id.hex());
  return Json{{"person", facts.person.hex()}, {"servers", std::move(servers)}};
}

/// With it, whether the holders are those whom chance named, as far as this server knows the others.
Result<Json> stripe_json(Server& server, const Record& record) {
  TRY(const auto facts, read_stripe_holders(as_bytes(record.value), server.identity().network));
  const auto [check, view_complete] = server.check_holders(facts);
  Json json = {{"stripe", facts.stripe.hex()}, {"owner", facts.owner.hex()}, {"person", facts.person.hex()},
               {"k", facts.k}, {"n", facts.n}, {"holders", Json::array()}, {"as_drawn", check.as_drawn()},
               {"eligible", check.eligible}, {"view_complete", view_complete}, {"passed_over", Json::array()}};
  for (const HeldShards& held : facts.holders) {
    Json one = {{"server", held.holder.hex()}, {"indices", held.indices}};
    for (const auto& holder : check.holders)
      if (holder.server == held.holder) one["rank"] = holder.rank ? Json(*holder.rank) : Json();
    json["holders"].push_back(std::move(one));
  }
  for (const ServerId& id : check.passed_over) json["passed_over"].push_back(id.hex());
  return json;
}

Result<Json> health_json(const Record& record, const NetworkId& network) {
  TRY(const auto facts, read_health(as_bytes(record.value), network));
  return Json{{"server", facts.reporter.hex()}, {"person", facts.person.hex()}, {"epoch", facts.epoch},
              {"stripes", facts.stripes}, {"full", facts.full}, {"safe", facts.safe}, {"at_risk", facts.at_risk},
              {"lost", facts.lost}, {"made_ms", facts.made_ms}};
}

Result<Json> value_json(Server& server, const Record& record) {
  const auto& network = server.identity().network;
  switch (record.key.type) {
    case RecordType::server: return server_json(record, network);
    case RecordType::person: return person_json(record, network);
    case RecordType::stripe: return stripe_json(server, record);
    case RecordType::health: return health_json(record, network);
  }
  return Json::object();
}

Json record_json(const Record& record) {
  return {{"type", name_of(record.key.type)}, {"subject", record.key.subject.hex()},
          {"position", record.position.hex()}, {"version", record.facts.version},
          {"expires_ms", record.facts.expires_ms}, {"person", record.facts.person.hex()},
          {"bytes", record.value.size()}};
}

double ms_of(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

Json stats_json(Server& server) {
  auto& desk = server.directory();
  const auto directory = desk.directory();
  Json json = {{"server", server.identity().server.hex()},
               {"in_directory", directory != nullptr},
               {"servers_known", server.members().all().size()},
               {"view_complete", server.members().is_complete()}};
  if (!directory) {
    json["why"] = desk.why_absent();
    return json;
  }
  const auto stats = directory->stats();
  const auto& core = directory->core();
  const auto known = core.table().known();
  const auto count = [&](auto what) { return std::ranges::count_if(known, what); };
  json["position"] = core.own()->position.hex();
  if (const auto& place = desk.place()) {
    json["place_number"] = place->number;
    json["drawn_by"] = Json::array();
    for (const PersonId& drawer : place->drawers) json["drawn_by"].push_back(drawer.hex());
    json["drawn_epoch"] = place->epoch;
  }
  json["network_size"] = stats.network_size;
  json["contacts"] = known.size();
  json["proven"] = count([](const auto& one) { return one.proven; });
  json["siblings"] = count([](const auto& one) { return one.sibling && one.proven; });
  json["records"] = stats.records;
  json["record_bytes"] = core.store().bytes();
  json["cached"] = core.cache().size();
  json["memory_bytes"] = stats.memory_bytes;
  json["questions"] = stats.questions;
  json["unanswered"] = stats.unanswered;
  json["lookups"] = stats.lookups;
  json["hops_mean"] = stats.lookups == 0 ? 0.0
                                         : static_cast<double>(stats.lookup_hops) / static_cast<double>(stats.lookups);
  return json;
}

Result<std::shared_ptr<Directory>> present(Server& server) {
  if (auto directory = server.directory().directory()) return directory;
  return fail(Errc::unavailable, "this server is not in the directory: {}", server.directory().why_absent());
}

Result<Json> contacts_json(Runtime& runtime, Server& server) {
  TRY(const auto directory, present(server));
  auto known = directory->core().table().known();
  const auto& own = directory->core().own()->position;
  std::ranges::sort(known, {}, [&](const auto& one) { return distance(one.contact->position, own); });
  Json list = Json::array();
  for (const auto& one : known) {
    Json contact = {{"server", one.contact->id.hex()}, {"person", one.contact->person.hex()},
                    {"position", one.contact->position.hex()},
                    {"shared_bits", distance(one.contact->position, own).shared_bits()},
                    {"sibling", one.sibling}, {"proven", one.proven}, {"version", one.contact->version},
                    {"addresses", addresses_json(one.contact->addresses)}};
    if (one.proven) contact["answered_s_ago"] = ms_of(runtime.now() - one.last_ok) / 1000;
    list.push_back(std::move(contact));
  }
  return Json{{"contacts", std::move(list)}};
}

Result<Json> records_json(Server& server) {
  TRY(const auto directory, present(server));
  auto records = directory->core().store().records();
  std::ranges::sort(records, {}, &Record::key);
  Json list = Json::array();
  for (const RecordPtr& record : records) list.push_back(record_json(*record));
  return Json{{"records", std::move(list)}};
}

Task<Result<Json>> get(Server& server, const Json& request) {
  CO_TRY(const auto key, key_at(server, request));
  CO_TRY(const auto answer, co_await server.directory().get(key));
  const auto& found = answer.found;
  Json json = record_json(*found.record);
  CO_TRY(json["value"], value_json(server, *found.record));
  json["hops"] = found.hops;
  json["questions"] = found.questions;
  json["places"] = found.places;
  json["lacking"] = found.lacking;
  json["ms"] = ms_of(answer.took);
  json["raw"] = to_hex(as_bytes(found.record->value));
  co_return json;
}

Task<Result<Json>> ping(Server& server, const Json& request) {
  CO_TRY(const auto id, server_from(server, text_at(request, "id")));
  CO_TRY(const auto took, co_await server.directory().ping(id));
  co_return Json{{"server", id.hex()}, {"ms", ms_of(took)}};
}

}  // namespace

Task<Result<Json>> answer_directory(Runtime& runtime, Server& server, const Json& request) {
  const auto what = text_at(request, "what");
  if (what == "stats") co_return stats_json(server);
  if (what == "contacts") co_return contacts_json(runtime, server);
  if (what == "records") co_return records_json(server);
  if (what == "get") co_return co_await get(server, request);
  if (what == "ping") co_return co_await ping(server, request);
  co_return fail(Errc::invalid, "'{}' is not something that can be asked about the directory", what);
}

}  // namespace spatter::doors
