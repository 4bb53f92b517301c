#include "trust/draws.h"

#include "crypto/hash.h"

namespace spatter {
namespace {

Digest numbered(const PersonId& person, std::uint64_t number) {
  std::array<std::uint8_t, 8> tail;
  for (std::size_t i = 0; i < 8; ++i) tail[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return Sha256().update(person.view()).update(tail).finish();
}

}  // namespace

Draw reviewers_draw(const NetworkId& network, const PersonId& voucher, std::uint32_t number) {
  return {network, 0, Purpose::review, numbered(voucher, number)};
}

Draw procedure_draw(const NetworkId& network, const PersonId& person, std::uint32_t round) {
  return {network, 0, Purpose::procedure, numbered(person, round)};
}

Draw phrase_draw(const NetworkId& network, const Digest& basis, std::uint64_t epoch) {
  return {network, epoch, Purpose::phrase, basis};
}

Draw contribution_draw(const NetworkId& network, const Digest& announce) {
  return {network, 0, Purpose::chain, announce};
}

}  // namespace spatter
