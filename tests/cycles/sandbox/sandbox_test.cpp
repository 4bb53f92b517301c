// What a program can do inside the sandbox, tried from inside by real programs; and how it ends.
#include "cycles/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "../../base/temporary_folder.h"

namespace spatter::cycles {
namespace {

/// Machines that run tests may be busy.
SandboxJob patient(std::vector<std::string> line) {
  SandboxJob job;
  job.line = std::move(line);
  job.limits.wall = std::chrono::minutes(2);
  job.limits.cpu_seconds = 60;
  return job;
}

SandboxJob python(const std::string& program) {
  return patient({"/usr/bin/python3", "-S", "-c", R"(
import os, socket, subprocess, threading, ctypes
def attempt(what):
    try:
        return repr(what())
    except Exception as e:
        return type(e).__name__
)" + program});
}

std::string output_of(const SandboxJob& job) {
  const auto end = run_sandboxed(job);
  if (!end) return end.error().message;
  return end->ended_well() ? end->output
                           : fmt::format("{} {}: {}", to_string(end->how), end->code, end->complaints);
}

Descriptor handle_of(pid_t pid) { return Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }
bool is_over(const Descriptor& process) {
  pollfd one{process.get(), POLLIN, 0};
  return ::poll(&one, 1, 120'000) == 1;
}

pid_t process_of(Sandboxed& sandboxed) {
  for (;;) {
    if (const auto process = sandboxed.process()) return *process;
    std::this_thread::yield();
  }
}

/// What /proc says of a process: 'T' when it is stopped.
char state_of(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  const std::string line((std::istreambuf_iterator<char>(in)), {});
  const auto name_ends = line.rfind(')');
  return name_ends == std::string::npos ? '?' : line[name_ends + 2];
}

TEST(Sandbox, AProgramsOutputStatusAndComplaintsComeBack) {
  const auto end = run_sandboxed(patient({"/usr/bin/sh", "-c", "echo out; echo err >&2; exit 7"}));
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(end->how, SandboxHow::exited);
  EXPECT_EQ(end->code, 7);
  EXPECT_EQ(end->output, "out\n");
  EXPECT_EQ(end->complaints, "err\n");
}

/// All of it is taken, so that it goes on; of four megabytes the first 64 KiB are kept.
TEST(Sandbox, OfManyComplaintsTheFirstAreKept) {
  const auto end = run_sandboxed(python("for i in range(1000): os.write(2, b'c' * 4096)\nprint('out')\n"));
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_TRUE(end->ended_well());
  EXPECT_EQ(end->output, "out\n");
  EXPECT_EQ(end->complaints, std::string(64 << 10, 'c'));
  auto endless = python("while True: os.write(2, b'c' * 4096)\n");
  endless.limits.wall = std::chrono::seconds(1);
  const auto late = run_sandboxed(endless);
  ASSERT_TRUE(late) << late.error().message;
  EXPECT_EQ(late->how, SandboxHow::wall_time_out);
}

TEST(Sandbox, ThereIsNothingInItButTheGivenFiles) {
  TemporaryFolder folder;
  const auto input = folder.path() + "/input", output = folder.path() + "/output";
  std::ofstream(input) << "from a path";
  std::ofstream(output) << "";
  const auto data = file_of(as_bytes("from a descriptor"), "data");
  ASSERT_TRUE(data);
  auto job = python(R"(
print(open('/a').read(), '|', open('/b').read())
print([p for p in ('/home', '/root', '/tmp', '/proc', '/dev', '/sys', '/etc/passwd', '/var') if os.path.exists(p)])
print(attempt(lambda: open('/a', 'w')), attempt(lambda: open('/b', 'w')), attempt(lambda: open('/new', 'w')),
      attempt(lambda: open('/usr/new', 'w')), attempt(lambda: os.listdir('/')))
print(attempt(lambda: open('/etc/passwd')))
open('/c', 'w').write('written')
print(sorted(k for k in os.environ if k not in ('PWD', 'LC_CTYPE')))
)");
  job.files = {{.inside = "/a", .fd = data->get()},
               {.inside = "/b", .outside = input},
               {.inside = "/c", .outside = output, .writable = true}};
  job.environment = {{"KEY", "value"}};
  EXPECT_EQ(output_of(job),
            "from a descriptor | from a path\n[]\n"
            "OSError OSError OSError OSError PermissionError\n"
            "FileNotFoundError\n['KEY']\n");
  std::ifstream written(output);
  EXPECT_EQ(std::string((std::istreambuf_iterator<char>(written)), {}), "written");
}

TEST(Sandbox, ItReachesNobody) {
  EXPECT_EQ(output_of(python(R"(
print(attempt(lambda: socket.socket()), attempt(lambda: socket.socketpair()),
      attempt(lambda: socket.create_connection(('127.0.0.1', 22))))
print(attempt(lambda: os.kill(1, 9)), attempt(lambda: os.setsid()), attempt(lambda: os.setpgid(0, 0)))
libc = ctypes.CDLL('libc.so.6', use_errno=True)
print(libc.unshare(0x10000000), libc.ptrace(0, 0, 0, 0), libc.mount(b'none', b'/usr', b'tmpfs', 0, None))
)")),
            "PermissionError PermissionError PermissionError\n"
            "PermissionError PermissionError PermissionError\n-1 -1 -1\n");
}

TEST(Sandbox, ItStartsNoProcessesButThreads) {
  EXPECT_EQ(output_of(python(R"(
print(attempt(lambda: os.fork()), attempt(lambda: subprocess.run(['/usr/bin/true'])))
thread = threading.Thread(target=lambda: print('a thread'))
thread.start(); thread.join()
)")),
            "PermissionError PermissionError\na thread\n");
}

TEST(Sandbox, WhereProcessesAreAllowedTheyAreCounted) {
  auto job = python(R"(
def bomb():
    children = 0
    try:
        while children < 100:
            if os.fork() == 0:
                import signal
                signal.pause()
            children += 1
    except BlockingIOError:
        pass
    return children
print(bomb())
)");
  job.limits.processes_max = 10;
  const auto children = output_of(job);
  // No such limit binds a superuser; nothing outlives the sandbox in any case.
  if (::geteuid() == 0) EXPECT_EQ(children, "100\n");
  else EXPECT_LE(std::stoi(children), 9);
}

TEST(Sandbox, MemoryAndFilesAreLimited) {
  auto job = python(R"(
print(attempt(lambda: len(bytearray(2 << 30))))
def fill():
    with open('/tmp/file', 'wb') as file: file.write(b'x' * 2_000_000)
print(attempt(fill), os.path.getsize('/tmp/file'))
)");
  job.scratch_bytes_max = 16 << 20;
  EXPECT_EQ(output_of(job), "MemoryError\nOSError 1048576\n");
}

TEST(Sandbox, SayingTooMuchIsAnError) {
  EXPECT_EQ(output_of(patient({"/usr/bin/yes"})), "/usr/bin/yes says more than 1048576 bytes");
}

TEST(Sandbox, CpuTimeIsLimitedAndTold) {
  auto job = patient({"/usr/bin/sh", "-c", "while :; do :; done"});
  job.limits.cpu_seconds = 1;
  const auto end = run_sandboxed(job);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(end->how, SandboxHow::cpu_time_out);
  EXPECT_GE(end->cpu, std::chrono::milliseconds(500));  // the kernel counts ticks
}

TEST(Sandbox, WallTimeIsLimited) {
  auto job = patient({"/usr/bin/sleep", "1000"});
  job.limits.wall = std::chrono::milliseconds(50);
  const auto end = run_sandboxed(job);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(end->how, SandboxHow::wall_time_out);
}

TEST(Sandbox, ASignalIsTold) {
  const auto end = run_sandboxed(patient({"/usr/bin/python3", "-S", "-c", "import ctypes; ctypes.string_at(1)"}));
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(end->how, SandboxHow::signalled);
  EXPECT_EQ(end->code, SIGSEGV);
}

TEST(Sandbox, ItsGroupIsStoppedAndResumedAndKilledStopped) {
  auto job = patient({"/usr/bin/sh", "-c", "while :; do :; done"});
  auto running = Sandboxed::start(job);
  ASSERT_TRUE(running) << running.error().message;
  const auto process = process_of(*running);
  const auto handle = handle_of(process);
  running->stop();
  while (state_of(process) != 'T') std::this_thread::yield();
  const auto cpu = running->cpu();
  ASSERT_TRUE(cpu);
  running->resume();
  while (state_of(process) == 'T') std::this_thread::yield();
  while (*running->cpu() == *cpu) std::this_thread::yield();
  running->stop();
  while (state_of(process) != 'T') std::this_thread::yield();
  running->kill();
  const auto end = running->wait();
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(end->how, SandboxHow::killed);
  EXPECT_TRUE(is_over(handle));
}

TEST(Sandbox, WhatIsDroppedIsKilled) {
  std::optional<Descriptor> handle;
  {
    auto running = Sandboxed::start(patient({"/usr/bin/sleep", "1000"}));
    ASSERT_TRUE(running) << running.error().message;
    handle.emplace(handle_of(process_of(*running)));
  }
  EXPECT_TRUE(is_over(*handle));
}

TEST(Sandbox, ItDiesWithTheProcessThatStartedIt) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const auto parent = ::fork();
  if (parent == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl(SANDBOX_PARENT, SANDBOX_PARENT, nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  char text[32] = {};
  ASSERT_GT(::read(ends[0], text, sizeof text - 1), 0);
  const auto process = handle_of(std::atoi(text));
  ASSERT_TRUE(process);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_TRUE(is_over(process));
}

TEST(Sandbox, NothingRunsWhereNoneCanBeMade) {
  TemporaryFolder folder;
  auto job = patient({"/usr/bin/true"});
  job.bwrap = folder.path() + "/none";
  EXPECT_TRUE(output_of(job).contains("none is missing"));
  job.bwrap = folder.path() + "/forbidden";
  std::ofstream(job.bwrap) << "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n";
  ::chmod(job.bwrap.c_str(), 0700);
  EXPECT_EQ(output_of(job), "no sandbox can be made (bwrap: No permissions to create new namespace)");
}

TEST(Sandbox, JobsThatMakeNoSenseAreNamed) {
  EXPECT_EQ(output_of(patient({})), "a sandboxed program needs its path inside");
  EXPECT_EQ(output_of(patient({"true"})), "a sandboxed program needs its path inside");
  EXPECT_EQ(output_of(patient({"/usr/bin/nothing"})), "/usr/bin/nothing cannot be run in a sandbox");
  auto job = patient({"/usr/bin/true"});
  job.files = {{.inside = "/a"}};
  EXPECT_EQ(output_of(job), "the file '/a' of a sandbox has not one source");
  job = patient({"/usr/bin/true", std::string("a\0b", 3)});
  EXPECT_EQ(output_of(job), "an argument with a zero byte");
}

}  // namespace
}  // namespace spatter::cycles
