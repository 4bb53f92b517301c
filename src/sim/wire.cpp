#include "wire.h"

namespace spatter::sim {
namespace {

constexpr std::uint64_t window_bytes = 4 << 20;  // sent and not yet received, one direction

Buffer joined(std::vector<Buffer>& pieces) {
  if (pieces.size() == 1) return std::move(pieces[0]);
  std::size_t size = 0;
  for (const Buffer& piece : pieces) size += piece.size();
  Buffer frame = Buffer::allocate(size);
  std::size_t at = 0;
  for (const Buffer& piece : pieces) {
    if (!piece.empty()) std::memcpy(frame.mutable_data() + at, piece.data(), piece.size());
    at += piece.size();
  }
  return frame;
}

/// Other bytes: some flipped, cut off or added to.
Buffer garbled(const Buffer& frame, SeededRandom& random) {
  Bytes bytes = to_bytes(frame);
  switch (random.below(3)) {
    case 0: bytes.resize(random.below(bytes.size() + 1)); break;
    case 1: bytes.resize(bytes.size() + random.below(64)); break;
    default: break;
  }
  for (std::uint64_t i = 1 + random.below(8); i > 0 && !bytes.empty(); --i)
    bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.below(256));
  return Buffer::take(std::move(bytes));
}

}  // namespace

Wire::Wire(World& world, Network& network, std::uint64_t number, std::unique_ptr<WireEnd> dialler,
           std::unique_ptr<WireEnd> acceptor)
    : world(world),
      network(network),
      number(number),
      ends{std::move(dialler), std::move(acceptor)} {}

TimePoint Wire::arrival_at(unsigned to, TimePoint left) {
  WireEnd& end = *ends[to];
  const MachineId from = ends[1 - to]->machine;
  const Duration delay = via ? network.delay(from, *via) + network.delay(*via, end.machine)
                             : network.delay(from, end.machine);
  end.last_arrival = std::max(end.last_arrival, left + delay);
  return end.last_arrival;
}

bool Wire::is_cut(unsigned to) const {
  const MachineId from = ends[1 - to]->machine;
  const MachineId there = ends[to]->machine;
  return via ? network.is_cut(from, *via) || network.is_cut(*via, there)
             : network.is_cut(from, there);
}

void Wire::carry(unsigned to, Buffer frame) {
  const MachineId from = ends[1 - to]->machine;
  const auto garbage = network.garbage_.find(from);
  if (garbage != network.garbage_.end() && world.random().unit() < garbage->second) {
    world.note(fmt::format("wire {} garbage from m{}", number, from));
    ends[to]->unread_bytes -= frame.size();
    frame = garbled(frame, world.random());
    ends[to]->unread_bytes += frame.size();
  }
  const TimePoint left =
      network.leave_at(from, frame.size()) + take_all(rates, frame.size(), world.now());
  carried += frame.size();
  world.at(arrival_at(to, left), [self = shared_from_this(), to, frame = std::move(frame)]() mutable {
    self->arrive(to, std::move(frame));
  });
}

void Wire::arrive(unsigned to, Buffer frame) {
  WireEnd& end = *ends[to];
  if (end.over) return;
  if (!end.held.empty() || is_cut(to))
    return hold(to, std::move(frame));
  network.bytes_carried_ += frame.size();
  if (frame.size() > frame_bytes_max) return break_both("a frame longer than allowed arrived");
  end.arrived.push_back(std::move(frame));
  end.readable.wake_all();
}

void Wire::hold(unsigned to, Buffer frame) {
  WireEnd& end = *ends[to];
  if (end.held.empty()) {
    end.held_since = world.now();
    world.after(Network::give_up_after, [self = shared_from_this(), to, since = world.now()] {
      const WireEnd& waiting = *self->ends[to];
      if (!waiting.held.empty() && waiting.held_since == since)
        self->break_both("no answer from the other end for too long");
    });
  }
  end.held.push_back(std::move(frame));
}

void Wire::resume() {
  for (unsigned to = 0; to < 2; ++to) {
    WireEnd& end = *ends[to];
    if (end.over || is_cut(to)) continue;
    for (Buffer& frame : std::exchange(end.held, {}))
      world.at(arrival_at(to, world.now()),
               [self = shared_from_this(), to, frame = std::move(frame)]() mutable {
                 self->arrive(to, std::move(frame));
               });
  }
}

void Wire::end(unsigned side, std::string_view why) {
  WireEnd& here = *ends[side];
  if (here.over) return;
  here.over = Error{Errc::unavailable,
                    fmt::format("connection with {}: {}", ends[1 - side]->address.text(), why)};
  here.arrived.clear();
  here.held.clear();
  here.readable.wake_all();
  ends[1 - side]->writable.wake_all();
  if (!is_over()) return;
  network.wires_.erase(number);
  if (auto tell = std::exchange(on_over, nullptr)) tell();
}

void Wire::close(unsigned side) {
  if (ends[side]->over) return;
  end(side, "closed");
  const unsigned other = 1 - side;
  if (ends[other]->over) return;
  world.at(arrival_at(other, world.now()), [self = shared_from_this(), other] {
    const WireEnd& there = *self->ends[other];
    if (there.over) return;
    if (self->is_cut(other)) {
      // The news is lost too; the other end gives up by itself.
      self->world.after(Network::give_up_after, [self, other] {
        self->end(other, "no answer from the other end for too long");
      });
      return;
    }
    // What arrived before may still be received.
    self->world.note(fmt::format("wire {} closed", self->number));
    self->finish(other);
  });
}

void Wire::finish(unsigned side) {
  WireEnd& here = *ends[side];
  if (here.over) return;
  auto arrived = std::exchange(here.arrived, {});
  end(side, "closed by the other end");
  here.arrived = std::move(arrived);
}

void Wire::break_both(std::string_view why) {
  const auto self = shared_from_this();
  if (is_over()) return;
  world.note(fmt::format("wire {} broken: {}", number, why));
  end(0, why);
  end(1, why);
}

Task<Result<void>> SimConnection::send(std::vector<std::vector<Buffer>> frames) {
  const auto wire = wire_;
  const unsigned side = side_;
  WireEnd& here = *wire->ends[side];
  WireEnd& there = *wire->ends[1 - side];
  for (std::vector<Buffer>& pieces : frames) {
    while (!here.over && there.unread_bytes > window_bytes) co_await there.writable.wait();
    if (here.over) co_return fail(*here.over);
    Buffer frame = joined(pieces);
    there.unread_bytes += frame.size();
    wire->carry(1 - side, std::move(frame));
  }
  co_return Result<void>();
}

Task<Result<std::vector<Buffer>>> SimConnection::receive() {
  const auto wire = wire_;
  WireEnd& here = *wire->ends[side_];
  while (here.arrived.empty()) {
    if (here.over) co_return fail(*here.over);
    co_await here.readable.wait();
  }
  std::vector<Buffer> frames(std::make_move_iterator(here.arrived.begin()),
                             std::make_move_iterator(here.arrived.end()));
  here.arrived.clear();
  for (const Buffer& frame : frames) here.unread_bytes -= frame.size();
  here.writable.wake_all();
  co_return frames;
}

}  // namespace spatter::sim
