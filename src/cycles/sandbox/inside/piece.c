/* The host of one piece of foreign work: compiled together with the C that wasm2c made of an admitted
 * module ("module.c"), it becomes a program that runs it once and says how that ended.
 *
 *   program FUEL MEMORY_PAGES OUTPUT_BYTES LOG_BYTES SEED [ARGUMENT...]
 *
 * Descriptor 0 is the piece's input (a file), 1 its output, 2 its log, 4 takes the report. Before the
 * first foreign instruction it gives up everything but reading 0, writing 1, 2 and 4, and growing its
 * own memory. All that the piece can observe depends on its arguments and its input alone: docs/sandbox.md
 * has the rules, and tests/cycles/sandbox/run.mjs is the same host for another engine. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
/* Low enough to be part of an instruction; above the program and its heap, which Linux begins anywhere in
 * the GiB after it. */
#define MEMORY ((u8*)0x60000000ul)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MEMORY ((u8*)0x2000000000ul)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "pieces do not run on this processor yet"
#endif

struct Z_wasi_snapshot_preview1_instance_t;
#include "module.c"

enum { page_bytes = 65536, input_fd = 0, output_fd = 1, log_fd = 2, report_fd = 4 };
#define RESERVED_BYTES ((1ul << 33) + page_bytes)
#define STACK_BYTES (128ul << 20) /* twice what admission promises */
#define GUARD_BYTES (64ul << 20)

/* ---- the report: 40 bytes, little-endian, as src/cycles/sandbox/piece_report.cpp reads it ---- */

enum { exited = 0, trapped = 1, out_of_fuel = 2, out_of_memory = 3, output_too_large = 4, broken = 5 };
enum { trap_recursion = 9 }; /* beside wasm_rt_trap_t */
enum { broken_setup = 1, broken_stack = 2, broken_io = 3, broken_fault = 4 };

static Z_m_instance_t instance;
static s64 budget;
static s64 left_at_host_call; /* what a trap costs is known only as of then */
static u32 pages_max;
static bool growth_refused;
static u64 output_bytes_max, output_bytes, log_bytes_max, log_bytes, log_bytes_dropped;
static u8* stack;

static s64* fuel(void) { return (s64*)Z_mZ_spatter_fuel(&instance); }

static _Noreturn void finish(u32 end, u32 detail, u32 exit_code, s64 left) {
  struct {
    char magic[4];
    u32 end, detail, exit_code;
    u64 fuel, output_bytes, log_bytes_dropped;
  } report = {{'S', 'P', 'R', '1'}, end, detail, exit_code, (u64)(budget - left), output_bytes,
              log_bytes_dropped};
  (void)!write(report_fd, &report, sizeof report);
  for (;;) syscall(SYS_exit_group, 0);
}

static _Noreturn void give_up(u32 why) { finish(broken, why, 0, budget); }

WASM_RT_NO_RETURN __attribute__((noinline)) void wasm_rt_trap(wasm_rt_trap_t code) {
  __asm__ volatile("" ::: "memory");
  if (code == WASM_RT_TRAP_UNREACHABLE && *fuel() < 0) finish(out_of_fuel, 0, 0, 0);
  if (code == WASM_RT_TRAP_UNREACHABLE && *(s32*)Z_mZ_spatter_stack(&instance) < 0)
    finish(trapped, trap_recursion, 0, left_at_host_call);
  /* What a program does that cannot go on without memory. */
  if (code == WASM_RT_TRAP_UNREACHABLE && growth_refused) finish(out_of_memory, code, 0, left_at_host_call);
  finish(trapped, code, 0, left_at_host_call);
}

static void on_fault(int number, siginfo_t* info, void* context) {
  const u8* at = info->si_addr;
  (void)number, (void)context;
  if (at >= MEMORY && at < MEMORY + RESERVED_BYTES) wasm_rt_trap(WASM_RT_TRAP_OOB);
  give_up(at >= stack && at < stack + GUARD_BYTES ? broken_stack : broken_fault);
}

/* ---- what wasm2c's code asks for ---- */

bool wasm_rt_is_initialized(void) { return true; }

