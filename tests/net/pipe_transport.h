// A Transport inside one process, for tests: frames move between queues, and the test may cut a
// connection, let it go silent, or hold its frames back.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "base/runtime.h"
#include "base/sync.h"
#include "base/transport.h"

namespace spatter {

class PipeTransport;

/// All the PipeTransports that can reach one another.
struct PipeNetwork {
  explicit PipeNetwork(Runtime& runtime) : runtime(runtime) {}
  Runtime& runtime;
  std::map<std::uint16_t, PipeTransport*> listening;
  std::uint16_t next_port = 1;
  std::size_t dials = 0;
};

/// One direction of a connection.
struct Pipe {
  explicit Pipe(asio::any_io_executor executor) : changed(executor) {}
  std::deque<Buffer> frames;
  std::size_t bytes = 0;
  bool closed = false;
  bool silent = false;  // swallows everything
  WaitQueue changed;
};

class PipeConnection final : public Connection {
 public:
  PipeConnection(ServerId peer, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out)
      : in(std::move(in)), out(std::move(out)), peer_(peer) {}
  ~PipeConnection() override { close(); }
  ServerId peer() const override { return peer_; }
  Bytes peer_key() const override { return Bytes(32); }
  Address remote() const override { return {"pipe", 1}; }

  Task<Result<void>> send(std::vector<std::vector<Buffer>> frames) override {
    auto pipe = out;
    if (pipe->closed) co_return fail(Errc::unavailable, "the pipe is closed");
    for (auto& pieces : frames) {
      Bytes whole;
      for (const Buffer& piece : pieces)
        whole.insert(whole.end(), piece.view().begin(), piece.view().end());
      SPATTER_ASSERT(!whole.empty() && whole.size() <= frame_bytes_max);
      if (pipe->silent) continue;
      pipe->bytes += whole.size();
      pipe->frames.push_back(Buffer::take(std::move(whole)));
    }
    pipe->changed.wake_all();
    while (pipe->bytes > capacity && !pipe->closed) co_await pipe->changed.wait();
    if (pipe->closed) co_return fail(Errc::unavailable, "the pipe is closed");
    co_return Result<void>{};
  }

  Task<Result<std::vector<Buffer>>> receive() override {
    auto pipe = in;
    while (pipe->frames.empty() && !pipe->closed) co_await pipe->changed.wait();
    if (pipe->closed) co_return fail(Errc::unavailable, "the pipe is closed");
    std::vector<Buffer> frames(pipe->frames.begin(), pipe->frames.end());
    pipe->frames.clear();
    pipe->bytes = 0;
    pipe->changed.wake_all();
    co_return frames;
  }

  void close() override {
    for (auto& pipe : {in, out}) {
      pipe->closed = true;
      pipe->changed.wake_all();
    }
  }

  static constexpr std::size_t capacity = 1 << 20;
  std::shared_ptr<Pipe> in, out;

 private:
  ServerId peer_;
};

class PipeTransport final : public Transport {
 public:
  PipeTransport(PipeNetwork& network, ServerId id) : network_(network), id_(id) {}
  ~PipeTransport() override { forget(); }

  Result<Address> listen(const Address& address, Accept accept) override {
    port_ = address.port != 0 ? address.port : network_.next_port++;
    accept_ = std::move(accept);
    network_.listening[port_] = this;
    return Address{"pipe", port_};
  }

  Task<Result<std::shared_ptr<Connection>>> connect(Address address, ServerId expected,
                                                    TimePoint) override {
    ++network_.dials;
    const auto found = network_.listening.find(address.port);
    if (found == network_.listening.end())
      co_return fail(Errc::unavailable, "{}: connection refused", address.text());
    PipeTransport& there = *found->second;
    if (!expected.is_zero() && there.id_ != expected)
      co_return fail(Errc::denied, "{} answers there", there.id_);
    auto up = std::make_shared<Pipe>(network_.runtime.executor());
    auto down = std::make_shared<Pipe>(network_.runtime.executor());
    auto mine = std::make_shared<PipeConnection>(there.id_, down, up);
    auto theirs = std::make_shared<PipeConnection>(id_, up, down);
    made.push_back(mine);
    there.made.push_back(theirs);
    asio::post(network_.runtime.executor(),
               [accept = there.accept_, theirs] { accept(theirs); });
    co_return mine;
  }

  Task<void> stop() override {
    forget();
    for (auto& weak : made)
      if (auto connection = weak.lock()) connection->close();
    co_return;
  }

  std::vector<std::weak_ptr<PipeConnection>> made;

 private:
  void forget() {
    const auto found = network_.listening.find(port_);
    if (found != network_.listening.end() && found->second == this) network_.listening.erase(found);
  }

  PipeNetwork& network_;
  ServerId id_;
  std::uint16_t port_ = 0;
  Accept accept_;
};

}  // namespace spatter
