#include "rewrite.h"

#include <algorithm>
#include <cstring>

#include "live_code.h"
#include "plan.h"
#include "writer.h"

namespace spatter::wasm {
namespace {

constexpr unsigned block_code_none = 0x40;
constexpr std::int64_t nan_bits_f32 = 0x7fc00000;
constexpr std::int64_t nan_bits_f64 = 0x7ff8000000000000;

/// How a function counts.
enum class Counting {
  none,    ///< its callers pay
  global,  ///< once, at its start, straight in the global
  local,   ///< in a local of its own, which calls and returns write to the global
};

class Rewriter {
 public:
  Rewriter(const RewriteContext& context, std::uint32_t function, std::int64_t block_type, Bytes& out)
      : context_(context), body_(context.module.bodies[function]), rule_(context.rules.functions[function]),
        type_(context.module.types[context.module.functions[function]]), block_type_(block_type),
        final_(out), writer_(instructions_) {}

  void run();

 private:
  struct Frame {
    bool dirty = false;  ///< whether some branch comes here with fuel that the global does not hold
  };

  void plan();
  void prologue();
  void epilogue();
  void instruction(const Instruction& at);
  void copy(const Instruction& at) { writer_.bytes(body_.code.subspan(at.begin, at.end - at.begin)); }
  void call(const Instruction& at);
  void bulk(const Instruction& at);
  void canonical_nan(bool wide);
  void store_float(const Instruction& at, bool wide);
  bool gives_no_nan(const Instruction& at) const;
  void branch(std::uint32_t label) {
    auto& frame = frames_[frames_.size() - 1 - label];
    frame.dirty |= dirty_;
  }

  void op(Op op) { writer_.byte(static_cast<unsigned>(op)); }
  void op(Op code, std::uint32_t index) {
    op(code);
    writer_.u32(index);
  }
  void constant(Op code, std::int64_t value) {
    op(code);
    writer_.signed_leb(value);
  }
  void charge(std::uint64_t amount, bool check);
  void stop_if_negative(bool fuel_in_local);
  void write_fuel();
  void write_locals();

  const RewriteContext& context_;
  const Body& body_;
  const FunctionRules& rule_;
  const FuncType& type_;
  const std::int64_t block_type_;
  Bytes& final_;
  Bytes instructions_;
  Writer writer_;

