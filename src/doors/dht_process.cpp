#include "doors/dht_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/read_until.hpp>
#include <asio/streambuf.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <filesystem>

#include "base/sync.h"

extern char** environ;

namespace spatter::doors {
namespace {

using namespace std::chrono_literals;

constexpr Duration answer_within = 60s;
constexpr Duration restart_after = 10s;
constexpr std::size_t calls_max = 64;
constexpr std::size_t values_max = 64;

struct Call {
  explicit Call(asio::any_io_executor executor) : over(std::move(executor)) {}
  Event over;
  std::vector<Bytes> values;
  std::optional<Error> error;
};

/// One run of the program.
struct Child : std::enable_shared_from_this<Child> {
  explicit Child(const asio::any_io_executor& executor) : in(executor), out(executor) {}
  ~Child() { end(); }
  void end() {
    if (pid <= 0) return;
    asio::error_code ignored;
    in.close(ignored);
    out.close(ignored);
    ::kill(pid, SIGKILL);  // it keeps nothing that could be lost
    ::waitpid(std::exchange(pid, -1), nullptr, 0);
  }
  pid_t pid = -1;
  asio::posix::stream_descriptor in;   ///< what it reads
  asio::posix::stream_descriptor out;  ///< what it writes
  std::deque<std::string> unsent;
  bool writing = false;
};

class DhtProcess final : public PublicDht {
 public:
  DhtProcess(Runtime& runtime, std::string program, std::vector<Address> nodes)
      : runtime_(runtime), program_(std::move(program)), nodes_(std::move(nodes)), tasks_(runtime.executor()) {}

  Task<Result<void>> put(Place place, Bytes value) override {
    CO_TRY_VOID(co_await ask("put", to_hex(place) + " " + to_hex(value)));
    co_return Result<void>{};
  }
  Task<Result<std::vector<Bytes>>> get(Place place) override {
    return ask("get", to_hex(place));
  }
  Task<void> stop() override {
    stopped_ = true;
    fail_all({Errc::cancelled, "this server is stopping"});
    if (auto child = std::exchange(child_, nullptr)) child->end();
    co_await tasks_.stop();
  }

 private:
  Task<Result<std::vector<Bytes>>> ask(std::string verb, std::string rest) {
    if (stopped_) co_return fail(Errc::cancelled, "this server is stopping");
    if (calls_.size() >= calls_max) co_return fail(Errc::busy, "too much is asked of {}", program_);
    CO_TRY_VOID(ensure_running());
    const std::string id = std::to_string(next_++);
    auto call = std::make_shared<Call>(runtime_.executor());
    calls_[id] = call;
    struct Forget {
      std::map<std::string, std::shared_ptr<Call>>& calls;
      const std::string& id;
      ~Forget() { calls.erase(id); }
    } forget{calls_, id};
    child_->unsent.push_back(fmt::format("{} {} {}\n", verb, id, rest));
    if (!std::exchange(child_->writing, true)) tasks_.spawn(write(child_));
    CO_TRY_VOID(co_await with_deadline(runtime_, runtime_.now() + answer_within, program_, wait(call)));
    if (call->error) co_return fail(*call->error);
    co_return std::move(call->values);
  }

  static Task<Result<void>> wait(std::shared_ptr<Call> call) {
    co_await call->over.wait();
    co_return Result<void>{};
  }

  Result<void> ensure_running() {
    if (child_) return {};
    if (started_ && runtime_.now() < *started_ + restart_after)
      return fail(Errc::unavailable, "{} has ended", program_);
    started_ = runtime_.now();
    int to[2], from[2];
    if (::pipe2(to, O_CLOEXEC) != 0) return fail(from_errno(errno, "make a pipe"));
    if (::pipe2(from, O_CLOEXEC) != 0) {
      ::close(to[0]);
      ::close(to[1]);
      return fail(from_errno(errno, "make a pipe"));
    }
    std::vector<std::string> words{program_};
    for (const Address& node : nodes_) words.push_back(node.text());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    auto child = std::make_shared<Child>(runtime_.executor());
    const int failed = posix_spawn(&child->pid, program_.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(to[0]);
    ::close(from[1]);
    child->in.assign(to[1]);
    child->out.assign(from[0]);
    if (failed != 0) {
      child->pid = -1;
      return fail(from_errno(failed, "start " + program_));
    }
    child_ = child;
    tasks_.spawn(read(child));
    return {};
  }

  Task<void> write(std::shared_ptr<Child> child) {
    while (!child->unsent.empty()) {
      const std::string line = std::move(child->unsent.front());
      child->unsent.pop_front();
      asio::error_code error;
      co_await asio::async_write(child->in, asio::buffer(line), asio::redirect_error(asio::use_awaitable, error));
      if (error) break;  // reading tells
    }
    child->writing = false;
  }

  Task<void> read(std::shared_ptr<Child> child) {
    asio::streambuf buffer(dht_line_bytes_max);
    asio::error_code error;
    for (;;) {
      const std::size_t length = co_await asio::async_read_until(
          child->out, buffer, '\n', asio::redirect_error(asio::use_awaitable, error));
      if (error) break;
      const auto* text = static_cast<const char*>(buffer.data().data());
      auto line = parse_dht_line(std::string_view(text, length - 1));
      buffer.consume(length);
      if (!line) {
        runtime_.log().warning("{} said {}", program_, line.error().message);
        break;
      }
      take(std::move(*line));
    }
    if (child_ != child) co_return;
    runtime_.log().warning("{} has ended", program_);
    child_ = nullptr;
    child->end();
    fail_all({Errc::unavailable, program_ + " has ended"});
  }

  void take(DhtLine line) {
    if (line.kind == DhtLine::Kind::ready)
      return runtime_.log().info("in the public DHT, at UDP port {}", line.text);
    const auto found = calls_.find(line.id);
    if (found == calls_.end()) return;
    Call& call = *found->second;
    if (line.kind == DhtLine::Kind::value) {
      if (call.values.size() < values_max) call.values.push_back(std::move(line.value));
      return;
    }
    if (line.kind == DhtLine::Kind::failed) call.error = Error{Errc::unavailable, "the public DHT: " + line.text};
    call.over.set();
  }

  void fail_all(const Error& error) {
    for (auto& [id, call] : calls_) {
      if (!call->error) call->error = error;
      call->over.set();
    }
  }

  Runtime& runtime_;
  const std::string program_;
  const std::vector<Address> nodes_;
  std::shared_ptr<Child> child_;
  std::optional<TimePoint> started_;
  std::map<std::string, std::shared_ptr<Call>> calls_;
  std::uint64_t next_ = 1;
  bool stopped_ = false;
  TaskGroup tasks_;
};

}  // namespace

std::shared_ptr<PublicDht> make_dht_process(Runtime& runtime, std::string program, std::vector<Address> nodes) {
  return std::make_shared<DhtProcess>(runtime, std::move(program), std::move(nodes));
}

std::string dht_program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "spatter-rendezvous").string();
}

}  // namespace spatter::doors
