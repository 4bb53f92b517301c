// A function's instructions without those that nothing can reach: what follows a branch, up to the end
// of its block. They have been validated, and are left out of what is written.
#pragma once

#include "instruction.h"

namespace spatter::wasm {

class LiveCode {
 public:
  LiveCode(ByteView code, std::size_t base, const std::uint32_t branch_targets_max)
      : decoder_(code, base, branch_targets_max) {}

  bool at_end() const { return decoder_.at_end(); }

  /// Only after validation: nothing here can be malformed any more.
  Instruction next() {
    after_branch_ = branched_;
    for (;;) {
      auto decoded = decoder_.next();
      SPATTER_ASSERT(decoded);
      const auto op = decoded->op;
      if (branched_) {
        if (op == Op::block || op == Op::loop || op == Op::if_) ++skipped_depth_;
        const bool closes = op == Op::end || (op == Op::else_ && skipped_depth_ == 0);
        if (!closes) continue;
        if (skipped_depth_ > 0) {
          --skipped_depth_;
          continue;
        }
      }
      branched_ = op == Op::br || op == Op::br_table || op == Op::return_ || op == Op::unreachable;
      return *decoded;
    }
  }

  /// Whether the `else` or `end` just read is reached only by branches, not from above.
  bool after_branch() const { return after_branch_; }
  const std::vector<std::uint32_t>& targets() const { return decoder_.targets(); }

 private:
  Decoder decoder_;
  bool branched_ = false;
  bool after_branch_ = false;
  std::uint32_t skipped_depth_ = 0;
};

}  // namespace spatter::wasm