  std::vector<Charge> charges_;
  std::size_t next_charge_ = 0;
  Counting counting_ = Counting::none;
  bool wrapped_ = false;
  std::vector<Frame> frames_;
  bool dirty_ = false;     ///< the local may hold less than the global
  bool no_nan_ = false;    ///< the last instruction's result is known to be none
  std::uint32_t fuel_ = 0, f32_ = 0, f64_ = 0, i32_ = 0;  ///< our own locals
  bool uses_temporaries_ = false;                     ///< those besides fuel_
};

void Rewriter::plan() {
  const auto first = static_cast<std::uint32_t>(type_.params.size()) + body_.local_count;
  fuel_ = first;
  f32_ = first + 1;
  f64_ = first + 2;
  i32_ = first + 3;
  if (rule_.prepaid) return;
  charges_ = plan_charges(context_.module, body_, context_.rules, context_.branch_targets_max);
  bool has_bulk = false;
  LiveCode code(body_.code, body_.offset, context_.branch_targets_max);
  while (!code.at_end() && !has_bulk) {
    const auto op = code.next().op;
    has_bulk = op == Op::memory_fill || op == Op::memory_copy || op == Op::memory_init;
  }
  const bool once = charges_.empty() || (charges_.size() == 1 && charges_[0].position == 0);
  counting_ = once && !has_bulk ? Counting::global : Counting::local;
}

void Rewriter::charge(std::uint64_t amount, bool check) {
  op(Op::local_get, fuel_);
  constant(Op::i64_const, static_cast<std::int64_t>(amount));
  op(Op::i64_sub);
  op(check ? Op::local_tee : Op::local_set, fuel_);
  if (check) stop_if_negative(true);
  dirty_ = true;
}

/// Takes the fuel on the stack: stops the module when there is none.
void Rewriter::stop_if_negative(bool fuel_in_local) {
  constant(Op::i64_const, 0);
  op(Op::i64_lt_s);
  op(Op::if_);
  writer_.byte(block_code_none);
  if (fuel_in_local) write_fuel();
  op(Op::unreachable);
  op(Op::end);
}

void Rewriter::write_fuel() {
  op(Op::local_get, fuel_);
  op(Op::global_set, context_.fuel_global);
}

void Rewriter::prologue() {
  if (rule_.counts_stack) {
    op(Op::global_get, context_.stack_global);
    constant(Op::i32_const, rule_.stack_bytes);
    op(Op::i32_sub);
    op(Op::global_set, context_.stack_global);
    op(Op::global_get, context_.stack_global);
    constant(Op::i32_const, 0);
    op(Op::i32_lt_s);
    op(Op::if_);
    writer_.byte(block_code_none);
    op(Op::unreachable);
    op(Op::end);
  }
  const bool own_charge = !charges_.empty() && charges_[0].position == 0;
  const auto amount = own_charge ? static_cast<std::int64_t>(charges_[0].amount) : 0;
  if (own_charge) next_charge_ = 1;
  if (counting_ == Counting::global && own_charge) {
    op(Op::global_get, context_.fuel_global);
    constant(Op::i64_const, amount);
    op(Op::i64_sub);
    op(Op::global_set, context_.fuel_global);
    op(Op::global_get, context_.fuel_global);
    stop_if_negative(false);
  } else if (counting_ == Counting::local) {
    op(Op::global_get, context_.fuel_global);
    if (own_charge) {
      constant(Op::i64_const, amount);
      op(Op::i64_sub);
      op(Op::local_tee, fuel_);
      stop_if_negative(true);
      dirty_ = true;
    } else {
      op(Op::local_set, fuel_);
    }
  }
  // One way out, which returns what was taken: a block in the place of the function's own label.
  wrapped_ = rule_.counts_stack || counting_ == Counting::local;
  if (wrapped_) {
    op(Op::block);
    writer_.signed_leb(block_type_);
  }
}

void Rewriter::epilogue() {
  if (wrapped_) op(Op::end);
  if (dirty_ && counting_ == Counting::local) write_fuel();
  if (rule_.counts_stack) {
    op(Op::global_get, context_.stack_global);
    constant(Op::i32_const, rule_.stack_bytes);
    op(Op::i32_add);
    op(Op::global_set, context_.stack_global);
  }
  op(Op::end);
}

void Rewriter::run() {
  plan();
  prologue();
  frames_.emplace_back();
  LiveCode code(body_.code, body_.offset, context_.branch_targets_max);
  while (!frames_.empty()) {
    const auto at = code.next();
    if (next_charge_ < charges_.size() && charges_[next_charge_].position == at.begin) {
      charge(charges_[next_charge_].amount, charges_[next_charge_].in_loop_head);
      ++next_charge_;
    }
    switch (at.op) {
      case Op::block: case Op::loop:
        frames_.emplace_back();
        copy(at);
        break;
      case Op::if_:
        frames_.emplace_back(dirty_);  // where the else begins, or what follows when there is none
        copy(at);
        break;
      case Op::else_: {
        const bool at_if = frames_.back().dirty;
        frames_.back().dirty |= dirty_ && !code.after_branch();
        dirty_ |= at_if;
        copy(at);
        break;
      }
      case Op::end:
        dirty_ = frames_.back().dirty || (dirty_ && !code.after_branch());
        frames_.pop_back();
        if (frames_.empty()) epilogue();
        else copy(at);
        break;
      case Op::br: case Op::br_if:
        branch(at.index);
        copy(at);
        break;
      case Op::br_table:
        for (const auto label : code.targets()) branch(label);
        copy(at);
        break;
      case Op::return_: {
        const auto outermost = static_cast<std::uint32_t>(frames_.size()) - 1;
        branch(outermost);
        if (wrapped_) op(Op::br, outermost);
        else copy(at);
        break;
      }
      default: instruction(at); break;
    }
    no_nan_ = gives_no_nan(at);
  }
  write_locals();
  final_.insert(final_.end(), instructions_.begin(), instructions_.end());
}

void Rewriter::instruction(const Instruction& at) {
  switch (at.op) {
    case Op::call: case Op::call_indirect: return call(at);
    case Op::memory_init: case Op::memory_copy: case Op::memory_fill: return bulk(at);
    case Op::unreachable:
      if (dirty_) write_fuel();
      return copy(at);
    case Op::f32_store: return store_float(at, false);
    case Op::f64_store: return store_float(at, true);
    case Op::f32_copysign: case Op::i32_reinterpret_f32:
      canonical_nan(false);
      return copy(at);
    case Op::f64_copysign: case Op::i64_reinterpret_f64:
      canonical_nan(true);
      return copy(at);
    default:
      if (info_of(at.op).immediate != Immediate::memory) return copy(at);
      op(at.op);
      writer_.byte(0);
  }
}

void Rewriter::call(const Instruction& at) {
  const auto imported = context_.module.imports.size();
  const bool prepaid = at.op == Op::call && at.index >= imported && context_.rules.functions[at.index - imported].prepaid;
  const bool counts = !prepaid && counting_ == Counting::local;
  if (counts && dirty_) write_fuel();
  if (at.op == Op::call) {
    op(Op::call, at.index);
  } else {
    op(Op::call_indirect, at.index);
    writer_.byte(0);
  }
  if (!counts) return;
  op(Op::global_get, context_.fuel_global);
  op(Op::local_set, fuel_);
  dirty_ = false;
}

/// The length on the stack is paid for, and then what is left is looked at, before anything is moved.
void Rewriter::bulk(const Instruction& at) {
  uses_temporaries_ = true;
  op(Op::local_set, i32_);
  op(Op::local_get, fuel_);
  op(Op::local_get, i32_);
  op(Op::i64_extend_i32_u);
  constant(Op::i64_const, bulk_bytes_shift);
  op(Op::i64_shr_u);
  op(Op::i64_sub);
  op(Op::local_tee, fuel_);
  stop_if_negative(true);
  dirty_ = true;
  op(Op::local_get, i32_);
  writer_.byte(0xfc);
  writer_.u32(static_cast<unsigned>(at.op) & 0xff);
  if (at.op == Op::memory_init) writer_.u32(at.index);
  writer_.byte(0);
  if (at.op == Op::memory_copy) writer_.byte(0);
}

/// Whatever NaN is on top of the stack becomes the one NaN: positive, quiet, no other bit set.
void Rewriter::canonical_nan(bool wide) {
  if (no_nan_) return;
  uses_temporaries_ = true;
  const auto local = wide ? f64_ : f32_;
  op(Op::local_tee, local);
  op(wide ? Op::f64_const : Op::f32_const);
  const auto bits = wide ? nan_bits_f64 : nan_bits_f32;
  for (unsigned i = 0; i < (wide ? 8 : 4); ++i) writer_.byte(bits >> (8 * i) & 0xff);
  op(Op::local_get, local);
  op(Op::local_get, local);
  op(wide ? Op::f64_eq : Op::f32_eq);
  op(Op::select);
}

/// The value goes to memory as it is, and the one NaN over it in the rare case: on the way to memory
/// nothing then has to wait for the comparison. What that gains is in docs/sandbox-module.md.
void Rewriter::store_float(const Instruction& at, bool wide) {
  if (no_nan_) return copy(at);
  uses_temporaries_ = true;
  const auto value = wide ? f64_ : f32_;
  op(Op::local_set, value);
  op(Op::local_tee, i32_);
  op(Op::local_get, value);
  copy(at);
  op(Op::local_get, value);
  op(Op::local_get, value);
  op(wide ? Op::f64_ne : Op::f32_ne);
  op(Op::if_);
  writer_.byte(block_code_none);
  op(Op::local_get, i32_);
  if (wide) constant(Op::i64_const, nan_bits_f64);
  else constant(Op::i32_const, nan_bits_f32);
  op(wide ? Op::i64_store : Op::i32_store);
  writer_.bytes(body_.code.subspan(at.begin + 1, at.end - at.begin - 1));  // alignment and offset
  op(Op::end);
}

bool Rewriter::gives_no_nan(const Instruction& at) const {
  const auto* immediate = body_.code.data() + at.begin + 1;
  switch (at.op) {
    case Op::f32_const: {
      float value;
      std::memcpy(&value, immediate, sizeof value);
      return value == value;
    }
    case Op::f64_const: {
      double value;
      std::memcpy(&value, immediate, sizeof value);
      return value == value;
    }
    default:
      return (at.op >= Op::f32_convert_i32_s && at.op <= Op::f32_convert_i64_u) ||
             (at.op >= Op::f64_convert_i32_s && at.op <= Op::f64_convert_i64_u);
  }
}

/// Ours come after the function's own, all four as soon as one is used: their numbers are fixed.
void Rewriter::write_locals() {
  Writer out(final_);
  const bool fuel = counting_ == Counting::local || uses_temporaries_;
  out.u32(body_.locals.size() + (uses_temporaries_ ? 4 : fuel ? 1 : 0));
  for (const auto& group : body_.locals) {
    out.u32(group.count);
    out.type(group.type);
  }
  const auto one = [&](ValType type) {
    out.u32(1);
    out.type(type);
  };
  if (fuel) one(ValType::i64);
  if (uses_temporaries_) {
    one(ValType::f32);
    one(ValType::f64);
    one(ValType::i32);
  }
}

}  // namespace

void rewrite(const RewriteContext& context, std::uint32_t function, std::int64_t block_type, Bytes& out) {
  Rewriter(context, function, block_type, out).run();
}

}  // namespace spatter::wasm
