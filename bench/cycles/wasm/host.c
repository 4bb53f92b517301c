// The least that a translated module needs to run: its arguments, its output, an end. No sandbox.
//   host FUEL [argument...]: prints on standard error how `_start` ended (exit, or trap and which), the
//   processor seconds that it took and the fuel that it used.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "module.h"
#include "wasm-rt-impl.h"

static Z_module_instance_t instance;
static int argument_count;
static char** arguments;
static jmp_buf ended;

struct Z_wasi_snapshot_preview1_instance_t;
typedef struct Z_wasi_snapshot_preview1_instance_t host;

static u8* at(u32 address) { return instance.w2c_memory.data + address; }
static u32 get(u32 address) {
  u32 value;
  memcpy(&value, at(address), 4);
  return value;
}
static void put(u32 address, u32 value) { memcpy(at(address), &value, 4); }

u32 Z_wasi_snapshot_preview1Z_args_sizes_get(host* h, u32 count, u32 bytes) {
  u32 total = 0;
  for (int i = 0; i < argument_count; i++) total += strlen(arguments[i]) + 1;
  put(count, argument_count);
  put(bytes, total);
  return 0;
}
u32 Z_wasi_snapshot_preview1Z_args_get(host* h, u32 pointers, u32 bytes) {
  for (int i = 0; i < argument_count; i++) {
    put(pointers + 4 * i, bytes);
    strcpy((char*)at(bytes), arguments[i]);
    bytes += strlen(arguments[i]) + 1;
  }
  return 0;
}
u32 Z_wasi_snapshot_preview1Z_fd_write(host* h, u32 fd, u32 list, u32 count, u32 written) {
  u32 total = 0;
  for (u32 i = 0; i < count; i++) {
    u32 length = get(list + 8 * i + 4);
    if (fwrite(at(get(list + 8 * i)), 1, length, stdout) != length) return 29;
    total += length;
  }
  put(written, total);
  return 0;
}
u32 Z_wasi_snapshot_preview1Z_fd_close(host* h, u32 fd) { return 0; }
u32 Z_wasi_snapshot_preview1Z_fd_seek(host* h, u32 fd, u64 offset, u32 whence, u32 to) { return 70; }
u32 Z_wasi_snapshot_preview1Z_fd_fdstat_get(host* h, u32 fd, u32 to) {
  memset(at(to), 0, 24);
  *at(to) = 4;
  return 0;
}
void Z_wasi_snapshot_preview1Z_proc_exit(host* h, u32 code) {
  longjmp(ended, 1);
}

static double seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6 + usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6;
}

int main(int argc, char** argv) {
  argument_count = argc - 1;
  arguments = argv + 1;
  wasm_rt_init();
  Z_module_init_module();
  Z_module_instantiate(&instance, NULL);
  const u64 budget = strtoull(argv[1], NULL, 10);
#ifdef COUNTS_FUEL
  *Z_moduleZ_spatter_fuel(&instance) = budget;
#endif
  const double begin = seconds();
  wasm_rt_trap_t trap = WASM_RT_TRAP_NONE;
  if (setjmp(ended) == 0) {
    trap = wasm_rt_impl_try();
    if (trap == WASM_RT_TRAP_NONE) Z_moduleZ__start(&instance);
  }
  const double took = seconds() - begin;
  fflush(stdout);
  fprintf(stderr, "%.4f ", took);
#ifdef COUNTS_FUEL
  fprintf(stderr, "%llu ", (unsigned long long)(budget - *Z_moduleZ_spatter_fuel(&instance)));
#endif
  fprintf(stderr, "%s\n", trap == WASM_RT_TRAP_NONE ? "exit" : wasm_rt_strerror(trap));
  return trap != WASM_RT_TRAP_NONE;
}
