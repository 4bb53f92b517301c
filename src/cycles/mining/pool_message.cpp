#include "cycles/pool_message.h"

#include <charconv>
#include <cmath>

#include "base/shallow_json.h"
#include "printable.h"

namespace spatter::mining {
namespace {

using Json = nlohmann::json;

constexpr int depth_max = 8;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

/// A method's parameters, each asked for by its number (from 1, for people) and name.
class Params {
 public:
  Params(std::string_view method, const Json& params) : method_(method), params_(params) {}

  template <class... Args>
  std::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(Errc::invalid, "{}: {}", method_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::size_t size() const { return params_.size(); }

  Result<const Json*> at(std::size_t i, std::string_view name) const {
    if (!params_.is_array()) return bad("the parameters are no list");
    if (i >= params_.size()) return bad("parameter {} ({}) is missing", i + 1, name);
    return &params_[i];
  }
  Result<std::string> text(std::size_t i, std::string_view name, std::size_t bytes_max) const {
    TRY(const Json* value, at(i, name));
    if (!value->is_string()) return bad("parameter {} ({}) is no string", i + 1, name);
    const auto& text = value->get_ref<const std::string&>();
    if (text.size() > bytes_max)
      return bad("parameter {} ({}) is longer than {} bytes", i + 1, name, bytes_max);
    return text;
  }
  Result<Bytes> hex(std::size_t i, std::string_view name, std::size_t bytes_max) const {
    TRY(std::string digits, text(i, name, 2 * bytes_max));
    auto bytes = from_hex(digits);
    if (!bytes)
      return bad("parameter {} ({}) is not hexadecimal: \"{}\"", i + 1, name, printable(digits, 40));
    return bytes;
  }
  /// Eight hexadecimal digits, the most significant first.
  Result<std::uint32_t> word(std::size_t i, std::string_view name) const {
    TRY(std::string digits, text(i, name, 64));
    std::uint32_t value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 8 || error != std::errc{} || end != digits.data() + digits.size())
      return bad("parameter {} ({}) is no eight hexadecimal digits: \"{}\"", i + 1, name,
                 printable(digits, 40));
    return value;
  }
  Result<Digest> hash(std::size_t i, std::string_view name) const {
    TRY(Bytes bytes, hex(i, name, 32));
    if (bytes.size() != 32) return bad("parameter {} ({}) has no 64 digits", i + 1, name);
    Digest digest;
    std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
    return digest;
  }

