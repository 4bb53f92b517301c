#include "doors/dht_line.h"

namespace spatter::doors {

Result<DhtLine> parse_dht_line(std::string_view line) {
  const auto word = [&line] {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view first = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return first;
  };
  if (line.size() > dht_line_bytes_max) return fail(Errc::invalid, "a line of {} bytes", line.size());
  DhtLine result;
  const std::string_view verb = word();
  if (verb == "ready") {
    result.text = line;
    return result;
  }
  result.id = word();
  if (result.id.empty()) return fail(Errc::invalid, "a line without an id");
  if (verb == "done") {
    result.kind = DhtLine::Kind::done;
  } else if (verb == "failed") {
    result.kind = DhtLine::Kind::failed;
    result.text = line;
  } else if (verb == "value") {
    result.kind = DhtLine::Kind::value;
    TRY(result.value, from_hex(line));
    if (result.value.size() > dht_value_bytes_max)
      return fail(Errc::invalid, "a value of {} bytes", result.value.size());
  } else {
    return fail(Errc::invalid, "a line that is none of its kinds");
  }
  return result;
}

}  // namespace spatter::doors
