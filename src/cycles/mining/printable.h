// Foreign text in our own sentences.
#pragma once

#include <string>
#include <string_view>

namespace spatter::mining {

/// At most `bytes_max` bytes of the text; whatever is no visible ASCII character becomes '?'.
inline std::string printable(std::string_view text, std::size_t bytes_max = 120) {
  std::string result(text.substr(0, bytes_max));
  for (char& c : result)
    if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  if (text.size() > bytes_max) result += "...";
  return result;
}

}  // namespace spatter::mining
