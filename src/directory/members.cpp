#include "directory/members.h"

namespace spatter {

std::vector<Member> Members::connected() const {
  auto result = others();
  std::erase_if(result, [](const Member& member) { return !member.up; });
  return result;
}

Task<Result<Member>> Members::look_up(ServerId id) {
  if (auto known = find(id)) co_return std::move(*known);
  co_return fail(Errc::not_found, "no server {} is known", id);
}

Task<bool> Members::introduce(ServerId) { co_return false; }

}  // namespace spatter
