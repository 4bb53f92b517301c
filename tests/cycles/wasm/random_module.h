// Valid modules by chance, for properties: every kind of instruction and of block, with types that fit.
#pragma once

#include <algorithm>
#include <random>

#include "instruction.h"
#include "writer.h"

namespace spatter {

class RandomModule {
 public:
  /// Without `float_bits` no instruction lets a NaN's bits be seen.
  RandomModule(std::uint64_t seed, bool float_bits) : random_(seed), float_bits_(float_bits) {}

  Bytes make() {
    using wasm::Writer;
    types_ = {{{}, {}}};
    for (unsigned i = 0, count = 1 + below(6); i < count; ++i) {
      wasm::FuncType type;
      for (unsigned k = below(4); k > 0; --k) type.params.push_back(any_type());
      for (unsigned k = below(4) == 0 ? below(4) : below(2); k > 0; --k) type.results.push_back(any_type());
      types_.push_back(type);
    }
    functions_.assign(1, 0);  // _start
    for (unsigned i = 0, count = below(8); i < count; ++i) functions_.push_back(below(types_.size()));
    for (unsigned i = 0, count = below(5); i < count; ++i) globals_.push_back(any_type());
    Bytes out{0, 'a', 's', 'm', 1, 0, 0, 0};
    const auto section = [&](unsigned id, auto write) {
      Bytes content;
      Writer in(content);
      write(in);
      Writer to(out);
      to.byte(id);
      to.u32(content.size());
      to.bytes(content);
    };
    section(1, [&](Writer& in) {
      in.u32(types_.size());
      for (const auto& type : types_) {
        in.byte(0x60);
        in.u32(type.params.size());
        for (const auto one : type.params) in.type(one);
        in.u32(type.results.size());
        for (const auto one : type.results) in.type(one);
      }
    });
    section(3, [&](Writer& in) {
      in.u32(functions_.size());
      for (const auto type : functions_) in.u32(type);
    });
    section(4, [&](Writer& in) { in.bytes(Bytes{1, 0x70, 0, 8}); });
    section(5, [&](Writer& in) { in.bytes(Bytes{1, 0, 1}); });
    section(6, [&](Writer& in) {
      in.u32(globals_.size());
      for (const auto type : globals_) {
        in.type(type);
        in.byte(1);
        constant(in, type);
        in.byte(0x0b);
      }
    });
    section(7, [&](Writer& in) {
      in.u32(2);
      in.name("memory");
      in.bytes(Bytes{2, 0});
      in.name("_start");
      in.bytes(Bytes{0, 0});
    });
    section(9, [&](Writer& in) {
      in.bytes(Bytes{1, 0, 0x41, 0, 0x0b, 8});
      for (int i = 0; i < 8; ++i) in.u32(below(functions_.size()));
    });
    section(12, [&](Writer& in) { in.u32(1); });
    section(10, [&](Writer& in) {
      in.u32(functions_.size());
      for (const auto type : functions_) {
        const auto code = body(types_[type]);
        in.u32(code.size());
        in.bytes(code);
      }
    });
    section(11, [&](Writer& in) { in.bytes(Bytes{1, 1, 3, 'x', 'y', 'z'}); });
    return out;
  }

 private:
  using ValType = wasm::ValType;
  using Op = wasm::Op;

