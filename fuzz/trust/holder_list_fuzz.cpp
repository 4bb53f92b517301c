// Foreign chains of holder lists: whatever comes, they are refused or make sense, and what was read is
// written the same.
#include <cstdint>

#include "base/random.h"
#include "trust/holder_list.h"

using namespace spatter;

namespace {

struct World {
  SeededRandom random{1};
  SigningKey owner = SigningKey::generate(random);
  Descriptor descriptor = [this] {
    Descriptor made;
    made.person = random.id<PersonId>();
    made.k = 2;
    made.n = 6;
    return made;
  }();
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const World world;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto anybody = [](const ServerId&, const PersonId&) { return true; };

  if (const auto list = read_holder_list(text)) {
    const auto body = holder_list_body(*list);
    const auto again = read_holder_list(body);
    if (!again || again->holders != list->holders || again->absent != list->absent || again->version != list->version)
      __builtin_trap();
    // The same list with a signature that is right, and one step on top that nobody signed.
    auto descriptor = world.descriptor;
    descriptor.stripe = list->stripe;
    wire::HolderChain chain = make_owner_chain(world.owner, *list);
    const auto checked = check_holder_chain(chain, descriptor, anybody);
    if (checked && checked->newest.holders != list->holders) __builtin_trap();
    chain.add_lists()->set_body(std::string(text));
    if (check_holder_chain(chain, descriptor, anybody)) __builtin_trap();
  }
  wire::HolderChain chain;
  if (chain.ParseFromArray(data, static_cast<int>(size)))
    static_cast<void>(check_holder_chain(chain, world.descriptor, anybody));
  return 0;
}
