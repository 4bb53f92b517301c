#include "trust_requests.h"

#include <sys/mman.h>
#include <unistd.h>

#include "doors/clip_probe.h"
#include "request_fields.h"

namespace spatter::doors {
namespace {

Json person_json(const PersonId& id, const Standing& one) {
  Json json = {{"person", id.hex()},
               {"state", to_string(one.state)},
               {"since_epoch", one.since},
               {"weight", one.weight},
               {"allowance", one.allowance},
               {"vouches_open", one.vouches_open},
               {"vouches_open_max", one.vouches_open_max},
               {"overdue", one.overdue},
               {"vouchers", Json::array()}};
  if (one.inviter) json["inviter"] = one.inviter->hex();
  if (one.due > 0) json["due_epoch"] = one.due;
  for (const auto& voucher : one.vouchers) json["vouchers"].push_back(voucher.hex());
  return json;
}

Json standing_json(Server& server) {
  const auto& trust = server.trust();
  const auto& rules = trust.genesis().rules;
  const auto& standings = trust.standings();
  const auto own = server.identity().person;
  Json json = {{"epoch", trust.epoch()},
               {"epoch_seconds", trust.genesis().epoch_seconds},
               {"founder", trust.genesis().founder.hex()},
               {"reviewers", rules.reviewers},
               {"vouches_needed", rules.vouches_needed},
               {"own", person_json(own, standings.of(own))},
               {"persons", Json::array()},
               {"clips", Json::array()},
               {"renewals", Json::array()}};
  for (const auto& [id, one] : standings.persons) json["persons"].push_back(person_json(id, one));
  static constexpr const char* states[] = {"open", "accepted", "refused", "expired"};
  for (const auto& [basis, one] : standings.clips) {
    Json clip = {{"basis", basis.hex()}, {"person", one.subject.hex()}, {"renewal", one.renewal}, {"epoch", one.epoch},
                 {"state", states[static_cast<int>(one.state)]}, {"vouches", one.vouches}, {"refusals", one.refusals},
                 {"vouches_needed", one.vouches_needed}, {"drawn", Json::array()}};
    if (one.announce) clip["announce"] = one.announce->hex();
    for (const auto& person : one.drawn) clip["drawn"].push_back(person.hex());
    json["clips"].push_back(std::move(clip));
  }
  for (const auto& [id, one] : standings.renewals) {
    Json renewal = {{"renewal", id.hex()}, {"person", one.person.hex()}, {"procedure", to_string(one.procedure)},
                    {"done", one.done}, {"countersigners", Json::array()}};
    for (const auto& person : one.countersigners) renewal["countersigners"].push_back(person.hex());
    json["renewals"].push_back(std::move(renewal));
  }
  return json;
}

Json phrase_json(const TrustPhrase& phrase) {
  return {{"basis", phrase.basis.hex()}, {"renewal", phrase.renewal}, {"key_words", phrase.key_words},
          {"phrase", phrase.phrase}, {"until_ms", phrase.until_ms}};
}

Json review_json(const TrustReview& review) {
  Json json = {{"id", review.announce.hex()}, {"person", review.person.hex()}, {"renewal", review.renewal},
               {"key_words", review.key_words}, {"phrase", review.phrase}, {"clip_bytes", review.clip_bytes},
               {"vouches", review.vouches}, {"refusals", review.refusals}, {"vouches_needed", review.vouches_needed}};
  if (review.mine) json["mine"] = *review.mine == Verdict::vouch ? "vouch" : *review.mine == Verdict::refuse ? "refuse" : "unclear";
  return json;
}

/// The person whose id begins so.
Result<PersonId> person_at(Server& server, const Json& request) {
  const auto digits = text_at(request, "person");
  std::vector<PersonId> matching;
  for (const auto& [id, one] : server.trust().standings().persons)
    if (id.hex().starts_with(digits)) matching.push_back(id);
  if (digits.empty() || matching.empty()) return fail(Errc::not_found, "no person of this network has an id that begins with \"{}\"", digits);
  if (matching.size() > 1) return fail(Errc::invalid, "{} persons have ids that begin with {}", matching.size(), digits);
  return matching.front();
}

Result<int> file_of(const std::vector<int>& files) {
  if (files.size() != 1) return fail(Errc::invalid, "the request needs one descriptor, not {}", files.size());
  return files[0];
}

/// Blocking. No more than a clip may have.
Result<Bytes> read_clip(int file) {
  Bytes clip;
  while (clip.size() <= clip_bytes_max) {
    const auto at = clip.size();
    clip.resize(at + (256 << 10));
    const auto got = ::pread(file, clip.data() + at, clip.size() - at, static_cast<off_t>(at));
    if (got < 0) return fail(Errc::io, "the clip cannot be read: {}", std::strerror(errno));
    clip.resize(at + static_cast<std::size_t>(got));
    if (got == 0) return clip;
  }
  return fail(Errc::invalid, "the clip has more than {} MiB", clip_bytes_max >> 20);
}

Result<void> write_out(int file, ByteView bytes) {
  while (!bytes.empty()) {
    const auto put = ::write(file, bytes.data(), bytes.size());
    if (put < 0) return fail(Errc::io, "the clip cannot be written: {}", std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

/// Blocking: a stranger's clip, looked at in a sandbox before anybody's player sees it.
Result<ClipFacts> probe_bytes(ByteView clip) {
  const int file = ::memfd_create("clip", MFD_CLOEXEC);
  if (file < 0) return fail(Errc::io, "no memory for a clip: {}", std::strerror(errno));
  auto written = write_out(file, clip);
  auto probed = written ? probe_clip(file) : Result<ClipFacts>(fail(written.error()));
  ::close(file);
  return probed;
}

Json clip_json(const ClipFacts& facts) {
  return {{"container", facts.container}, {"video", facts.video}, {"audio", facts.audio},
          {"width", facts.width}, {"height", facts.height}, {"ms", facts.ms}};
}

Task<Result<Json>> announce(Runtime& runtime, Server& server, const std::vector<int>& files) {
  CO_TRY(const int file, file_of(files));
  auto probed = co_await runtime.blocking([&] { return probe_clip(file); });
  if (!probed) co_return fail(std::move(probed).error());
  auto clip = co_await runtime.blocking([&] { return read_clip(file); });
  if (!clip) co_return fail(std::move(clip).error());
  CO_TRY(const auto id, co_await server.trust_desk().announce(std::move(*clip)));
  co_return Json{{"id", id.hex()}, {"clip", clip_json(*probed)}};
}

Task<Result<Json>> watch(Runtime& runtime, Server& server, const Json& request, const std::vector<int>& files) {
  CO_TRY(const int file, file_of(files));
  CO_TRY(const auto review, server.trust_desk().review_of(text_at(request, "id")));
  CO_TRY(const auto clip, co_await server.trust_desk().watch(review.announce));
  auto probed = co_await runtime.blocking([&] { return probe_bytes(clip); });
  if (!probed) co_return fail(std::move(probed).error().during("this is no clip to be watched"));
  auto written = co_await runtime.blocking([&] { return write_out(file, clip); });
  if (!written) co_return fail(std::move(written).error());
  Json json = review_json(review);
  json["clip"] = clip_json(*probed);
  co_return json;
}

Task<Result<Json>> judge(Server& server, const Json& request) {
  const auto verdict = text_at(request, "verdict");
  const auto said = verdict == "vouch" ? Verdict::vouch : verdict == "refuse" ? Verdict::refuse : Verdict::unclear;
  if (said == Verdict::unclear && verdict != "unclear")
    co_return fail(Errc::invalid, "a verdict is vouch, refuse or unclear, not \"{}\"", verdict);
  CO_TRY(const auto review, server.trust_desk().review_of(text_at(request, "id")));
  CO_TRY(const auto id, co_await server.trust_desk().judge(review.announce, said, text_at(request, "reason")));
  co_return Json{{"record", id.hex()}, {"person", review.person.hex()}};
}

Task<Result<Json>> renew(Server& server) {
  CO_TRY(const auto renewal, co_await server.trust_desk().renew());
  co_return Json{{"renewal", renewal.renewal.hex()}, {"procedure", to_string(renewal.procedure)},
                 {"countersigns_needed", renewal.countersigns_needed}};
}

}  // namespace

Task<Result<Json>> answer_trust(Runtime& runtime, Server& server, const Json& request, const std::vector<int>& files) {
  const auto what = text_at(request, "what");
  auto& desk = server.trust_desk();
  const auto record = [](const Digest& id) { return Json{{"record", id.hex()}}; };
  if (what == "standing") co_return standing_json(server);
  if (what == "announce") co_return co_await announce(runtime, server, files);
  if (what == "watch") co_return co_await watch(runtime, server, request, files);
  if (what == "judge") co_return co_await judge(server, request);
  if (what == "renew") co_return co_await renew(server);
  if (what == "phrase") {
    CO_TRY(const auto phrase, co_await desk.phrase());
    co_return phrase_json(phrase);
  }
  if (what == "reviews") {
    Json list = Json::array();
    for (const auto& review : desk.reviews()) list.push_back(review_json(review));
    co_return Json{{"reviews", std::move(list)}};
  }
  if (what == "vouch" || what == "doubt") {
    CO_TRY(const auto person, person_at(server, request));
    CO_TRY(const auto id, what == "vouch" ? co_await desk.vouch(person) : co_await desk.doubt(person, text_at(request, "reason")));
    co_return record(id);
  }
  if (what == "words") {
    CO_TRY(const auto words, PersonSecret::from_words(text_at(request, "words")));
    CO_TRY(const auto id, co_await desk.show_words(words));
    co_return record(id);
  }
  if (what == "countersign") {
    CO_TRY(const auto id, co_await desk.countersign(text_at(request, "id")));
    co_return record(id);
  }
  co_return fail(Errc::invalid, "'{}' is not something that can be asked about trust", what);
}

}  // namespace spatter::doors
