#include "filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "cycles/sandbox.h"

namespace spatter::cycles {

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
constexpr std::uint32_t foreign_calls_from = 0x40000000;  // x32's
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
constexpr std::uint32_t foreign_calls_from = 0xffffffff;
#else
constexpr std::uint32_t architecture = 0;
constexpr std::uint32_t foreign_calls_from = 0;
#endif

/// Talking to others, looking into other processes, leaving the process group, changing what the
/// sandbox sees, and the parts of the kernel in which holes have been found most often.
constexpr int refused[] = {
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept4, SYS_sendmsg, SYS_sendto,
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd, SYS_kill,
    SYS_setsid, SYS_setpgid,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns,
    SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_keyctl, SYS_add_key, SYS_request_key,
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon,
    SYS_acct, SYS_quotactl, SYS_personality, SYS_syslog};

constexpr std::uint32_t refuse = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t unknown = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::uint32_t new_spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

void answer(std::vector<sock_filter>& code, int call, std::uint32_t what) {
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, what));
}

std::vector<sock_filter> instructions(MayFork may_fork) {
  std::vector<sock_filter> code = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, foreign_calls_from, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  for (const int call : refused) answer(code, call, refuse);
  // Its arguments lie in memory, where no filter can look: the C library then falls back on clone.
  answer(code, SYS_clone3, unknown);
#if defined(SYS_fork)
  if (may_fork == MayFork::no) {
    answer(code, SYS_fork, refuse);
    answer(code, SYS_vfork, refuse);
  }
#endif
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, new_spaces, 0, 1));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
  if (may_fork == MayFork::no) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return code;
}

}  // namespace

Result<Descriptor> sandbox_filter(MayFork may_fork) {
  if (architecture == 0) return Descriptor();
  const auto code = instructions(may_fork);
  return file_of({reinterpret_cast<const std::uint8_t*>(code.data()), code.size() * sizeof(sock_filter)},
                 "seccomp");
}

}  // namespace spatter::cycles
