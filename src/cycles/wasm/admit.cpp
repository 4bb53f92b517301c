#include <map>

#include "call_graph.h"
#include "cycles/module.h"
#include "parse.h"
#include "rewrite.h"
#include "validate.h"
#include "writer.h"

namespace spatter {
namespace {

using namespace wasm;  // NOLINT: this file is where its parts meet

/// Instrumented code is larger than what it was made of, by less than this in all.
constexpr std::size_t output_bytes_max = 64u << 20;

Result<void> check_interface(const Module& module) {
  if (!module.has_start) return fail(Errc::invalid, "export section: no function _start is exported");
  const auto& type = module.type_of(module.start_function);
  if (!type.params.empty() || !type.results.empty()) {
    return fail(Errc::invalid, "export _start: has type {}, must have () -> ()", to_string(type));
  }
  if (module.start_function < module.imports.size()) {
    return fail(Errc::invalid, "export _start: is imported");
  }
  if (!module.has_memory) return fail(Errc::invalid, "memory section: no memory is defined");
  if (!module.exports_memory) return fail(Errc::invalid, "export section: the memory is not exported as memory");
  if (module.has_own_exports) {
    return fail(Errc::invalid, "export section: {} and {} are names of ours", fuel_export, stack_export);
  }
  return {};
}

/// Writes the module, section after section.
class Encoder {
 public:
  Encoder(const Module& module, const CallRules& rules, const ModuleLimits& limits)
      : module_(module),
        context_{module, rules, static_cast<std::uint32_t>(module.globals.size()),
                 static_cast<std::uint32_t>(module.globals.size()) + 1, limits.branch_targets_max} {}

  Result<Bytes> run();

 private:
  template <class Write>
  void section(unsigned id, Write write) {
    content_.clear();
    Writer content(content_);
    write(content);
    Writer out(out_);
    out.byte(id);
    out.u32(content_.size());
    out.bytes(content_);
  }
  void types(Writer& out);
  void globals(Writer& out);
  void exports(Writer& out);
  Result<void> code();

