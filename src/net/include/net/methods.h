// The numbers of all RPC methods. They travel on the wire (docs/PROTOCOL.md): append, never
// renumber. Only `join` may be called by a server that has no network yet.
#pragma once

#include <cstdint>
#include <string_view>

namespace spatter {

namespace method {
// Membership: how a server gets in and how server records travel.
inline constexpr std::uint16_t join = 100;           ///< a newcomer shows its invite secret
inline constexpr std::uint16_t members_sync = 101;   ///< both sides end up with what either knows
inline constexpr std::uint16_t members_push = 102;   ///< changed records, passed on

// Trust records, phrases and clips (wire/proto/trust.proto).
inline constexpr std::uint16_t trust_compare = 110;
inline constexpr std::uint16_t trust_get = 111;
inline constexpr std::uint16_t trust_push = 112;
inline constexpr std::uint16_t trust_lot = 113;
inline constexpr std::uint16_t trust_clip = 114;

// Shards, asked of a holder (wire/proto/holder.proto).
inline constexpr std::uint16_t shard_put = 200;
inline constexpr std::uint16_t shard_begin = 201;
inline constexpr std::uint16_t shard_write = 202;
inline constexpr std::uint16_t shard_commit = 203;
inline constexpr std::uint16_t shard_abort = 204;
inline constexpr std::uint16_t shard_read = 205;
inline constexpr std::uint16_t shard_list = 206;
inline constexpr std::uint16_t shard_release = 207;
inline constexpr std::uint16_t shard_check = 208;
inline constexpr std::uint16_t shard_renew = 209;
inline constexpr std::uint16_t shard_lost = 210;

// Root records.
inline constexpr std::uint16_t root_put = 300;
inline constexpr std::uint16_t root_get = 301;

// The directory (wire/proto/directory.proto).
inline constexpr std::uint16_t directory_ping = 400;
inline constexpr std::uint16_t directory_find = 401;  ///< servers near a point
inline constexpr std::uint16_t directory_get = 402;   ///< a record, and servers near it
inline constexpr std::uint16_t directory_put = 403;   ///< records to keep
inline constexpr std::uint16_t directory_place = 404; ///< a draw of the caller's place
inline constexpr std::uint16_t directory_look = 405;  ///< servers near the caller's place, looked up for it

// Keeping stripes alive together (wire/proto/mend.proto).
inline constexpr std::uint16_t mend_tell = 500;      ///< newer lists of holders
inline constexpr std::uint16_t mend_get = 501;       ///< what a holder knows of a stripe
inline constexpr std::uint16_t mend_versions = 502;  ///< which lists a holder has of the caller's stripes
inline constexpr std::uint16_t mend_put = 503;       ///< a rebuilt shard
inline constexpr std::uint16_t mend_sign = 504;      ///< asked to sign a list of holders
inline constexpr std::uint16_t mend_audit = 505;     ///< leaves to be shown
inline constexpr std::uint16_t mend_report = 506;    ///< what auditors found

// Whether the network serves or only mends (wire/proto/mode.proto).
inline constexpr std::uint16_t mode_push = 507;      ///< reports, passed on
inline constexpr std::uint16_t mode_reports = 508;   ///< those of the last epochs

// Work done for others (wire/proto/jobs.proto).
inline constexpr std::uint16_t work_offer = 600;     ///< asked of a worker: would it compute this?
inline constexpr std::uint16_t work_fetch = 601;     ///< asked of the asker: a module or an input
inline constexpr std::uint16_t work_commit = 602;    ///< told the asker: it is computed
inline constexpr std::uint16_t work_reveal = 603;    ///< asked of a worker: the result
inline constexpr std::uint16_t work_output = 604;    ///< asked of a worker: its output
inline constexpr std::uint16_t work_release = 605;   ///< told a worker: nothing more is needed

// The ledger of spare cycles (wire/proto/cycles.proto).
inline constexpr std::uint16_t cycles_push = 606;    ///< new entries, passed on
inline constexpr std::uint16_t cycles_sync = 607;    ///< entries that the caller lacks
inline constexpr std::uint16_t cycles_witness = 608; ///< asked of a drawn person's server: what of this lease?
inline constexpr std::uint16_t cycles_ask = 609;     ///< by a witness, of a worker: would it?
inline constexpr std::uint16_t cycles_show = 610;    ///< by a witness, of a worker: what it delivered

// Reaching servers that cannot be dialled (net/relay.h).
inline constexpr std::uint16_t relay_open = 700;   ///< asked of a relay: a link to another server
inline constexpr std::uint16_t relay_ask = 701;    ///< by a relay: somebody wants a link to you
inline constexpr std::uint16_t reach_probe = 702;  ///< can you dial me?
}  // namespace method

/// Whether a server without a network may call it.
constexpr bool is_join_method(std::uint16_t number) { return number == method::join; }

/// "shard.put", for messages and logs; "method 999" is called "unknown".
std::string_view method_name(std::uint16_t number);

}  // namespace spatter
