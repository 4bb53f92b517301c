// In the place of what wasm2c writes: code that broke out of its memory and now calls the kernel as it
// likes. ATTEMPT is what it tries; should it succeed, the piece exits with 99.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wasm-rt.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

typedef struct {
  wasm_rt_memory_t w2c_memory;
  u64 fuel;
  u32 stack;
} Z_m_instance_t;

void wasm_rt_allocate_memory(wasm_rt_memory_t*, u32, u32);
void Z_m_init_module(void) {}
void Z_m_instantiate(Z_m_instance_t* instance) { wasm_rt_allocate_memory(&instance->w2c_memory, 1, 1); }
u64* Z_mZ_spatter_fuel(Z_m_instance_t* instance) { return &instance->fuel; }
u32* Z_mZ_spatter_stack(Z_m_instance_t* instance) { return &instance->stack; }

#define TRY_TO(name, what) static void try_##name(void) { what; }
static char* const none[] = {NULL};
TRY_TO(nothing, (void)0)
TRY_TO(open, open("/program", O_RDONLY))
TRY_TO(socket, socket(AF_INET, SOCK_STREAM, 0))
TRY_TO(fork, syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
TRY_TO(execute, execve("/program", none, none))
TRY_TO(signal, kill(1, SIGKILL))
TRY_TO(map_code, mprotect(MEMORY, 65536, PROT_READ | PROT_EXEC))
TRY_TO(map, mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
TRY_TO(read_report, pread(4, MEMORY, 1, 0))
TRY_TO(write_input, write(0, MEMORY, 1))
TRY_TO(clock, syscall(SYS_clock_gettime, 0, MEMORY))
TRY_TO(overflow_stack, for (volatile char* deep = __builtin_frame_address(0);; deep -= 4096) *deep = 1)
TRY_TO(fault, *(volatile int*)8 = 1)
static void try_lie(void) {  // that it used more than its budget
  static const char report[40] = "SPR1\0\0\0\0\0\0\0\0\0\0\0\0\377\377\377\377\377\377\377\177";
  write(4, report, sizeof report);
  syscall(SYS_exit_group, 0);
}

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
void Z_wasi_snapshot_preview1Z_proc_exit(struct Z_wasi_snapshot_preview1_instance_t*, u32);
void Z_mZ__start(Z_m_instance_t* instance) {
  (void)instance;
  JOIN(try_, ATTEMPT)();
  Z_wasi_snapshot_preview1Z_proc_exit(NULL, 99);
}
