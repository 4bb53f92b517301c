// Draws, seed chains and proofs of cheating as messages and as files. Only the form is checked here
// (lengths, numbers, known purposes and kinds); whether they are true is for check_draw,
// check_seed_chain and check_seed_conflict.
//
// All functions are pure; any thread.
#pragma once

#include <variant>

#include "chance/draw.h"
#include "chance/seed_chain.h"
#include "wire/proto/chance.pb.h"

namespace spatter {

struct DrawRecord {
  Draw draw;
  DrawProof proof;
};

wire::DrawRecord to_wire(const DrawRecord& record);
wire::SeedRoot to_wire(const SeedRoot& root);
wire::SeedLink to_wire(const SeedLink& link);
wire::SeedChain to_wire(const SeedChain& chain);
wire::SeedConflict to_wire(const SeedConflict& conflict);

/// Errc::invalid names the field that is wrong.
Result<DrawRecord> from_wire(const wire::DrawRecord& message);
Result<SeedRoot> from_wire(const wire::SeedRoot& message);
Result<SeedLink> from_wire(const wire::SeedLink& message);
Result<SeedChain> from_wire(const wire::SeedChain& message);
Result<SeedConflict> from_wire(const wire::SeedConflict& message);

using ChanceRecord = std::variant<DrawRecord, SeedChain, SeedConflict>;

/// Some twenty years of links, one an hour, with a few contributions each. A longer file is refused unread.
inline constexpr std::size_t chance_file_bytes_max = 64 << 20;

/// Whether the bytes begin as a chance file does.
bool is_chance_file(ByteView bytes);
Bytes write_chance_file(const ChanceRecord& record);
/// Errc::invalid for what is none, Errc::newer_format for one of a later version.
Result<ChanceRecord> read_chance_file(ByteView bytes);

}  // namespace spatter