 private:
  std::string_view method_;
  const Json& params_;
};

Result<PoolMessage> parse_notify(const Params& params) {
  PoolJob job;
  TRY(job.id, params.text(0, "job", job_id_bytes_max));
  TRY(Digest previous, params.hash(1, "previous block"));
  // Pools send the hash as eight numbers, each with its bytes the other way round than in a header.
  for (std::size_t i = 0; i < 32; ++i) job.previous.bytes[i] = previous.bytes[i ^ 3];
  TRY(job.coinbase1, params.hex(2, "coinbase, first part", coinbase_part_bytes_max));
  TRY(job.coinbase2, params.hex(3, "coinbase, second part", coinbase_part_bytes_max));
  TRY(const Json* branches, params.at(4, "merkle branches"));
  if (!branches->is_array()) return params.bad("parameter 5 (merkle branches) is no list");
  if (branches->size() > merkle_branches_max)
    return params.bad("parameter 5 (merkle branches) has more than {} entries", merkle_branches_max);
  const Params branch("mining.notify, merkle branches", *branches);
  for (std::size_t i = 0; i < branches->size(); ++i) {
    TRY(Digest hash, branch.hash(i, "hash"));
    job.branches.push_back(hash);
  }
  TRY(job.version, params.word(5, "version"));
  TRY(job.bits, params.word(6, "bits"));
  TRY(job.time, params.word(7, "time"));
  TRY(const Json* clean, params.at(8, "clean jobs"));
  if (!clean->is_boolean()) return params.bad("parameter 9 (clean jobs) is neither true nor false");
  job.clean = clean->get<bool>();
  return job;
}

Result<PoolMessage> parse_difficulty(const Params& params) {
  TRY(const Json* value, params.at(0, "difficulty"));
  if (!value->is_number()) return params.bad("parameter 1 (difficulty) is no number");
  const double difficulty = value->get<double>();
  if (!std::isfinite(difficulty) || difficulty <= 0)
    return params.bad("{} is no difficulty", difficulty);
  return PoolDifficulty{difficulty};
}

Result<Extranonce> parse_extranonce(const Params& params, std::size_t first) {
  Extranonce extranonce;
  TRY(extranonce.extranonce1, params.hex(first, "extranonce1", extranonce1_bytes_max));
  TRY(const Json* size, params.at(first + 1, "extranonce2's size"));
  if (!size->is_number_unsigned() || size->get<std::uint64_t>() > extranonce2_bytes_max)
    return params.bad("parameter {} (extranonce2's size) is no number from 0 to {}: {}", first + 2,
                      extranonce2_bytes_max, printable(dump(*size), 40));
  extranonce.extranonce2_bytes = size->get<unsigned>();
  return extranonce;
}

Result<PoolMessage> parse_redirect(const Params& params) {
  PoolRedirect redirect;
  if (params.size() == 0) return redirect;
  TRY(std::string host, params.text(0, "host", 253));
  redirect.host = host;
  if (params.size() == 1) return redirect;
  // A number with some pools, a string of digits with others.
  TRY(const Json* port, params.at(1, "port"));
  std::uint64_t number = 0;
  if (port->is_number_unsigned()) {
    number = port->get<std::uint64_t>();
  } else if (port->is_string()) {
    const auto& digits = port->get_ref<const std::string&>();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size()) number = 0;
  }
  if (number == 0 || number > 65535)
    return params.bad("parameter 2 (port) is no number from 1 to 65535: {}",
                      printable(dump(*port), 40));
  redirect.port = static_cast<std::uint16_t>(number);
  if (params.size() == 2) return redirect;
  TRY(const Json* wait, params.at(2, "wait"));
  if (!wait->is_number_unsigned())
    return params.bad("parameter 3 (wait) is no number of seconds: {}", printable(dump(*wait), 40));
  constexpr std::uint64_t wait_s_max = 300;
  redirect.wait = std::chrono::seconds(std::min(wait->get<std::uint64_t>(), wait_s_max));
  return redirect;
}

Result<PoolMessage> parse_method(const std::string& method, const Json& params_json,
                                 const Json* id) {
  const Params params(method, params_json);
  if (method == "mining.notify") return parse_notify(params);
  if (method == "mining.set_difficulty") return parse_difficulty(params);
  if (method == "mining.set_extranonce") return parse_extranonce(params, 0);
  if (method == "client.reconnect") return parse_redirect(params);
  if (method == "mining.set_version_mask") {
    TRY(std::uint32_t mask, params.word(0, "mask"));
    return VersionMask{mask};
  }
  if (method == "client.show_message") {
    TRY(std::string text, params.text(0, "message", pool_line_bytes_max));
    return PoolNotice{printable(text, 300)};
  }
  constexpr std::size_t id_bytes_max = 64;
  std::string shown = printable(method, 60);
  if (id != nullptr && (id->is_number_integer() || id->is_string()))
    if (std::string text = dump(*id); text.size() <= id_bytes_max)
      return PoolRequest{std::move(text), std::move(shown)};
  return PoolUnknown{std::move(shown)};
}

PoolRefusal refusal_of(const Json& error) {
  PoolRefusal refusal;
  // [code, "reason", traceback] with most pools, {"code", "message"} or a bare string with others.
  const Json* code = nullptr;
  const Json* reason = nullptr;
  if (error.is_array()) {
    if (!error.empty()) code = &error[0];
    if (error.size() > 1) reason = &error[1];
  } else if (error.is_object()) {
    if (auto found = error.find("code"); found != error.end()) code = &*found;
    if (auto found = error.find("message"); found != error.end()) reason = &*found;
  }
  if (code != nullptr && code->is_number_integer()) refusal.code = code->get<std::int64_t>();
  if (reason == nullptr || !reason->is_string()) reason = &error;
  refusal.reason = printable(reason->is_string() ? reason->get_ref<const std::string&>()
                                                 : dump(*reason), 120);
  return refusal;
}

std::string line_of(Json request) { return dump(request) + '\n'; }

std::string hex_word(std::uint32_t value) { return fmt::format("{:08x}", value); }

}  // namespace