void wasm_rt_allocate_memory(wasm_rt_memory_t* memory, u32 pages, u32 max) {
  if (pages > pages_max) finish(out_of_memory, 0, 0, budget);
  if (max < pages_max) pages_max = max;
  memory->data = mmap(MEMORY, RESERVED_BYTES, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (memory->data != MEMORY) give_up(broken_setup);
  if (pages && mprotect(MEMORY, (u64)pages * page_bytes, PROT_READ | PROT_WRITE)) give_up(broken_setup);
  memory->pages = pages;
  memory->max_pages = pages_max;
  memory->size = pages * page_bytes;
}

u32 wasm_rt_grow_memory(wasm_rt_memory_t* memory, u32 more) {
  const u32 before = memory->pages;
  if (more > pages_max - before) {
    growth_refused = true;
    return UINT32_MAX;
  }
  /* What the limit grants the machine must have: no program may see that it has not. */
  if (more && mprotect(MEMORY + (u64)before * page_bytes, (u64)more * page_bytes, PROT_READ | PROT_WRITE))
    give_up(broken_setup);
  memory->pages = before + more;
  memory->size = memory->pages * page_bytes;
  return before;
}

void wasm_rt_free_memory(wasm_rt_memory_t* memory) { (void)memory; }

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t* table, u32 elements, u32 max) {
  table->data = calloc(elements ? elements : 1, sizeof *table->data);
  if (!table->data) give_up(broken_setup);
  table->size = elements;
  table->max_size = max;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t* table) { (void)table; }

/* Equal types have equal numbers; there are few, and this runs once. */
u32 wasm_rt_register_func_type(u32 params, u32 results, ...) {
  static struct { u32 params, results; u8* types; } known[10001];
  static u32 count;
  u8* types = malloc(params + results + 1);
  if (!types || count == 10000) give_up(broken_setup);
  va_list list;
  va_start(list, results);
  for (u32 i = 0; i < params + results; ++i) types[i] = (u8)va_arg(list, int);
  va_end(list);
  for (u32 i = 1; i <= count; ++i) {
    if (known[i].params == params && known[i].results == results &&
        !memcmp(known[i].types, types, params + results)) {
      free(types);
      return i;
    }
  }
  ++count;
  known[count].params = params;
  known[count].results = results;
  known[count].types = types;
  return count;
}

/* ---- WASI, as far as it goes here ---- */

enum {
  wasi_ok = 0, wasi_badf = 8, wasi_fault = 21, wasi_inval = 28, wasi_notdir = 54, wasi_notsup = 58,
  wasi_spipe = 70
};
enum { regular_file = 4, buffers_max = 1024, call_cost = 200 };
static u32 argument_count;
static char** arguments;
static u64 argument_bytes;
static u64 random_state;
static u64 clock_calls;
static u64 input_at;

static u8* at(u32 address, u64 length) {
  return (u64)address + length <= instance.w2c_memory.size ? MEMORY + address : NULL;
}
static void put32(u8* where, u32 value) { memcpy(where, &value, 4); }
static void put64(u8* where, u64 value) { memcpy(where, &value, 8); }

/* The work that a call makes us do is paid for like any other. Admitted code may have run a little below
 * zero since it last looked: it gets no further than here. */
static void charge(u64 cost) {
  s64* left = fuel();
  if (*left < 0 || (u64)*left < cost) finish(out_of_fuel, 0, 0, 0);
  *left -= (s64)cost;
  left_at_host_call = *left;
}

#define WASI(name, ...) \
  Z_wasi_snapshot_preview1Z_##name(struct Z_wasi_snapshot_preview1_instance_t* self, ##__VA_ARGS__)

u32 WASI(args_sizes_get, u32 count, u32 bytes) {
  charge(0);
  u8 *c = at(count, 4), *b = at(bytes, 4);
  if (!c || !b) return wasi_fault;
  put32(c, argument_count);
  put32(b, (u32)argument_bytes);
  return wasi_ok;
}

u32 WASI(args_get, u32 pointers, u32 text) {
  charge(argument_count + argument_bytes / 8);
  u8 *p = at(pointers, argument_count * 4ul), *t = at(text, argument_bytes);
  if (!p || !t) return wasi_fault;
  for (u32 i = 0; i < argument_count; ++i) {
    const size_t length = strlen(arguments[i]) + 1;
    put32(p + 4 * i, text);
    memcpy(MEMORY + text, arguments[i], length);
    text += (u32)length;
  }
  return wasi_ok;
}

u32 WASI(environ_sizes_get, u32 count, u32 bytes) {
  charge(0);
  u8 *c = at(count, 4), *b = at(bytes, 4);
  if (!c || !b) return wasi_fault;
  put32(c, 0);
  put32(b, 0);
  return wasi_ok;
}

u32 WASI(environ_get, u32 pointers, u32 text) {
  (void)pointers, (void)text;
  charge(0);
  return wasi_ok;
}

