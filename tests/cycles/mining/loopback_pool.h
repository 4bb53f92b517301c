// A pool that checks shares like a real one, written apart from what it tests: its own JSON, its own
// coinbase, merkle root and header by OpenSSL's ordinary functions, its own 256-bit comparison by
// OpenSSL's big numbers. It knows no connection: lines go in, lines come out.
#pragma once

#include <openssl/bn.h>
#include <openssl/sha.h>

#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"

namespace spatter::mining {

using Json = nlohmann::json;

inline Bytes sha256_twice(const Bytes& bytes) {
  Bytes once(32), twice(32);
  SHA256(bytes.data(), bytes.size(), once.data());
  SHA256(once.data(), once.size(), twice.data());
  return twice;
}

/// Whether hash * difficulty <= 0xffff * 2^208, exactly.
inline bool is_good_enough(Bytes hash, double difficulty) {
  int exponent = 0;
  const auto mantissa = static_cast<std::uint64_t>(std::ldexp(std::frexp(difficulty, &exponent), 53));
  exponent -= 53;
  BIGNUM* left = BN_lebin2bn(hash.data(), 32, nullptr);
  BIGNUM* right = BN_new();
  BN_set_word(right, 0xffff);
  BN_lshift(right, right, 208);
  BN_mul_word(left, mantissa);
  if (exponent > 0)
    BN_lshift(left, left, exponent);
  else
    BN_lshift(right, right, -exponent);
  const bool good = BN_cmp(left, right) <= 0;
  BN_free(left);
  BN_free(right);
  return good;
}

class LoopbackPool {
 public:
  explicit LoopbackPool(std::uint64_t seed = 7) : random_(seed) { new_job(); }

  // What it is like.
  std::string user = "alice.1";
  double difficulty = 1e-5;       ///< of the next job
  unsigned extranonce2_bytes = 4;
  std::uint32_t version_mask = 0x1fffe000;
  bool knows_configure = true;
  bool answers_shares = true;
  std::string reject_all;         ///< the reason for rejecting every share, if any

  // What it has seen.
  std::uint64_t accepted = 0, rejected = 0, stale = 0;
  std::vector<std::string> verdicts;
  std::set<std::uint32_t> versions_seen;
  std::vector<Json> answers;      ///< to requests of the pool

  /// Forgets the connection, not the jobs; each connection has an extranonce1 of its own.
  void connected() {
    ++connections;
    subscribed = authorized = rolls = false;
    extranonce1 = hex(random_bytes(4));
    next_extranonce1 = extranonce1;
  }
  unsigned connections = 0;
  bool subscribed = false, authorized = false, rolls = false;
  std::string extranonce1, next_extranonce1;

  /// What is answered to a line, each line with its end.
  std::string on_line(const std::string& line) {
    const Json request = Json::parse(line);
    if (!request.contains("method")) {
      answers.push_back(request);
      return {};
    }
    const std::string method = request.at("method");
    const Json& params = request.at("params");
    auto answer = [&](Json result, Json error = nullptr) {
      return Json{{"id", request.at("id")}, {"result", std::move(result)}, {"error", std::move(error)}}
                 .dump() + "\n";
    };
    if (method == "mining.configure") {
      if (!knows_configure) return answer(nullptr, {-3, "Method 'configure' not found", nullptr});
      rolls = version_mask != 0;
      return answer({{"version-rolling", rolls}, {"version-rolling.mask", hex_word(version_mask)}});
    }
    if (method == "mining.subscribe") {
      subscribed = true;
      return answer({{{"mining.notify", "1"}}, extranonce1, extranonce2_bytes});
    }
    if (method == "mining.authorize") {
      if (params.at(0) != user) return answer(false, {24, "Unauthorized worker", nullptr});
      authorized = true;
      return answer(true) + difficulty_line() + job_line(true);
    }
    if (method == "mining.extranonce.subscribe") return answer(true);
    if (method == "mining.submit") {
      const std::string verdict = reject_all.empty() ? check(params) : reject_all;
      verdicts.push_back(verdict);
      if (verdict.empty()) {
        ++accepted;
        return answers_shares ? answer(true) : "";
      }
      const bool late = verdict.starts_with("Job");
      ++(late ? stale : rejected);
      return answers_shares ? answer(nullptr, {late ? 21 : 20, verdict, nullptr}) : "";
    }
    return answer(nullptr, {-3, "unknown method", nullptr});
  }