  std::uint32_t below(std::size_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  ValType any_type() { return static_cast<ValType>(0x7c + below(4)); }

  void constant(wasm::Writer& out, ValType type) {
    switch (type) {
      case ValType::i32:
        out.byte(0x41);
        out.signed_leb(below(3) ? static_cast<std::int32_t>(below(64)) : static_cast<std::int32_t>(random_()));
        break;
      case ValType::i64:
        out.byte(0x42);
        out.signed_leb(below(3) ? below(64) : static_cast<std::int64_t>(random_()));
        break;
      default: {
        const bool wide = type == ValType::f64;
        out.byte(wide ? 0x44 : 0x43);
        const double value = static_cast<double>(below(1000)) / 8 - 50;
        const auto narrow = static_cast<float>(value);
        out.bytes({reinterpret_cast<const std::uint8_t*>(wide ? static_cast<const void*>(&value) : &narrow),
                   wide ? sizeof value : sizeof narrow});
      }
    }
  }

  Bytes body(const wasm::FuncType& type) {
    code_.clear();
    locals_ = type.params;
    Bytes made;
    wasm::Writer head(made);
    const auto groups = below(4);
    head.u32(groups);
    for (unsigned i = 0; i < groups; ++i) {
      const auto count = 1 + below(3);
      const auto one = any_type();
      head.u32(count);
      head.type(one);
      locals_.insert(locals_.end(), count, one);
    }
    results_ = type.results;
    labels_ = {type.results};
    left_ = 60;
    for (unsigned i = below(8); i > 0; --i) statement(4);
    for (const auto result : type.results) expression(result, 4);
    out_.byte(0x0b);
    made.insert(made.end(), code_.begin(), code_.end());
    return made;
  }

  void expressions(const std::vector<ValType>& types, int depth) {
    for (const auto type : types) expression(type, depth);
  }
  void drop(std::size_t count) {
    for (; count > 0; --count) out_.byte(0x1a);
  }
  void open(unsigned code, std::size_t type, std::vector<ValType> label) {
    out_.byte(code);
    if (types_[type].params.empty() && types_[type].results.empty()) out_.byte(0x40);
    else out_.signed_leb(static_cast<std::int64_t>(type));
    labels_.push_back(std::move(label));
  }
  void close() {
    out_.byte(0x0b);
    labels_.pop_back();
  }

  /// Leaves nothing on the stack.
  void statement(int depth) {
    if (--left_ < 0 || depth <= 0) return;
    switch (below(13)) {
      case 0: case 1: {  // a block of some type, its results dropped
        const auto type = below(types_.size());
        expressions(types_[type].params, depth - 1);
        const bool loop = below(2) == 0;
        open(loop ? 0x03 : 0x02, type, loop ? types_[type].params : types_[type].results);
        drop(types_[type].params.size());
        for (unsigned i = below(4); i > 0; --i) statement(depth - 1);
        expressions(types_[type].results, depth - 1);
        close();
        drop(types_[type].results.size());
        break;
      }
      case 2: case 3: {
        expression(ValType::i32, depth - 1);
        open(0x04, 0, {});
        for (unsigned i = below(3); i > 0; --i) statement(depth - 1);
        if (below(2) == 0) {
          out_.byte(0x05);
          for (unsigned i = below(3); i > 0; --i) statement(depth - 1);
        }
        close();
        break;
      }
      case 4: {  // a branch that may be taken
        const auto label = below(labels_.size());
        const auto types = labels_[labels_.size() - 1 - label];
        expressions(types, depth - 1);
        expression(ValType::i32, depth - 1);
        out_.byte(0x0d);
        out_.u32(label);
        drop(types.size());
        break;
      }
      case 5: {  // one that is, and dead code after it
        expression(ValType::i32, depth - 1);
        open(0x04, 0, {});
        const auto label = below(labels_.size());
        expressions(labels_[labels_.size() - 1 - label], depth - 1);
        if (below(3) == 0 && labels_[labels_.size() - 1 - label].empty()) {
          expression(ValType::i32, depth - 1);
          out_.byte(0x0e);
          out_.u32(1);
          out_.u32(label);
          out_.u32(label);
        } else if (below(6) == 0) {
          drop(labels_[labels_.size() - 1 - label].size());
          expressions(results_, depth - 1);
          out_.byte(0x0f);
        } else {
          out_.byte(0x0c);
          out_.u32(label);
        }
        if (below(2) == 0) out_.byte(0x6a), out_.byte(0x1a);  // i32.add of what is not there
        if (below(2) == 0) statement(depth - 1);
        close();
        break;
      }
      case 6: {
        const auto function = below(functions_.size());
        const auto& type = types_[functions_[function]];
        expressions(type.params, depth - 1);
        if (below(3) == 0) {
          expression(ValType::i32, depth - 1);
          out_.byte(0x11);
          out_.u32(functions_[function]);
          out_.byte(0);
        } else {
          out_.byte(0x10);
          out_.u32(function);
        }
        drop(type.results.size());
        break;
      }
      case 7: case 8: {
        static constexpr unsigned stores[] = {0x36, 0x37, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x38, 0x39};
        const auto code = stores[below(float_bits_ ? 9 : 7)];
        expression(ValType::i32, 0);
        const auto& info = wasm::info_of(static_cast<Op>(code));
        expression(type_of(info.takes[1]), depth - 1);
        out_.byte(code);
        out_.u32(below(info.align_max + 1));
        out_.u32(below(1000));
        break;
      }
      case 9:
        for (int i = 0; i < 3; ++i) expression(ValType::i32, 0);
        switch (below(3)) {
          case 0: out_.bytes(Bytes{0xfc, 10, 0, 0}); break;
          case 1: out_.bytes(Bytes{0xfc, 11, 0}); break;
          default: out_.bytes(Bytes{0xfc, 8, 0, 0});
        }
        break;
      case 10:
        if (globals_.empty()) break;
        {
          const auto global = below(globals_.size());
          expression(globals_[global], depth - 1);
          out_.byte(0x24);
          out_.u32(global);
        }
        break;
      default:
        if (locals_.empty()) break;
        const auto local = below(locals_.size());
        expression(locals_[local], depth - 1);
        out_.byte(0x21);
        out_.u32(local);
    }
  }

  static ValType type_of(char letter) {
    return letter == 'i' ? ValType::i32 : letter == 'l' ? ValType::i64 : letter == 'f' ? ValType::f32 : ValType::f64;
  }

  /// Leaves one value of the type.
  void expression(ValType type, int depth) {
    --left_;
    if (left_ < 0 || depth <= 0 || below(4) == 0) {
      if (below(2) == 0) {
        std::vector<std::uint32_t> fitting;
        for (std::uint32_t i = 0; i < locals_.size(); ++i) {
          if (locals_[i] == type) fitting.push_back(i);
        }
        if (!fitting.empty()) {
          out_.byte(0x20);
          out_.u32(fitting[below(fitting.size())]);
          return;
        }
      }
      return constant(out_, type);
    }
    if (below(12) == 0) {  // select
      expression(type, depth - 1);
      expression(type, depth - 1);
      expression(ValType::i32, depth - 1);
      out_.byte(0x1b);
      return;
    }
    for (;;) {
      const auto code = 0x28 + below(0x108 - 0x28);
      const auto& info = wasm::info_of(static_cast<Op>(code));
      if (info.name.empty() || info.gives.size() != 1 || type_of(info.gives[0]) != type) continue;
      const bool shows_bits = code == 0x98 || code == 0xa6 || code == 0xbc || code == 0xbd;
      if (shows_bits && !float_bits_) continue;
      if (info.immediate != wasm::Immediate::none && info.immediate != wasm::Immediate::memory_access) continue;
      for (const auto letter : info.takes) expression(type_of(letter), info.immediate == wasm::Immediate::none ? depth - 1 : 0);
      if (code >= 0x100) out_.byte(0xfc);
      out_.byte(code & 0xff);
      if (info.immediate == wasm::Immediate::memory_access) {
        out_.u32(below(info.align_max + 1));
        out_.u32(below(1000));
      }
      return;
    }
  }

  std::mt19937_64 random_;
  bool float_bits_;
  std::vector<wasm::FuncType> types_;
  std::vector<std::uint32_t> functions_;
  std::vector<ValType> globals_;
  std::vector<ValType> locals_, results_;
  std::vector<std::vector<ValType>> labels_;
  int left_ = 0;
  Bytes code_;
  wasm::Writer out_{code_};
};

}  // namespace spatter
