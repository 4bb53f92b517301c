#include "doors/chance_draw.h"

#include "doors/chance_report.h"

namespace spatter::doors {
namespace {

Result<std::string> text_at(const Json& request, const char* key, const char* otherwise) {
  const auto at = request.find(key);
  if (at == request.end() && otherwise) return std::string(otherwise);
  if (at == request.end() || !at->is_string()) return fail(Errc::invalid, "the request for a draw has no text '{}'", key);
  return at->get<std::string>();
}

}  // namespace

Result<Json> draw_json(Runtime& runtime, Server& server, const Json& request) {
  const Identity& identity = server.identity();
  const GenesisFacts& genesis = server.genesis();
  Draw draw;
  draw.network = identity.network;
  TRY(const auto purpose, text_at(request, "purpose", nullptr));
  TRY(draw.purpose, purpose_from(purpose));
  TRY(const auto subject, text_at(request, "subject", nullptr));
  auto id = Digest::from_hex(subject);
  if (!id) return fail(id.error().during("the subject"));
  draw.subject = *id;
  draw.epoch = epoch_at(genesis.created_ms, genesis.epoch_seconds, runtime.wall_ms());
  if (const auto epoch = request.find("epoch"); epoch != request.end()) {
    if (!epoch->is_number_unsigned()) return fail(Errc::invalid, "the epoch is no count");
    draw.epoch = epoch->get<std::uint64_t>();
  }
  TRY(const auto as, text_at(request, "as", "server"));
  if (as != "server" && as != "person") return fail(Errc::invalid, "draws are made as server or person, not as {}", as);
  const MadeDraw made = make_draw(as == "server" ? identity.server_key : identity.person_key, draw);
  Json json = chance_json(DrawRecord{draw, made.proof});
  json["output"] = to_hex(made.output);
  return json;
}

}  // namespace spatter::doors
