#include "parse.h"

#include <algorithm>
#include <array>

#include "instruction.h"
#include "reader.h"

namespace spatter::wasm {
namespace {

constexpr std::string_view host_module = "wasi_snapshot_preview1";

struct Section {
  unsigned id;
  std::string_view name;
};
/// In the order in which they must come.
constexpr std::array<Section, 12> sections{{{1, "type"}, {2, "import"}, {3, "function"}, {4, "table"},
    {5, "memory"}, {6, "global"}, {7, "export"}, {8, "start"}, {9, "element"}, {12, "data count"},
    {10, "code"}, {11, "data"}}};

class Parser {
 public:
  Parser(ByteView bytes, const ModuleLimits& limits) : bytes_(bytes), limits_(limits) {}

  Result<Module> run();

 private:
  Result<void> section(unsigned id, Reader& in);
  Result<void> types(Reader& in);
  Result<void> imports(Reader& in);
  Result<void> functions(Reader& in);
  Result<void> tables(Reader& in);
  Result<void> memories(Reader& in);
  Result<void> globals(Reader& in);
  Result<void> exports(Reader& in);
  Result<void> elements(Reader& in);
  Result<void> code(Reader& in);
  Result<void> body(Reader& in, std::uint32_t function);
  Result<void> data(Reader& in);
  Result<void> finish();

  Result<std::uint32_t> count(Reader& in, std::string_view what, std::uint32_t max);
  Result<ByteView> constant(Reader& in, ValType type);
  Result<std::uint32_t> constant_offset(Reader& in);
  Result<void> value_types(Reader& in, std::vector<ValType>& into, std::string_view what);