/* Reads until the buffer is full or the input ends: how much comes at once is no machine's choice. */
static u64 read_input(u8* into, u64 length) {
  u64 done = 0;
  while (done < length) {
    const ssize_t n = pread(input_fd, into + done, length - done, (off_t)(input_at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) give_up(broken_io);
    if (n == 0) break;
    done += (u64)n;
  }
  input_at += done;
  return done;
}

static void write_all(int fd, const u8* from, u64 length) {
  while (length > 0) {
    const ssize_t n = write(fd, from, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) give_up(broken_io);
    from += n;
    length -= (u64)n;
  }
}

static void write_log(const u8* from, u64 length) {
  const u64 room = log_bytes_max - log_bytes;
  const u64 taken = length < room ? length : room;
  write_all(log_fd, from, taken);
  log_bytes += taken;
  log_bytes_dropped += length - taken;
}

static void write_output(const u8* from, u64 length) {
  if (length > output_bytes_max - output_bytes) finish(output_too_large, 0, 0, *fuel());
  write_all(output_fd, from, length);
  output_bytes += length;
}

u32 WASI(fd_read, u32 fd, u32 buffers, u32 count, u32 done_at) {
  charge(call_cost);
  if (fd != input_fd) return wasi_badf;
  if (count > buffers_max) return wasi_inval;
  const u8* list = at(buffers, count * 8ul);
  u8* result = at(done_at, 4);
  if (!list || !result) return wasi_fault;
  u32 done = 0;
  for (u32 i = 0; i < count; ++i) {
    u32 where, length;
    memcpy(&where, list + 8 * i, 4);
    memcpy(&length, list + 8 * i + 4, 4);
    u8* into = at(where, length);
    if (!into) return wasi_fault;
    if (length > UINT32_MAX - done) return wasi_inval;
    charge((length + 7ul) / 8);
    const u64 n = read_input(into, length);
    done += (u32)n;
    if (n < length) break;
  }
  put32(result, done);
  return wasi_ok;
}

u32 WASI(fd_write, u32 fd, u32 buffers, u32 count, u32 done_at) {
  charge(call_cost);
  if (fd != output_fd && fd != log_fd) return wasi_badf;
  if (count > buffers_max) return wasi_inval;
  const u8* list = at(buffers, count * 8ul);
  u8* result = at(done_at, 4);
  if (!list || !result) return wasi_fault;
  u32 done = 0;
  for (u32 i = 0; i < count; ++i) {
    u32 where, length;
    memcpy(&where, list + 8 * i, 4);
    memcpy(&length, list + 8 * i + 4, 4);
    const u8* from = at(where, length);
    if (!from) return wasi_fault;
    if (length > UINT32_MAX - done) return wasi_inval;
    charge((length + 7ul) / 8);
    if (fd == output_fd) write_output(from, length);
    else write_log(from, length);
    done += length;
  }
  put32(result, done);
  return wasi_ok;
}

u32 WASI(fd_close, u32 fd) {
  charge(0);
  return fd <= log_fd ? wasi_ok : wasi_badf;
}

u32 WASI(fd_seek, u32 fd, u64 offset, u32 whence, u32 result) {
  (void)offset, (void)whence, (void)result;
  charge(0);
  return fd <= log_fd ? wasi_spipe : wasi_badf;
}

u32 WASI(fd_tell, u32 fd, u32 result) {
  (void)result;
  charge(0);
  return fd <= log_fd ? wasi_spipe : wasi_badf;
}

/* No terminals: the C library of the piece then writes in large parts. */
u32 WASI(fd_fdstat_get, u32 fd, u32 result) {
  charge(0);
  if (fd > log_fd) return wasi_badf;
  u8* into = at(result, 24);
  if (!into) return wasi_fault;
  memset(into, 0, 24);
  into[0] = regular_file;
  put64(into + 8, fd == input_fd ? 1u << 1 : 1u << 6);
  return wasi_ok;
}

u32 WASI(fd_fdstat_set_flags, u32 fd, u32 flags) {
  (void)flags;
  charge(0);
  return fd <= log_fd ? wasi_notsup : wasi_badf;
}

u32 WASI(fd_filestat_get, u32 fd, u32 result) {
  charge(0);
  if (fd > log_fd) return wasi_badf;
  u8* into = at(result, 64);
  if (!into) return wasi_fault;
  memset(into, 0, 64);
  into[16] = regular_file;
  return wasi_ok;
}

u32 WASI(fd_prestat_get, u32 fd, u32 result) {
  (void)fd, (void)result;
  charge(0);
  return wasi_badf;
}

u32 WASI(fd_prestat_dir_name, u32 fd, u32 path, u32 length) {
  (void)fd, (void)path, (void)length;
  charge(0);
  return wasi_badf;
}

u32 WASI(path_open, u32 fd, u32 lookup, u32 path, u32 length, u32 how, u64 rights, u64 inherited, u32 flags,
         u32 result) {
  (void)lookup, (void)path, (void)length, (void)how, (void)rights, (void)inherited, (void)flags, (void)result;
  charge(0);
  return fd <= log_fd ? wasi_notdir : wasi_badf;
}

void WASI(proc_exit, u32 code) {
  charge(0);
  finish(exited, 0, code, *fuel());
}

/* Nobody's clock: it goes on by a millisecond whenever somebody looks. */
u32 WASI(clock_time_get, u32 clock, u64 precision, u32 result) {
  (void)precision;
  charge(0);
  if (clock > 3) return wasi_inval;
  u8* into = at(result, 8);
  if (!into) return wasi_fault;
  put64(into, (clock == 0 ? 1577836800000000000ull : 0) + 1000000ull * ++clock_calls);
  return wasi_ok;
}

u32 WASI(clock_res_get, u32 clock, u32 result) {
  charge(0);
  if (clock > 3) return wasi_inval;
  u8* into = at(result, 8);
  if (!into) return wasi_fault;
  put64(into, 1000000);
  return wasi_ok;
}

/* SplitMix64 from the piece's seed; each call uses whole words. */
u32 WASI(random_get, u32 address, u32 length) {
  const u64 words = (length + 7ul) / 8;
  charge(4 * words);
  u8* into = at(address, length);
  if (!into) return wasi_fault;
  for (u64 i = 0; i < words; ++i) {
    u64 z = (random_state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    memcpy(into + 8 * i, &z, length - 8 * i < 8 ? length - 8 * i : 8);
  }
  return wasi_ok;
}

u32 WASI(poll_oneoff, u32 in, u32 out, u32 count, u32 result) {
  (void)in, (void)out, (void)count, (void)result;
  charge(0);
  return wasi_notsup;
}

u32 WASI(sched_yield) {
  charge(0);
  return wasi_ok;
}

/* ---- giving everything up ---- */

static void no_files(void) {
  struct { u64 files, net, scoped; } all = {(1 << 13) - 1, 0, 0};
  const long ruleset = syscall(444, &all, sizeof all, 0);
  if (ruleset < 0) return; /* a kernel without Landlock: the filter below opens nothing anyway */
  if (syscall(446, ruleset, 0) < 0) give_up(broken_setup);
  close((int)ruleset);
}

#define CALL(number) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, number))
#define LOW_HALF_OF_ARGUMENT(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]))
#define IF_NOT(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define IF(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, skip, 0)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define END BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

static void few_calls(void) {
  struct sock_filter code[] = {
      CALL(arch), IF(OUR_ARCHITECTURE, 1), END,
      CALL(nr),
      IF_NOT(SYS_exit_group, 1), ALLOW,
      IF_NOT(SYS_pread64, 4), LOW_HALF_OF_ARGUMENT(0), IF_NOT(input_fd, 1), ALLOW, END,
      IF_NOT(SYS_write, 6), LOW_HALF_OF_ARGUMENT(0), IF(output_fd, 3), IF(log_fd, 2), IF(report_fd, 1), END,
      ALLOW,
      IF_NOT(SYS_mprotect, 3), LOW_HALF_OF_ARGUMENT(2), IF_NOT(PROT_READ | PROT_WRITE, 1), ALLOW,
      END};
  const struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) give_up(broken_setup);
}

static void run(void) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) give_up(broken_setup);
  no_files();
  few_calls();
  Z_mZ__start(&instance);
  charge(0);
  finish(exited, 0, 0, *fuel());
}

