// spatter-admit IN OUT: writes the admitted form of a module, or says why there is none.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "cycles/module.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: spatter-admit IN.wasm OUT.wasm\n", stderr);
    return 2;
  }
  std::ifstream in(argv[1], std::ios::binary);
  const spatter::Bytes bytes{std::istreambuf_iterator<char>(in), {}};
  if (!in) {
    std::fprintf(stderr, "%s: cannot be read\n", argv[1]);
    return 1;
  }
  const auto admitted = spatter::admit(bytes);
  if (!admitted) {
    std::fprintf(stderr, "%s: %s\n", argv[1], admitted.error().message.c_str());
    return 1;
  }
  std::ofstream out(argv[2], std::ios::binary);
  out.write(reinterpret_cast<const char*>(admitted->bytes.data()), static_cast<std::streamsize>(admitted->bytes.size()));
  return out.flush() ? 0 : 1;
}
