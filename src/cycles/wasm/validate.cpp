#include "validate.h"

#include <algorithm>

#include "parse.h"

namespace spatter::wasm {
namespace {

ValType type_of_letter(char letter) {
  return letter == 'i' ? ValType::i32 : letter == 'l' ? ValType::i64 : letter == 'f' ? ValType::f32 : ValType::f64;
}

/// What an instruction may leave behind for later, in units of one native word: a call's callee may be
/// put in its place by a compiler.
constexpr std::uint32_t values_of_call = 16;

class Validator {
 public:
  Validator(const Module& module, std::uint32_t function, const ModuleLimits& limits)
      : module_(module), type_(module.type_of(function)),
        body_(module.bodies[function - module.imports.size()]), limits_(limits),
        decoder_(body_.code, body_.offset, limits.branch_targets_max) {
    locals_ = type_.params;
    for (const auto& group : body_.locals) locals_.insert(locals_.end(), group.count, group.type);
  }

  Result<BodySummary> run();

 private:
  struct Frame {
    Op op;
    BlockType type;
    std::size_t height;
    bool unreachable = false;
    bool dead = false;  ///< entered where nothing reaches

    std::span<const ValType> label_types() const { return op == Op::loop ? type.params : type.results; }
  };

  Result<void> step();
  Result<void> control();
  Result<void> enter(Op op);
  Result<void> variable();
  Result<void> call();
  Result<void> branch_table();
  Result<void> select();
  Result<void> plain();

  std::unexpected<Error> wrong(std::string_view text) const {
    return Reader::at(at_.offset, fmt::format("{}: {}", info_of(at_.op).name, text));
  }
  Result<void> push(ValType type);
  Result<void> push(std::span<const ValType> types) {
    for (const auto type : types) TRY_VOID(push(type));
    return {};
  }
  Result<ValType> pop();
  Result<void> pop(ValType expected);
  Result<void> pop(std::span<const ValType> types) {
    for (auto i = types.size(); i-- > 0;) TRY_VOID(pop(types[i]));
    return {};
  }
  Result<void> pop_frame();
  Result<const Frame*> target(std::uint32_t label) const;
  void unreachable() {
    stack_.resize(frames_.back().height);
    frames_.back().unreachable = true;
  }