static ucontext_t start_of_run;

int main(int count, char** words) {
  static u8 fault_stack[64 << 10];
  if (count < 6) give_up(broken_setup);
  budget = left_at_host_call = (s64)strtoull(words[1], NULL, 10);
  pages_max = (u32)strtoul(words[2], NULL, 10);
  output_bytes_max = strtoull(words[3], NULL, 10);
  log_bytes_max = strtoull(words[4], NULL, 10);
  random_state = strtoull(words[5], NULL, 10);
  words[5] = "program";
  arguments = words + 5;
  argument_count = (u32)count - 5;
  for (u32 i = 0; i < argument_count; ++i) argument_bytes += strlen(arguments[i]) + 1;

  const stack_t faults = {.ss_sp = fault_stack, .ss_size = sizeof fault_stack};
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  action.sa_sigaction = on_fault;
  if (sigaltstack(&faults, NULL) || sigaction(SIGSEGV, &action, NULL) || sigaction(SIGBUS, &action, NULL))
    give_up(broken_setup);
  stack = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED || mprotect(stack + GUARD_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE))
    give_up(broken_setup);

  Z_m_init_module();
#ifdef HAS_IMPORTS
  Z_m_instantiate(&instance, NULL);
#else
  Z_m_instantiate(&instance);
#endif
  *fuel() = budget;
  getcontext(&start_of_run);
  start_of_run.uc_stack.ss_sp = stack + GUARD_BYTES;
  start_of_run.uc_stack.ss_size = STACK_BYTES;
  makecontext(&start_of_run, run, 0);
  setcontext(&start_of_run);
  give_up(broken_setup);
}
