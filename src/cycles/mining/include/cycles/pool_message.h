// What a Stratum V1 pool says, line by line, and what is said to it. Nothing here knows a connection:
// a line of a stranger goes in, a checked message or an error that names what is wrong comes out.
//
// Pure functions, any thread. docs/mining.md has the protocol as it is spoken here.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

namespace spatter::mining {

inline constexpr std::size_t pool_line_bytes_max = 128 << 10;
inline constexpr std::size_t coinbase_part_bytes_max = 48 << 10;
inline constexpr std::size_t merkle_branches_max = 32;  ///< a block of 2^32 transactions
inline constexpr std::size_t job_id_bytes_max = 128;
inline constexpr std::size_t extranonce1_bytes_max = 32;
inline constexpr unsigned extranonce2_bytes_max = 16;

/// mining.notify: what to mine from now on.
struct PoolJob {
  std::string id;
  Digest previous;             ///< the previous block's hash, as it lies in a header
  Bytes coinbase1, coinbase2;  ///< what stands before and behind the extra nonces
  std::vector<Digest> branches;
  std::uint32_t version = 0, bits = 0, time = 0;
  bool clean = false;          ///< shares of earlier jobs are not wanted any more
};
struct PoolDifficulty {
  double difficulty;  ///< finite and above 0
};
/// Of the subscription's answer, and of mining.set_extranonce.
struct Extranonce {
  Bytes extranonce1;
  unsigned extranonce2_bytes = 0;
};
struct VersionMask {
  std::uint32_t mask;
};
/// client.reconnect; no host means the same, no port the same.
struct PoolRedirect {
  std::string host;
  std::optional<std::uint16_t> port;
  Duration wait{};
};
struct PoolNotice {
  std::string text;  ///< printable
};
/// Something that wants an answer.
struct PoolRequest {
  std::string id;      ///< as JSON, to be sent back
  std::string method;  ///< printable
};
/// A method that is not known here and wants no answer.
struct PoolUnknown {
  std::string method;  ///< printable
};
struct PoolRefusal {
  std::int64_t code = 0;
  std::string reason;  ///< printable
};
/// To one of our requests.
struct PoolAnswer {
  std::uint64_t id = 0;
  nlohmann::json result;
  std::optional<PoolRefusal> refusal;
};

using PoolMessage = std::variant<PoolJob, PoolDifficulty, Extranonce, VersionMask, PoolRedirect,
                                 PoolNotice, PoolRequest, PoolUnknown, PoolAnswer>;

/// One line without its end. Never throws; nothing is kept that is larger than the line.
Result<PoolMessage> parse_pool_line(std::string_view line);

/// What the answers to mining.subscribe and mining.configure hold.
Result<Extranonce> extranonce_of(const PoolAnswer& answer);
Result<VersionMask> version_mask_of(const PoolAnswer& answer);

/// Our requests; each is one line with its end.
std::string configure_line(std::uint64_t id, std::uint32_t mask);
std::string subscribe_line(std::uint64_t id, std::string_view agent);
std::string authorize_line(std::uint64_t id, std::string_view user, std::string_view password);
std::string extranonce_subscribe_line(std::uint64_t id);
struct SubmitParams {
  std::string_view user, job_id;
  ByteView extranonce2;
  std::uint32_t time = 0, nonce = 0;
  std::optional<std::uint32_t> version_bits;  ///< where the pool lets version bits roll
};
std::string submit_line(std::uint64_t id, const SubmitParams& params);
/// The answer to a PoolRequest.
std::string answer_line(const PoolRequest& request, std::string_view agent);

}  // namespace spatter::mining
