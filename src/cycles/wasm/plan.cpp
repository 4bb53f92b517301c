#include "plan.h"

#include <algorithm>

#include "live_code.h"

namespace spatter::wasm {
namespace {

/// As much as a stretch costs by itself, and this, may be paid with it for others that may not run.
constexpr std::uint64_t folded_beyond_own_max = 16;
/// What follows a way out of a loop runs in all rounds but the last: more of it may be paid before.
constexpr std::uint64_t folded_in_loop_beyond_max = 256;

constexpr std::uint32_t none = ~0u;

struct Stretch {
  std::uint32_t position;
  std::uint32_t before;       ///< a stretch that it runs at most once for each run of
  bool in_loop_head = false;
  bool after_loop_exit = false;
  std::uint64_t cost = 0;
};

struct Frame {
  bool is_loop;
  bool is_if;
  std::uint32_t entry;            ///< the stretch before the block
  std::uint32_t loop;             ///< number of the innermost loop's frame, itself included
  bool branched_to = false;
  std::uint32_t outermost_target; ///< the outermost frame that a branch from within goes to
};

class Planner {
 public:
  Planner(const Module& module, const CallRules& rules) : module_(module), rules_(rules) {}

  std::vector<Charge> run(const Body& body, std::uint32_t branch_targets_max);

 private:
  void begin(std::uint32_t position, std::uint32_t before) {
    current_ = static_cast<std::uint32_t>(stretches_.size());
    stretches_.push_back({position, before});
  }
  void enter(const Instruction& at);
  void leave(const Instruction& at, bool after_branch);
  void branch(std::uint32_t label);
  std::uint32_t cost_of(const Instruction& at) const;
  std::vector<Charge> charges();

  const Module& module_;
  const CallRules& rules_;
  std::vector<Stretch> stretches_;
  std::vector<Frame> frames_;
  std::uint32_t current_ = 0;
};

std::uint32_t Planner::cost_of(const Instruction& at) const {
  const std::uint32_t fixed = info_of(at.op).cost;
  switch (at.op) {
    case Op::call:
      if (at.index < module_.imports.size()) return import_call_cost;
      return fixed + rules_.functions[at.index - module_.imports.size()].cost;
    case Op::call_indirect: return fixed + rules_.indirect_cost;
    case Op::memory_grow: return memory_grow_cost;
    default: return fixed;
  }
}

void Planner::enter(const Instruction& at) {
  const auto number = static_cast<std::uint32_t>(frames_.size());
  const bool is_loop = at.op == Op::loop;
  frames_.push_back({is_loop, at.op == Op::if_, current_, is_loop ? number : frames_.back().loop, false, number});
  if (at.op == Op::block) return;
  begin(at.end, is_loop ? none : current_);
  stretches_[current_].in_loop_head = is_loop;
}

void Planner::branch(std::uint32_t label) {
  const auto target = static_cast<std::uint32_t>(frames_.size()) - 1 - label;
  frames_[target].branched_to = true;
  frames_.back().outermost_target = std::min(frames_.back().outermost_target, target);
}

void Planner::leave(const Instruction& at, bool after_branch) {
  const auto frame = frames_.back();
  const auto number = static_cast<std::uint32_t>(frames_.size()) - 1;
  frames_.pop_back();
  if (frames_.empty()) return;
  frames_.back().outermost_target = std::min(frames_.back().outermost_target, frame.outermost_target);
  const bool leaves_here_only = frame.outermost_target >= number;
  const bool reached = !after_branch || frame.branched_to || frame.is_if;
  if (!frame.is_loop && !frame.is_if && !frame.branched_to && !after_branch) return;  // one stretch goes on
  if (leaves_here_only && reached) {
    current_ = frame.entry;  // what follows runs exactly as often as what was before the block
  } else {
    begin(at.end, frame.entry);
  }
}

std::vector<Charge> Planner::run(const Body& body, std::uint32_t branch_targets_max) {
  LiveCode code(body.code, body.offset, branch_targets_max);
  frames_.push_back({false, false, 0, none, false, 0});
  begin(0, none);
  while (!frames_.empty()) {
    const auto at = code.next();
    if (at.op != Op::loop) stretches_[current_].cost += cost_of(at);
    switch (at.op) {
      case Op::block: case Op::if_: enter(at); break;
      case Op::loop:
        enter(at);
        stretches_[current_].cost += cost_of(at);
        break;
      case Op::else_: begin(at.end, frames_.back().entry); break;
      case Op::end: leave(at, code.after_branch()); break;
      case Op::br: branch(at.index); break;
      case Op::br_if: {
        const auto loop = frames_.back().loop;
        branch(at.index);
        const bool exits_loop = loop != none && frames_.size() - 1 - at.index < loop;
        begin(at.end, current_);
        stretches_[current_].after_loop_exit = exits_loop;
        break;
      }
      case Op::br_table:
        for (const auto label : code.targets()) branch(label);
        break;
      case Op::return_: branch(static_cast<std::uint32_t>(frames_.size()) - 1); break;
      default: break;
    }
  }
  return charges();
}

std::vector<Charge> Planner::charges() {
  std::vector<std::uint32_t> payer(stretches_.size());
  std::vector<std::uint64_t> folded(stretches_.size(), 0);
  for (std::uint32_t i = 0; i < stretches_.size(); ++i) {
    const auto& stretch = stretches_[i];
    payer[i] = i;
    if (stretch.before == none) continue;
    const auto to = payer[stretch.before];
    const auto own = stretches_[to].cost;
    const auto folded_max = stretch.after_loop_exit ? 4 * own + folded_in_loop_beyond_max
                                                    : own + folded_beyond_own_max;
    if (folded[to] + stretch.cost > folded_max) continue;
    payer[i] = to;
    folded[to] += stretch.cost;
  }
  std::vector<Charge> made;
  for (std::uint32_t i = 0; i < stretches_.size(); ++i) {
    const auto amount = stretches_[i].cost + folded[i];
    if (payer[i] == i && amount != 0) {
      made.push_back({stretches_[i].position, amount, stretches_[i].in_loop_head});
    }
  }
  return made;
}

}  // namespace

std::vector<Charge> plan_charges(const Module& module, const Body& body, const CallRules& rules,
                                 std::uint32_t branch_targets_max) {
  return Planner(module, rules).run(body, branch_targets_max);
}

}  // namespace spatter::wasm