  std::string difficulty_line() const { return notification("mining.set_difficulty", {difficulty}); }
  std::string extranonce_line() {
    next_extranonce1 = hex(random_bytes(4));
    return notification("mining.set_extranonce", {next_extranonce1, extranonce2_bytes});
  }
  /// A job from now on; `clean`: and none of the earlier ones any more.
  std::string job_line(bool clean) {
    new_job();
    if (clean) {
      std::erase_if(jobs_, [&](const auto& entry) { return entry.first != newest_; });
      seen_.clear();
    }
    const Job& job = jobs_.at(newest_);
    extranonce1 = next_extranonce1;
    jobs_.at(newest_).extranonce1 = extranonce1;
    jobs_.at(newest_).difficulty = difficulty;
    Json branches = Json::array();
    for (const Bytes& branch : job.branches) branches.push_back(hex(branch));
    Bytes swapped = job.previous;
    for (std::size_t i = 0; i < 32; i += 4) std::reverse(&swapped[i], &swapped[i] + 4);
    return notification("mining.notify",
                        {newest_, hex(swapped), hex(job.coinbase1), hex(job.coinbase2), branches,
                         hex_word(job.version), hex_word(job.bits), hex_word(job.time), clean});
  }
  static std::string notification(std::string_view method, Json params) {
    return Json{{"id", nullptr}, {"method", method}, {"params", std::move(params)}}.dump() + "\n";
  }

 private:
  struct Job {
    Bytes previous, coinbase1, coinbase2;
    std::vector<Bytes> branches;
    std::uint32_t version = 0x20000000, bits = 0x1d00ffff, time = 0;
    std::string extranonce1;
    double difficulty = 1;
  };

  static std::string hex(const Bytes& bytes) { return to_hex(bytes); }
  static std::string hex_word(std::uint32_t word) { return fmt::format("{:08x}", word); }
  Bytes random_bytes(std::size_t size) {
    Bytes bytes(size);
    random_.fill(bytes);
    return bytes;
  }

  void new_job() {
    Job job;
    job.previous = random_bytes(32);
    job.coinbase1 = random_bytes(40 + random_.below(30));
    job.coinbase2 = random_bytes(random_.below(100));
    job.branches.resize(random_.below(6));
    for (Bytes& branch : job.branches) branch = random_bytes(32);
    job.time = 1'700'000'000 + static_cast<std::uint32_t>(random_.below(1000));
    newest_ = fmt::format("job{}", ++jobs_made_);
    jobs_[newest_] = std::move(job);
  }

  static std::uint32_t number(const Json& text) {
    const std::string digits = text;
    std::uint32_t value = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
    if (digits.size() != 8 || end != digits.data() + 8) throw std::runtime_error("not 8 digits");
    return value;
  }

  /// Empty when the share is good.
  std::string check(const Json& params) {
    if (!authorized || params.at(0) != user) return "Unauthorized worker";
    const auto found = jobs_.find(params.at(1));
    if (found == jobs_.end()) return "Job not found";
    const Job& job = found->second;
    if (params.size() != (rolls ? 6U : 5U)) return "wrong number of parameters";
    const std::string extranonce2 = params.at(2);
    if (extranonce2.size() != 2 * extranonce2_bytes) return "wrong size of extranonce2";
    const std::uint32_t time = number(params.at(3)), nonce = number(params.at(4));
    if (time < job.time || time > job.time + 7000) return "Time out of range";
    std::uint32_t version = job.version;
    if (rolls) {
      const std::uint32_t bits = number(params.at(5));
      if ((bits & ~version_mask) != 0) return "version bits outside the mask";
      version = (version & ~version_mask) | bits;
    }
    if (!seen_.insert(params.dump()).second) return "Duplicate share";

    Bytes coinbase = job.coinbase1;
    for (const Bytes& part :
         {from_hex(job.extranonce1).value(), from_hex(extranonce2).value(), job.coinbase2})
      coinbase.insert(coinbase.end(), part.begin(), part.end());
    Bytes root = sha256_twice(coinbase);
    for (const Bytes& branch : job.branches) {
      root.insert(root.end(), branch.begin(), branch.end());
      root = sha256_twice(root);
    }
    Bytes header;
    auto word = [&](std::uint32_t value) {
      for (int i = 0; i < 4; ++i) header.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    };
    word(version);
    header.insert(header.end(), job.previous.begin(), job.previous.end());
    header.insert(header.end(), root.begin(), root.end());
    word(time);
    word(job.bits);
    word(nonce);
    if (!is_good_enough(sha256_twice(header), job.difficulty)) return "Low difficulty share";
    versions_seen.insert(version);
    return {};
  }

  SeededRandom random_;
  std::map<std::string, Job> jobs_;
  std::string newest_;
  unsigned jobs_made_ = 0;
  std::set<std::string> seen_;
};

}  // namespace spatter::mining