  ByteView bytes_;
  const ModuleLimits& limits_;
  Module module_;
};

Result<Module> Parser::run() {
  if (bytes_.size() > limits_.bytes_max) {
    return fail(Errc::invalid, "module of {} bytes, where at most {} are admitted", bytes_.size(),
                limits_.bytes_max);
  }
  Reader in(bytes_, 0);
  constexpr std::array<std::uint8_t, 8> header{0, 'a', 's', 'm', 1, 0, 0, 0};
  if (bytes_.size() < header.size() || !std::ranges::equal(bytes_.first(4), std::span(header).first(4))) {
    return fail(Errc::invalid, "at byte 0x0: not a WebAssembly module");
  }
  if (!std::ranges::equal(bytes_.first(8), header)) {
    return fail(Errc::invalid, "at byte 0x4: only version 1 of the format is admitted");
  }
  TRY_VOID(in.take(header.size()));
  std::size_t next = 0;
  while (!in.at_end()) {
    const auto begin = in.offset();
    TRY(const auto id, in.byte());
    TRY(const auto length, in.u32());
    const auto inside = in.offset();
    TRY(const auto content, in.take(length));
    Reader reader(content, inside);
    if (id == 0) {
      if (auto name = reader.name(); !name) return fail(name.error().during("custom section"));
      continue;
    }
    if (id == 13) return Reader::at(begin, "tag section: exceptions are not admitted");
    const auto found = std::ranges::find(sections, id, &Section::id);
    if (found == sections.end()) return Reader::at(begin, fmt::format("no section has number {}", id));
    const auto place = static_cast<std::size_t>(found - sections.begin());
    if (place < next) return Reader::at(begin, fmt::format("{} section: out of order or twice", found->name));
    next = place + 1;
    if (auto done = section(id, reader); !done) {
      return fail(done.error().during(fmt::format("{} section", found->name)));
    }
    if (!reader.at_end()) {
      return Reader::at(reader.offset(), fmt::format("{} section: {} bytes too many", found->name, reader.left()));
    }
  }
  TRY_VOID(finish());
  return std::move(module_);
}

Result<void> Parser::section(unsigned id, Reader& in) {
  switch (id) {
    case 1: return types(in);
    case 2: return imports(in);
    case 3: return functions(in);
    case 4: return tables(in);
    case 5: return memories(in);
    case 6: return globals(in);
    case 7: return exports(in);
    case 8: return in.wrong("a start function is not admitted: export it as _start");
    case 9: return elements(in);
    case 12: {
      TRY(module_.data_count, in.u32());
      module_.has_data_count = true;
      return {};
    }
    case 10: return code(in);
    default: return data(in);
  }
}

Result<std::uint32_t> Parser::count(Reader& in, std::string_view what, std::uint32_t max) {
  const auto begin = in.offset();
  TRY(const auto number, in.u32());
  if (number > max) return Reader::at(begin, fmt::format("{} {}, where at most {} are admitted", number, what, max));
  if (number > in.left()) return Reader::at(begin, fmt::format("{} {} in {} bytes", number, what, in.left()));
  return number;
}

Result<void> Parser::value_types(Reader& in, std::vector<ValType>& into, std::string_view what) {
  TRY(const auto number, count(in, what, limits_.params_max));
  into.reserve(number);
  for (std::uint32_t i = 0; i < number; ++i) {
    TRY(const auto type, in.value_type());
    into.push_back(type);
  }
  return {};
}

Result<void> Parser::types(Reader& in) {
  TRY(const auto number, count(in, "types", limits_.types_max));
  for (std::uint32_t i = 0; i < number; ++i) {
    TRY(const auto form, in.byte());
    if (form != 0x60) return in.wrong("type {}: only function types are admitted", i);
    FuncType type;
    TRY_VOID(value_types(in, type.params, "parameters"));
    TRY_VOID(value_types(in, type.results, "results"));
    module_.types.push_back(std::move(type));
  }
  return {};
}

Result<void> Parser::imports(Reader& in) {
  TRY(const auto number, count(in, "imports", 1000));
  for (std::uint32_t i = 0; i < number; ++i) {
    const auto begin = in.offset();
    TRY(const auto from, in.name());
    TRY(const auto name, in.name());
    TRY(const auto kind, in.byte());
    const auto refused = [&](std::string_view why) {
      return Reader::at(begin, fmt::format("import {}.{}: {}", shown(from), shown(name), why));
    };
    if (kind != 0) return refused("only functions may be imported");
    if (from != host_module) return refused("only wasi_snapshot_preview1 may be imported from");
    const auto* expected = wasi_type(name);
    if (!expected) return refused("no such function is given to modules");
    TRY(const auto type, in.u32());
    if (type >= module_.types.size()) return refused(fmt::format("there is no type {}", type));
    if (module_.types[type] != *expected) {
      return refused(fmt::format("has type {}, imported as {}", to_string(*expected), to_string(module_.types[type])));
    }
    if (std::ranges::find(module_.imports, name, &Import::name) != module_.imports.end()) return refused("imported twice");
    module_.imports.push_back({name, type});
  }
  return {};
}

Result<void> Parser::functions(Reader& in) {
  TRY(const auto number, count(in, "functions", limits_.functions_max));
  module_.functions.reserve(number);
  for (std::uint32_t i = 0; i < number; ++i) {
    TRY(const auto type, in.u32());
    if (type >= module_.types.size()) {
      return in.wrong("function {}: there is no type {}", module_.function_count(), type);
    }
    module_.functions.push_back(type);
  }
  return {};
}

Result<void> Parser::tables(Reader& in) {
  TRY(const auto number, count(in, "tables", 1));
  if (number == 0) return {};
  const auto begin = in.offset();
  TRY(const auto type, in.byte());
  if (type != 0x70) return Reader::at(begin, "table 0: only tables of funcref are admitted");
  TRY(const auto flags, in.byte());
  if (flags > 1) return Reader::at(begin, fmt::format("table 0: limits of kind {} are not admitted", flags));
  TRY(module_.table.min, in.u32());
  if (flags == 1) {
    TRY(const auto max, in.u32());
    if (max < module_.table.min) return Reader::at(begin, "table 0: its maximum is below its minimum");
  }
  if (module_.table.min > limits_.table_entries_max) {
    return Reader::at(begin, fmt::format("table 0: {} entries, where at most {} are admitted", module_.table.min,
                                         limits_.table_entries_max));
  }
  module_.table.max = module_.table.min;  // nothing admitted can make it grow
  module_.has_table = true;
  return {};
}

Result<void> Parser::memories(Reader& in) {
  TRY(const auto number, count(in, "memories", 1));
  if (number == 0) return {};
  const auto begin = in.offset();
  TRY(const auto flags, in.byte());
  if (flags == 2 || flags == 3) return Reader::at(begin, "memory 0: shared memory (threads) is not admitted");
  if (flags > 3) return Reader::at(begin, fmt::format("memory 0: limits of kind {} (memory64?) are not admitted", flags));
  TRY(module_.memory.min, in.u32());
  module_.memory.max = limits_.memory_pages_max;
  if (flags == 1) {
    TRY(const auto max, in.u32());
    if (max < module_.memory.min) return Reader::at(begin, "memory 0: its maximum is below its minimum");
    if (max > 65536) return Reader::at(begin, "memory 0: its maximum is above 65536 pages");
    module_.memory.max = std::min(max, limits_.memory_pages_max);
  }
  if (module_.memory.min > limits_.memory_pages_max) {
    return Reader::at(begin, fmt::format("memory 0: {} pages, where at most {} are admitted", module_.memory.min,
                                         limits_.memory_pages_max));
  }
  module_.has_memory = true;
  return {};
}

Result<ByteView> Parser::constant(Reader& in, ValType type) {
  const auto begin = in.offset();
  const auto position = in.position();
  TRY(const auto code, in.byte());
  const auto wrong_type = [&] {
    return Reader::at(begin, fmt::format("an initial value that is no constant of type {}", to_string(type)));
  };
  switch (static_cast<Op>(code)) {
    case Op::i32_const: {
      if (type != ValType::i32) return wrong_type();
      TRY_VOID(in.signed_leb(32));
      break;
    }
    case Op::i64_const: {
      if (type != ValType::i64) return wrong_type();
      TRY_VOID(in.signed_leb(64));
      break;
    }
    case Op::f32_const: {
      if (type != ValType::f32) return wrong_type();
      TRY_VOID(in.take(4));
      break;
    }
    case Op::f64_const: {
      if (type != ValType::f64) return wrong_type();
      TRY_VOID(in.take(8));
      break;
    }
    default: return wrong_type();
  }
  const auto length = in.position() - position;
  TRY(const auto end, in.byte());
  if (end != static_cast<std::uint8_t>(Op::end)) return Reader::at(begin, "only a lone constant may be an initial value");
  return bytes_.subspan(begin, length);
}

Result<std::uint32_t> Parser::constant_offset(Reader& in) {
  const auto begin = in.offset();
  TRY(const auto encoded, constant(in, ValType::i32));
  Reader value(encoded.subspan(1), begin + 1);
  TRY(const auto offset, value.signed_leb(32));
  return static_cast<std::uint32_t>(offset);
}

Result<void> Parser::globals(Reader& in) {
  TRY(const auto number, count(in, "globals", limits_.globals_max));
  for (std::uint32_t i = 0; i < number; ++i) {
    Global global;
    TRY(global.type, in.value_type());
    TRY(const auto is_mutable, in.byte());
    if (is_mutable > 1) return in.wrong("global {}: mutability {}", i, is_mutable);
    global.is_mutable = is_mutable == 1;
    TRY(global.initial, constant(in, global.type));
    module_.globals.push_back(global);
  }
  return {};
}

Result<void> Parser::exports(Reader& in) {
  TRY(const auto number, count(in, "exports", limits_.exports_max));
  std::vector<std::string_view> names;
  for (std::uint32_t i = 0; i < number; ++i) {
    const auto begin = in.offset();
    TRY(const auto name, in.name());
    TRY(const auto kind, in.byte());
    TRY(const auto index, in.u32());
    const std::array<std::size_t, 4> there{module_.function_count(), module_.has_table, module_.has_memory,
                                           module_.globals.size()};
    if (kind >= there.size()) return Reader::at(begin, fmt::format("export {}: kind {}", shown(name), kind));
    if (index >= there[kind]) {
      return Reader::at(begin, fmt::format("export {}: there is no {} {}", shown(name),
                                           std::array{"function", "table", "memory", "global"}[kind], index));
    }
    names.push_back(name);
    if (name == fuel_export || name == stack_export) module_.has_own_exports = true;
    if (name == "memory" && kind == 2) module_.exports_memory = true;
    if (name == "_start" && kind == 0) {
      module_.has_start = true;
      module_.start_function = index;
    }
  }
  std::ranges::sort(names);
  if (const auto twice = std::ranges::adjacent_find(names); twice != names.end()) {
    return in.wrong("export {}: exported twice", shown(*twice));
  }
  return {};
}

Result<void> Parser::elements(Reader& in) {
  TRY(const auto number, count(in, "segments", limits_.segments_max));
  for (std::uint32_t i = 0; i < number; ++i) {
    const auto begin = in.offset();
    TRY(const auto flags, in.u32());
    if (flags != 0) {
      return Reader::at(begin, fmt::format("segment {}: kind {}: reference types are not admitted", i, flags));
    }
    if (!module_.has_table) return Reader::at(begin, fmt::format("segment {}: there is no table 0", i));
    ElementSegment segment;
    TRY(segment.offset, constant_offset(in));
    TRY(const auto length, count(in, "entries", limits_.table_entries_max));
    if (std::uint64_t{segment.offset} + length > module_.table.min) {
      return Reader::at(begin, fmt::format("segment {}: entries {} to {} of a table of {}", i, segment.offset,
                                           std::uint64_t{segment.offset} + length, module_.table.min));
    }
    segment.functions.reserve(length);
    for (std::uint32_t k = 0; k < length; ++k) {
      TRY(const auto function, in.u32());
      if (function >= module_.function_count()) return in.wrong("segment {}: there is no function {}", i, function);
      segment.functions.push_back(function);
    }
    module_.elements.push_back(std::move(segment));
  }
  return {};
}

Result<void> Parser::code(Reader& in) {
  TRY(const auto number, count(in, "bodies", limits_.functions_max));
  if (number != module_.functions.size()) {
    return in.wrong("{} bodies for {} functions", number, module_.functions.size());
  }
  module_.bodies.reserve(number);
  for (std::uint32_t i = 0; i < number; ++i) {
    const auto function = static_cast<std::uint32_t>(module_.imports.size()) + i;
    if (auto done = body(in, function); !done) {
      return fail(done.error().during(fmt::format("function {}", function)));
    }
  }
  return {};
}

Result<void> Parser::body(Reader& in, std::uint32_t function) {
  const auto begin = in.offset();
  TRY(const auto length, in.u32());
  if (length > limits_.body_bytes_max) {
    return Reader::at(begin, fmt::format("a body of {} bytes, where at most {} are admitted", length,
                                         limits_.body_bytes_max));
  }
  const auto inside = in.offset();
  TRY(const auto content, in.take(length));
  Reader reader(content, inside);
  Body body;
  TRY(const auto groups, reader.u32());
  std::uint64_t total = module_.type_of(function).params.size();
  for (std::uint32_t i = 0; i < groups; ++i) {
    LocalGroup group;
    TRY(group.count, reader.u32());
    TRY(group.type, reader.value_type());
    total += group.count;
    if (total > limits_.locals_max) {
      return reader.wrong("{} locals, where at most {} are admitted", total, limits_.locals_max);
    }
    body.local_count += group.count;
    if (group.count != 0) body.locals.push_back(group);
  }
  body.offset = static_cast<std::uint32_t>(reader.offset());
  body.code = content.subspan(reader.position());
  module_.bodies.push_back(std::move(body));
  return {};
}

Result<void> Parser::data(Reader& in) {
  TRY(const auto number, count(in, "segments", limits_.segments_max));
  for (std::uint32_t i = 0; i < number; ++i) {
    const auto begin = in.offset();
    TRY(const auto flags, in.u32());
    DataSegment segment;
    if (flags > 1) return Reader::at(begin, fmt::format("segment {}: kind {} is not admitted", i, flags));
    segment.passive = flags == 1;
    if (!segment.passive) {
      if (!module_.has_memory) return Reader::at(begin, fmt::format("segment {}: there is no memory 0", i));
      TRY(segment.offset, constant_offset(in));
    }
    TRY(const auto length, in.u32());
    TRY(segment.bytes, in.take(length));
    const auto end = std::uint64_t{segment.offset} + length;
    if (!segment.passive && end > std::uint64_t{module_.memory.min} << 16) {
      return Reader::at(begin, fmt::format("segment {}: bytes {:#x} to {:#x} of a memory of {} pages", i,
                                           segment.offset, end, module_.memory.min));
    }
    module_.data.push_back(segment);
  }
  return {};
}

Result<void> Parser::finish() {
  if (module_.bodies.size() != module_.functions.size()) {
    return fail(Errc::invalid, "code section: missing: {} functions have no body", module_.functions.size());
  }
  if (module_.has_data_count && module_.data_count != module_.data.size()) {
    return fail(Errc::invalid, "data section: {} segments where {} are announced", module_.data.size(),
                module_.data_count);
  }
  return {};
}

}  // namespace

Result<Module> parse(ByteView bytes, const ModuleLimits& limits) { return Parser(bytes, limits).run(); }

const FuncType* wasi_type(std::string_view name) {
  // One letter an operand, as in instructions.inc; the result is an i32, `!` none.
  struct Row {
    std::string_view name;
    std::string_view params;
  };
  static constexpr Row rows[] = {
      {"args_get", "ii"}, {"args_sizes_get", "ii"}, {"clock_res_get", "ii"}, {"clock_time_get", "ili"},
      {"environ_get", "ii"}, {"environ_sizes_get", "ii"}, {"fd_close", "i"}, {"fd_fdstat_get", "ii"},
      {"fd_fdstat_set_flags", "ii"}, {"fd_filestat_get", "ii"}, {"fd_prestat_dir_name", "iii"},
      {"fd_prestat_get", "ii"}, {"fd_read", "iiii"}, {"fd_seek", "ilii"}, {"fd_tell", "ii"},
      {"fd_write", "iiii"}, {"path_open", "iiiiillii"}, {"poll_oneoff", "iiii"}, {"proc_exit", "i!"},
      {"random_get", "ii"}, {"sched_yield", ""}};
  static const auto types = [] {
    std::array<FuncType, std::size(rows)> made;
    for (std::size_t i = 0; i < made.size(); ++i) {
      for (const auto letter : rows[i].params) {
        if (letter != '!') made[i].params.push_back(letter == 'l' ? ValType::i64 : ValType::i32);
      }
      if (!rows[i].params.ends_with('!')) made[i].results = {ValType::i32};
    }
    return made;
  }();
  const auto found = std::ranges::find(rows, name, &Row::name);
  return found == std::end(rows) ? nullptr : &types[static_cast<std::size_t>(found - std::begin(rows))];
}

std::string to_string(const FuncType& type) {
  const auto list = [](const std::vector<ValType>& types) {
    std::string text = "(";
    for (const auto one : types) text += fmt::format("{}{}", text.size() > 1 ? ", " : "", to_string(one));
    return text + ")";
  };
  return list(type.params) + " -> " + list(type.results);
}

std::string shown(std::string_view name) {
  std::string text(name.substr(0, 60));
  for (auto& letter : text) {
    if (letter < 0x20 || letter > 0x7e) letter = '?';
  }
  return name.size() > 60 ? text + "..." : text;
}

}  // namespace spatter::wasm
