// The miner's process by itself: miner_tool ADDRESS USER THREADS idle|normal (the scheduling class).
// Reports on standard output, is told to stop on standard input.
#include <cstdio>
#include <cstdlib>

#include "cycles/miner.h"
#include "cycles/pool_address.h"

int main(int argc, char** argv) {
  using namespace spatter::mining;
  if (argc != 5) {
    std::fputs("miner_tool ADDRESS USER THREADS idle|normal\n", stderr);
    return 2;
  }
  const auto address = parse_pool_address(argv[1]);
  const auto user = check_pool_user(argv[2]);
  if (!address || !user) {
    std::fprintf(stderr, "%s\n", (address ? user.error() : address.error()).message.c_str());
    return 2;
  }
  MinerOptions options;
  options.pool.pool = *address;
  options.pool.user = argv[2];
  options.engine.threads = static_cast<unsigned>(std::atoi(argv[3]));
  options.engine.idle_class = std::string_view(argv[4]) == "idle";
  run_miner(std::move(options), 0, 1);
}