  const Module& module_;
  RewriteContext context_;
  std::map<std::vector<ValType>, std::uint32_t> result_types_;  ///< of () -> (several)
  Bytes out_;
  Bytes content_;
};

void Encoder::types(Writer& out) {
  std::vector<const std::vector<ValType>*> added;
  for (const auto function : module_.functions) {
    const auto& results = module_.types[function].results;
    if (results.size() < 2) continue;
    const auto next = static_cast<std::uint32_t>(module_.types.size() + result_types_.size());
    const auto [at, is_new] = result_types_.try_emplace(results, next);
    if (is_new) added.push_back(&at->first);
  }
  const auto list = [&](const std::vector<ValType>& values) {
    out.u32(values.size());
    for (const auto value : values) out.type(value);
  };
  out.u32(module_.types.size() + added.size());
  for (const auto& type : module_.types) {
    out.byte(0x60);
    list(type.params);
    list(type.results);
  }
  for (const auto* results : added) {
    out.byte(0x60);
    list({});
    list(*results);
  }
}

void Encoder::globals(Writer& out) {
  out.u32(module_.globals.size() + 2);
  for (const auto& global : module_.globals) {
    out.type(global.type);
    out.byte(global.is_mutable);
    out.bytes(global.initial);
    out.byte(static_cast<unsigned>(Op::end));
  }
  out.type(ValType::i64);
  out.byte(1);
  out.byte(static_cast<unsigned>(Op::i64_const));
  out.signed_leb(0);
  out.byte(static_cast<unsigned>(Op::end));
  out.type(ValType::i32);
  out.byte(1);
  out.byte(static_cast<unsigned>(Op::i32_const));
  out.signed_leb(stack_budget);
  out.byte(static_cast<unsigned>(Op::end));
}

void Encoder::exports(Writer& out) {
  const auto one = [&](std::string_view name, unsigned kind, std::uint32_t index) {
    out.name(name);
    out.byte(kind);
    out.u32(index);
  };
  out.u32(4);
  one("memory", 2, 0);
  one("_start", 0, module_.start_function);
  one(fuel_export, 3, context_.fuel_global);
  one(stack_export, 3, context_.stack_global);
}

Result<void> Encoder::code() {
  Bytes all, body;
  Writer(all).u32(module_.bodies.size());
  for (std::uint32_t i = 0; i < module_.bodies.size(); ++i) {
    const auto& results = module_.types[module_.functions[i]].results;
    const std::int64_t block_type = results.empty()       ? block_without_type
                                    : results.size() == 1 ? static_cast<std::int64_t>(results[0]) - 128
                                                          : result_types_.at(results);
    body.clear();
    rewrite(context_, i, block_type, body);
    Writer(all).u32(body.size());
    Writer(all).bytes(body);
    if (all.size() > output_bytes_max) {
      return fail(Errc::invalid, "code section: more than {} bytes with what counts its fuel", output_bytes_max);
    }
  }
  Writer out(out_);
  out.byte(10);
  out.u32(all.size());
  out.bytes(all);
  return {};
}

Result<Bytes> Encoder::run() {
  Writer(out_).bytes(std::vector<std::uint8_t>{0, 'a', 's', 'm', 1, 0, 0, 0});
  section(1, [&](Writer& out) { types(out); });
  if (!module_.imports.empty()) {
    section(2, [&](Writer& out) {
      out.u32(module_.imports.size());
      for (const auto& import : module_.imports) {
        out.name("wasi_snapshot_preview1");
        out.name(import.name);
        out.byte(0);
        out.u32(import.type);
      }
    });
  }
  section(3, [&](Writer& out) {
    out.u32(module_.functions.size());
    for (const auto type : module_.functions) out.u32(type);
  });
  if (module_.has_table) {
    section(4, [&](Writer& out) {
      out.u32(1);
      out.byte(0x70);
      out.byte(1);
      out.u32(module_.table.min);
      out.u32(module_.table.max);
    });
  }
  section(5, [&](Writer& out) {
    out.u32(1);
    out.byte(1);
    out.u32(module_.memory.min);
    out.u32(module_.memory.max);
  });
  section(6, [&](Writer& out) { globals(out); });
  section(7, [&](Writer& out) { exports(out); });
  const auto offset = [](Writer& out, std::uint32_t value) {
    out.byte(static_cast<unsigned>(Op::i32_const));
    out.signed_leb(static_cast<std::int32_t>(value));
    out.byte(static_cast<unsigned>(Op::end));
  };
  if (!module_.elements.empty()) {
    section(9, [&](Writer& out) {
      out.u32(module_.elements.size());
      for (const auto& segment : module_.elements) {
        out.u32(0);
        offset(out, segment.offset);
        out.u32(segment.functions.size());
        for (const auto function : segment.functions) out.u32(function);
      }
    });
  }
  if (module_.has_data_count) section(12, [&](Writer& out) { out.u32(module_.data_count); });
  TRY_VOID(code());
  if (!module_.data.empty()) {
    section(11, [&](Writer& out) {
      out.u32(module_.data.size());
      for (const auto& segment : module_.data) {
        out.u32(segment.passive ? 1 : 0);
        if (!segment.passive) offset(out, segment.offset);
        out.u32(segment.bytes.size());
        out.bytes(segment.bytes);
      }
    });
  }
  return std::move(out_);
}

}  // namespace

Result<AdmittedModule> admit(ByteView bytes, const ModuleLimits& limits) {
  TRY(const auto module, parse(bytes, limits));
  TRY_VOID(check_interface(module));
  std::vector<BodySummary> summaries;
  summaries.reserve(module.bodies.size());
  for (std::uint32_t i = 0; i < module.bodies.size(); ++i) {
    TRY(auto summary, validate(module, static_cast<std::uint32_t>(module.imports.size()) + i, limits));
    summaries.push_back(std::move(summary));
  }
  const auto rules = call_rules(module, summaries);
  AdmittedModule admitted;
  TRY(admitted.bytes, Encoder(module, rules, limits).run());
  admitted.memory_pages = module.memory.min;
  admitted.memory_pages_max = module.memory.max;
  for (const auto& import : module.imports) admitted.imports.emplace_back(import.name);
  return admitted;
}

}  // namespace spatter
