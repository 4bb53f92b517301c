/* The first program inside a sandbox: gives itself the limits it is told, shuts itself off from all
 * files but those named (Landlock), says that it stands, and becomes the program it is told. It comes
 * into the sandbox as a file's bytes, so it needs no library and no file of its own.
 *
 * confine WORD... -- PROGRAM ARGUMENT...
 *   a|d|f|c|p|n NUMBER  a limit: address space, data, file size, CPU seconds, processes, open files
 *   r PATH              what may be read and executed; w PATH: what may be written too
 * Letter and value are one word: "c10", "r/usr". On descriptor 3 it writes 'b' just before it becomes
 * the program, and 'x' after that when there is no such program. Descriptor 5 is a handle of the process
 * outside with which it dies. */
#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

enum { status_fd = 3, keeper_fd = 5 };

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}
__asm__(".globl _start\n_start:\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call begin\n");
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}
__asm__(".globl _start\n_start:\n  mov x0, sp\n  bl begin\n");
#else
#error "no sandbox for this processor yet"
#endif

enum {
  o_path = 010000000, o_cloexec = 02000000, f_setfd = 2, fd_cloexec = 1, e_inval = 22,
  pr_set_pdeathsig = 1, pr_set_no_new_privs = 38, sig_kill = 9
};

static _Noreturn void give_up(int code) {
  for (;;) call(__NR_exit_group, code, 0, 0, 0);
}

/* A process of which a handle is readable has ended. */
static int has_ended(int handle) {
  struct { int fd; short events, revents; } one = {handle, 1, 0};
  const long now[2] = {0, 0};
  return call(__NR_ppoll, (long)&one, 1, (long)now, 0) == 1;
}

static uint64_t number(const char* text) {
  uint64_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + (uint64_t)(*text - '0');
  return value;
}

static int limit_named(char letter) {
  switch (letter) {
    case 'c': return 0;   /* RLIMIT_CPU */
    case 'f': return 1;   /* RLIMIT_FSIZE */
    case 'd': return 2;   /* RLIMIT_DATA */
    case 'p': return 6;   /* RLIMIT_NPROC */
    case 'n': return 7;   /* RLIMIT_NOFILE */
    case 'a': return 9;   /* RLIMIT_AS */
    default: return -1;
  }
}

/* Landlock, by number: the kernel's headers of the machine that builds may be older than its kernel. */
enum {
  landlock_create_ruleset = 444, landlock_add_rule = 445, landlock_restrict_self = 446,
  version_only = 1, beneath_path = 1
};
enum {
  execute = 1 << 0, write_file = 1 << 1, read_file = 1 << 2, read_folder = 1 << 3, truncate = 1 << 14,
  all_of_version_1 = (1 << 13) - 1, refer = 1 << 13, device_ioctl = 1 << 15
};
struct ruleset { uint64_t files, net, scoped; };
struct __attribute__((packed)) beneath { uint64_t allowed; int32_t parent; };

static uint64_t rights_of_version(long version) {
  uint64_t rights = all_of_version_1;
  if (version >= 2) rights |= refer;
  if (version >= 3) rights |= truncate;
  if (version >= 5) rights |= device_ioctl;
  return rights;
}

static void allow(long ruleset, const char* path, uint64_t rights, uint64_t rights_of_files) {
  const long at = call(__NR_openat, -100, (long)path, o_path | o_cloexec, 0);
  if (at < 0) return;  /* what is not there needs no rule */
  struct beneath rule = {rights, (int32_t)at};
  long result = call(landlock_add_rule, ruleset, beneath_path, (long)&rule, 0);
  if (result == -e_inval) {  /* a file: it has no rights of folders */
    rule.allowed = rights & rights_of_files;
    result = call(landlock_add_rule, ruleset, beneath_path, (long)&rule, 0);
  }
  if (result < 0) give_up(126);
  call(__NR_close, at, 0, 0, 0);
}

static void shut_off(char** words) {
  const long version = call(landlock_create_ruleset, 0, 0, version_only, 0);
  if (version < 1) return;  /* a kernel without it: the namespaces stand alone */
  const uint64_t rights = rights_of_version(version);
  const struct ruleset all = {rights, version >= 4 ? 3 : 0, version >= 6 ? 3 : 0};
  const long ruleset = call(landlock_create_ruleset, (long)&all, sizeof all, 0, 0);
  if (ruleset < 0) give_up(126);
  const uint64_t files = rights & (execute | write_file | read_file | truncate | device_ioctl);
  for (; words[0][0] != '-'; ++words) {
    if (words[0][0] == 'r') allow(ruleset, words[0] + 1, execute | read_file | read_folder, files);
    if (words[0][0] == 'w') allow(ruleset, words[0] + 1, rights & ~(uint64_t)execute, files);
  }
  if (call(landlock_restrict_self, ruleset, 0, 0, 0) < 0) give_up(126);
  call(__NR_close, ruleset, 0, 0, 0);
}

__attribute__((used)) _Noreturn void begin(long* stack) {
  const long count = stack[0];
  char** words = (char**)(stack + 1) + 1;
  char** environment = (char**)(stack + 1) + count + 1;
  call(__NR_prctl, pr_set_pdeathsig, sig_kill, 0, 0);
  if (call(__NR_prctl, pr_set_no_new_privs, 1, 0, 0) < 0) give_up(126);
  long at = 0;
  while (at < count - 1 && words[at][0] != '-') ++at;
  if (at + 1 >= count - 1) give_up(126);
  shut_off(words);
  for (long i = 0; i < at; ++i) {
    const int which = limit_named(words[i][0]);
    if (which < 0) continue;
    const uint64_t both[2] = {number(words[i] + 1), number(words[i] + 1)};
    if (call(__NR_prlimit64, 0, which, (long)both, 0) < 0) give_up(126);
  }
  /* Whoever went before this process asked to be killed with it would have left it running for ever. */
  if (has_ended(keeper_fd)) give_up(126);
  call(__NR_close, keeper_fd, 0, 0, 0);
  call(__NR_fcntl, status_fd, f_setfd, fd_cloexec, 0);
  call(__NR_write, status_fd, (long)"b", 1, 0);
  char** line = words + at + 1;
  call(__NR_execve, (long)line[0], (long)line, (long)environment, 0);
  call(__NR_write, status_fd, (long)"x", 1, 0);
  give_up(127);
}