  const Module& module_;
  const FuncType& type_;
  const Body& body_;
  const ModuleLimits& limits_;
  Decoder decoder_;
  Instruction at_;
  std::vector<ValType> locals_;
  std::vector<ValType> stack_;
  std::vector<Frame> frames_;
  BodySummary summary_;
};

Result<BodySummary> Validator::run() {
  frames_.push_back({Op::block, {{}, type_.results}, 0});
  while (!frames_.empty()) {
    if (decoder_.at_end()) return Reader::at(decoder_.offset(), "the body ends without its end");
    TRY(at_, decoder_.next());
    TRY_VOID(step());
  }
  if (!decoder_.at_end()) return Reader::at(decoder_.offset(), "instructions after the body's end");
  return std::move(summary_);
}

Result<void> Validator::step() {
  const auto& info = info_of(at_.op);
  if (!frames_.back().unreachable && !frames_.back().dead) {
    summary_.cost += info.cost;
    if (!info.gives.empty() && info.immediate != Immediate::i32 && info.immediate != Immediate::i64) ++summary_.values;
  }
  switch (at_.op) {
    case Op::unreachable: case Op::block: case Op::loop: case Op::if_: case Op::else_: case Op::end:
    case Op::br: case Op::br_if: case Op::br_table: case Op::return_:
      return control();
    case Op::call: case Op::call_indirect: return call();
    case Op::drop:
      TRY_VOID(pop());
      return {};
    case Op::select: return select();
    case Op::local_get: case Op::local_set: case Op::local_tee: case Op::global_get: case Op::global_set:
      return variable();
    default: return plain();
  }
}

Result<void> Validator::enter(Op op) {
  if (at_.block_type >= 0 && static_cast<std::uint64_t>(at_.block_type) >= module_.types.size()) {
    return wrong(fmt::format("there is no type {}", at_.block_type));
  }
  if (frames_.size() > limits_.nesting_max) {
    return wrong(fmt::format("nested more than {} deep", limits_.nesting_max));
  }
  const auto type = block_type_of(at_.block_type, module_.types);
  TRY_VOID(pop(type.params));
  const auto dead = frames_.back().unreachable || frames_.back().dead;
  frames_.push_back({op, type, stack_.size(), false, dead});
  return push(type.params);
}

Result<void> Validator::pop_frame() {
  auto& frame = frames_.back();
  TRY_VOID(pop(frame.type.results));
  if (stack_.size() != frame.height) return wrong(fmt::format("{} values too many on the stack", stack_.size() - frame.height));
  return {};
}

Result<void> Validator::control() {
  switch (at_.op) {
    case Op::unreachable: unreachable(); return {};
    case Op::block: return enter(Op::block);
    case Op::loop:
      summary_.has_loop = true;
      return enter(Op::loop);
    case Op::if_:
      TRY_VOID(pop(ValType::i32));
      return enter(Op::if_);
    case Op::else_: {
      if (frames_.back().op != Op::if_) return wrong("without an if");
      TRY_VOID(pop_frame());
      auto& frame = frames_.back();
      frame.op = Op::else_;
      frame.unreachable = false;
      return push(frame.type.params);
    }
    case Op::end: {
      const auto frame = frames_.back();
      TRY_VOID(pop_frame());
      if (frame.op == Op::if_ && !std::ranges::equal(frame.type.params, frame.type.results)) {
        return wrong("an if without else must leave what it takes");
      }
      frames_.pop_back();
      return frames_.empty() ? Result<void>{} : push(frame.type.results);
    }
    case Op::br: {
      TRY(const auto* frame, target(at_.index));
      TRY_VOID(pop(frame->label_types()));
      unreachable();
      return {};
    }
    case Op::br_if: {
      TRY_VOID(pop(ValType::i32));
      TRY(const auto* frame, target(at_.index));
      TRY_VOID(pop(frame->label_types()));
      return push(frame->label_types());
    }
    case Op::br_table: return branch_table();
    default:
      TRY_VOID(pop(type_.results));
      unreachable();
      return {};
  }
}

Result<void> Validator::branch_table() {
  TRY_VOID(pop(ValType::i32));
  TRY(const auto* last, target(decoder_.targets().back()));
  const auto arity = last->label_types().size();
  std::vector<ValType> popped;
  for (const auto label : decoder_.targets()) {
    TRY(const auto* frame, target(label));
    const auto types = frame->label_types();
    if (types.size() != arity) return wrong("targets that take different numbers of values");
    if (types.empty()) continue;
    popped.clear();
    for (auto i = arity; i-- > 0;) {
      TRY(const auto type, pop());
      if (type != ValType::any && type != types[i]) {
        return wrong(fmt::format("target {} takes {} where {} is", label, to_string(types[i]), to_string(type)));
      }
      popped.push_back(type);
    }
    for (auto i = popped.size(); i-- > 0;) TRY_VOID(push(popped[i]));
  }
  TRY_VOID(pop(last->label_types()));
  unreachable();
  return {};
}

Result<void> Validator::select() {
  TRY_VOID(pop(ValType::i32));
  TRY(const auto one, pop());
  TRY(const auto other, pop());
  if (one != other && one != ValType::any && other != ValType::any) {
    return wrong(fmt::format("between {} and {}", to_string(other), to_string(one)));
  }
  ++summary_.values;
  return push(one == ValType::any ? other : one);
}

Result<void> Validator::variable() {
  const bool is_local = at_.op == Op::local_get || at_.op == Op::local_set || at_.op == Op::local_tee;
  const auto there = is_local ? locals_.size() : module_.globals.size();
  if (at_.index >= there) return wrong(fmt::format("there is no {} {}", is_local ? "local" : "global", at_.index));
  const auto type = is_local ? locals_[at_.index] : module_.globals[at_.index].type;
  if (at_.op == Op::global_set && !module_.globals[at_.index].is_mutable) {
    return wrong(fmt::format("global {} is not mutable", at_.index));
  }
  if (at_.op == Op::local_get) return push(type);
  if (at_.op == Op::global_get) {
    ++summary_.values;
    return push(type);
  }
  TRY_VOID(pop(type));
  return at_.op == Op::local_tee ? push(type) : Result<void>{};
}

Result<void> Validator::call() {
  if (at_.op == Op::call_indirect) {
    if (!module_.has_table) return wrong("there is no table 0");
    if (at_.index >= module_.types.size()) return wrong(fmt::format("there is no type {}", at_.index));
    TRY_VOID(pop(ValType::i32));
    ++summary_.indirect_calls;
  } else {
    if (at_.index >= module_.function_count()) return wrong(fmt::format("there is no function {}", at_.index));
    summary_.callees.push_back(at_.index);
  }
  summary_.values += values_of_call;
  const auto& type = at_.op == Op::call ? module_.type_of(at_.index) : module_.types[at_.index];
  TRY_VOID(pop(type.params));
  return push(type.results);
}

Result<void> Validator::plain() {
  const auto& info = info_of(at_.op);
  switch (info.immediate) {
    case Immediate::memory_access: case Immediate::memory: case Immediate::two_memories:
    case Immediate::data_and_memory:
      if (!module_.has_memory) return wrong("there is no memory 0");
      break;
    default: break;
  }
  if (info.immediate == Immediate::data_and_memory || info.immediate == Immediate::data) {
    if (!module_.has_data_count) return wrong("without a data count section");
    if (at_.index >= module_.data_count) return wrong(fmt::format("there is no data segment {}", at_.index));
  }
  if (at_.op == Op::memory_init || at_.op == Op::memory_copy || at_.op == Op::memory_fill) summary_.has_bulk = true;
  if (at_.op == Op::memory_grow) summary_.cost += memory_grow_cost;
  for (auto i = info.takes.size(); i-- > 0;) TRY_VOID(pop(type_of_letter(info.takes[i])));
  for (const auto letter : info.gives) TRY_VOID(push(type_of_letter(letter)));
  return {};
}

Result<void> Validator::push(ValType type) {
  if (stack_.size() >= limits_.operands_max) {
    return wrong(fmt::format("more than {} values on the stack", limits_.operands_max));
  }
  stack_.push_back(type);
  summary_.operands_max = std::max(summary_.operands_max, static_cast<std::uint32_t>(stack_.size()));
  return {};
}

Result<ValType> Validator::pop() {
  const auto& frame = frames_.back();
  if (stack_.size() == frame.height) {
    if (frame.unreachable) return ValType::any;
    return wrong("a value is missing on the stack");
  }
  const auto type = stack_.back();
  stack_.pop_back();
  return type;
}

Result<void> Validator::pop(ValType expected) {
  TRY(const auto type, pop());
  if (type != expected && type != ValType::any) {
    return wrong(fmt::format("takes {} where {} is", to_string(expected), to_string(type)));
  }
  return {};
}

Result<const Validator::Frame*> Validator::target(std::uint32_t label) const {
  if (label >= frames_.size()) return wrong(fmt::format("there is no label {}", label));
  return &frames_[frames_.size() - 1 - label];
}

}  // namespace

Result<BodySummary> validate(const Module& module, std::uint32_t function, const ModuleLimits& limits) {
  auto summary = Validator(module, function, limits).run();
  if (!summary) return fail(Errc::invalid, "function {} {}", function, summary.error().message);
  return summary;
}

Result<void> validate(ByteView bytes, const ModuleLimits& limits) {
  TRY(const auto module, parse(bytes, limits));
  for (auto i = static_cast<std::uint32_t>(module.imports.size()); i < module.function_count(); ++i) {
    TRY_VOID(validate(module, i, limits));
  }
  return {};
}

}  // namespace spatter::wasm
