#include "model.h"

#include "base/random.h"

namespace spatter::sim {
namespace {

const std::vector<Model::State> absent = {std::nullopt};

std::uint64_t mixed(std::uint64_t x) {  // the finisher of SplitMix64
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

}  // namespace

Buffer Content::bytes(std::uint64_t offset, std::uint64_t length) const {
  SPATTER_ASSERT(offset <= size && length <= size - offset);
  Buffer buffer = Buffer::allocate(length);
  std::uint8_t* out = buffer.mutable_data();
  for (std::uint64_t at = offset; at < offset + length;) {
    const std::uint64_t word = mixed(seed + at / 8 * 0x9e3779b97f4a7c15);
    for (std::uint64_t b = at % 8; b < 8 && at < offset + length; ++b, ++at)
      *out++ = static_cast<std::uint8_t>(word >> 8 * b);
  }
  return buffer;
}

const std::vector<Model::State>& Model::possible(const std::string& path) const {
  const auto place = files_.find(path);
  return place == files_.end() ? absent : place->second;
}

bool Model::may_be(const std::string& path, const State& state) const {
  return std::ranges::find(possible(path), state) != possible(path).end();
}

bool Model::surely_there(const std::string& path) const { return !may_be(path, std::nullopt); }

std::vector<std::string> Model::paths() const {
  std::vector<std::string> result;
  for (const auto& [path, states] : files_)
    if (states != absent) result.push_back(path);
  return result;
}

void Model::set(const std::string& path, State state) { files_[path] = {state}; }

void Model::may_be_now(const std::string& path, State state) {
  if (may_be(path, state)) return;
  auto states = possible(path);
  states.push_back(state);
  files_[path] = std::move(states);
}

}  // namespace spatter::sim
