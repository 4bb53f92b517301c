// Wayland's messages, as far as they carry numbers and names.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace spatter::cycles {

struct WaylandMessage {
  std::uint32_t object = 0;
  std::uint16_t opcode = 0;
  std::string body;

  /// The number at that word of the body. Foreign bytes: none past its end.
  std::optional<std::uint32_t> number(std::size_t word) const;
  /// The text that begins at that word, and the word after it.
  std::optional<std::pair<std::string, std::size_t>> text(std::size_t word) const;
};

/// A request's bytes, argument by argument.
class WaylandRequest {
 public:
  WaylandRequest(std::uint32_t object, std::uint16_t opcode) : object_(object), opcode_(opcode) {}
  WaylandRequest& number(std::uint32_t value);
  WaylandRequest& text(std::string_view value);
  std::string bytes() const;

 private:
  std::uint32_t object_;
  std::uint16_t opcode_;
  std::string body_;
};

/// What arrived, cut into messages. corrupt: a length that cannot be.
class WaylandMessages {
 public:
  void add(std::string_view bytes) { bytes_ += bytes; }
  Result<std::optional<WaylandMessage>> next();

 private:
  std::string bytes_;
};

}  // namespace spatter::cycles