Result<PoolMessage> parse_pool_line(std::string_view line) {
  auto bad = [&](std::string_view why) {
    return fail(Errc::invalid, "{}: \"{}\"", why, printable(line, 80));
  };
  if (line.size() > pool_line_bytes_max)
    return fail(Errc::invalid, "a line of more than {} bytes", pool_line_bytes_max);
  Json document;
  ShallowJson<depth_max> parser(document);
  if (!Json::sax_parse(line.begin(), line.end(), &parser)) return bad("a line that is no JSON");
  if (!document.is_object()) return bad("a line that is no JSON object");
  const auto id = document.find("id");
  if (const auto method = document.find("method"); method != document.end() && !method->is_null()) {
    if (!method->is_string()) return bad("a method that is no string");
    const auto params = document.find("params");
    return parse_method(method->get_ref<const std::string&>(),
                        params == document.end() ? Json::array() : *params,
                        id == document.end() ? nullptr : &*id);
  }
  if (id == document.end() || !id->is_number_unsigned())
    return bad("a line with neither a method nor the number of a request");
  PoolAnswer answer;
  answer.id = id->get<std::uint64_t>();
  if (const auto error = document.find("error"); error != document.end() && !error->is_null())
    answer.refusal = refusal_of(*error);
  if (const auto result = document.find("result"); result != document.end())
    answer.result = std::move(*result);
  return answer;
}

Result<Extranonce> extranonce_of(const PoolAnswer& answer) {
  if (answer.refusal) return fail(Errc::denied, "{}", answer.refusal->reason);
  return parse_extranonce(Params("the answer to mining.subscribe", answer.result), 1);
}

Result<VersionMask> version_mask_of(const PoolAnswer& answer) {
  if (answer.refusal) return fail(Errc::denied, "{}", answer.refusal->reason);
  if (!answer.result.is_object())
    return fail(Errc::invalid, "the answer to mining.configure is no object");
  const auto granted = answer.result.find("version-rolling");
  if (granted == answer.result.end() || !granted->is_boolean() || !granted->get<bool>())
    return VersionMask{0};
  const auto mask = answer.result.find("version-rolling.mask");
  if (mask == answer.result.end())
    return fail(Errc::invalid, "the answer to mining.configure has no mask");
  TRY(std::uint32_t word,
      Params("the answer to mining.configure", Json::array({*mask})).word(0, "version-rolling.mask"));
  return VersionMask{word};
}

std::string configure_line(std::uint64_t id, std::uint32_t mask) {
  return line_of({{"id", id},
                  {"method", "mining.configure"},
                  {"params",
                   {Json::array({"version-rolling"}),
                    {{"version-rolling.mask", hex_word(mask)}, {"version-rolling.min-bit-count", 2}}}}});
}

std::string subscribe_line(std::uint64_t id, std::string_view agent) {
  return line_of({{"id", id}, {"method", "mining.subscribe"}, {"params", Json::array({agent})}});
}

std::string authorize_line(std::uint64_t id, std::string_view user, std::string_view password) {
  return line_of(
      {{"id", id}, {"method", "mining.authorize"}, {"params", Json::array({user, password})}});
}

std::string extranonce_subscribe_line(std::uint64_t id) {
  return line_of(
      {{"id", id}, {"method", "mining.extranonce.subscribe"}, {"params", Json::array()}});
}

std::string submit_line(std::uint64_t id, const SubmitParams& submit) {
  Json params = Json::array({submit.user, submit.job_id, to_hex(submit.extranonce2),
                             hex_word(submit.time), hex_word(submit.nonce)});
  if (submit.version_bits) params.push_back(hex_word(*submit.version_bits));
  return line_of({{"id", id}, {"method", "mining.submit"}, {"params", std::move(params)}});
}

std::string answer_line(const PoolRequest& request, std::string_view agent) {
  std::string answer = fmt::format("{{\"id\":{},", request.id);
  if (request.method == "mining.ping")
    answer += R"("result":"pong","error":null})";
  else if (request.method == "client.get_version")
    answer += fmt::format("\"result\":{},\"error\":null}}", dump(Json(agent)));
  else
    answer += R"("result":null,"error":[20,"unknown method",null]})";
  return answer + '\n';
}

}  // namespace spatter::mining
