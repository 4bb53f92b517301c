#include "wayland_wire.h"

namespace spatter::cycles {

namespace {

void put(std::string& to, std::uint32_t value) { to.append(reinterpret_cast<const char*>(&value), sizeof value); }

std::uint32_t get(std::string_view from, std::size_t at) {
  std::uint32_t value = 0;
  from.copy(reinterpret_cast<char*>(&value), sizeof value, at);
  return value;
}

}  // namespace

std::optional<std::uint32_t> WaylandMessage::number(std::size_t word) const {
  if (body.size() / 4 <= word) return std::nullopt;
  return get(body, word * 4);
}

std::optional<std::pair<std::string, std::size_t>> WaylandMessage::text(std::size_t word) const {
  const auto size = number(word);  // with its final 0
  if (!size || *size == 0 || *size > body.size() - (word + 1) * 4) return std::nullopt;
  return std::pair(body.substr((word + 1) * 4, *size - 1), word + 1 + (std::size_t{*size} + 3) / 4);
}

WaylandRequest& WaylandRequest::number(std::uint32_t value) {
  put(body_, value);
  return *this;
}

WaylandRequest& WaylandRequest::text(std::string_view value) {
  put(body_, static_cast<std::uint32_t>(value.size() + 1));
  body_ += value;
  body_.resize((body_.size() + 1 + 3) / 4 * 4);
  return *this;
}

std::string WaylandRequest::bytes() const {
  std::string message;
  put(message, object_);
  put(message, static_cast<std::uint32_t>((8 + body_.size()) << 16 | opcode_));
  return message + body_;
}

Result<std::optional<WaylandMessage>> WaylandMessages::next() {
  if (bytes_.size() < 8) return std::nullopt;
  const std::uint32_t word = get(bytes_, 4);
  const std::size_t size = word >> 16;
  if (size < 8 || size % 4 != 0) return fail(Errc::corrupt, "the compositor sent a message of {} bytes", size);
  if (bytes_.size() < size) return std::nullopt;
  WaylandMessage message{get(bytes_, 0), static_cast<std::uint16_t>(word & 0xffff), bytes_.substr(8, size - 8)};
  bytes_.erase(0, size);
  return message;
}

}  // namespace spatter::cycles
