#include "sim/world.h"

#include <asio/associated_cancellation_slot.hpp>
#include <asio/async_result.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>

namespace spatter::sim {
namespace {

constexpr std::size_t notes_kept = 400;
constexpr std::uint64_t handlers_at_one_time_max = 50'000'000;

// FNV-1a, 64 bits: enough to tell two runs apart.
constexpr std::uint64_t fnv_start = 0xcbf29ce484222325;
std::uint64_t fnv(std::uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

World::World(std::uint64_t seed) : seed_(seed), random_(seed), record_hash_(fnv_start) {}

World::~World() = default;

World::EventId World::at(TimePoint when, std::move_only_function<void()> event) {
  const EventId id = next_event_++;
  when = std::max(when, now_);
  queue_.emplace(Key{when, id}, std::move(event));
  times_.emplace(id, when);
  return id;
}

void World::cancel(EventId id) {
  const auto time = times_.find(id);
  if (time == times_.end()) return;
  const auto place = queue_.find(Key{time->second, id});
  // Out of the queue before it dies: what it owns may call us.
  const auto dropped = std::move(place->second);
  queue_.erase(place);
  times_.erase(time);
}

Task<void> World::sleep_until(TimePoint when) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(asio::error_code)>(
      [this, when](auto handler) {
        using Handler = decltype(handler);
        struct Sleeper {
          Handler handler;
          EventId event = 0;
        };
        auto slot = asio::get_associated_cancellation_slot(handler);
        auto sleeper = std::make_shared<Sleeper>(std::move(handler));
        const auto resume = [this, sleeper](asio::error_code error) {
          asio::post(context_, [handler = std::move(sleeper->handler), error]() mutable {
            std::move(handler)(error);
          });
        };
        sleeper->event = at(when, [slot, resume]() mutable {
          if (slot.is_connected()) slot.clear();
          resume({});
        });
        if (slot.is_connected()) {
          slot.assign([this, slot, resume, event = sleeper->event](asio::cancellation_type) {
            // clear() destroys this lambda: keep what is still needed on the stack.
            auto* world = this;
            const auto then = resume;
            const EventId cancelled = event;
            auto own = slot;
            own.clear();
            world->cancel(cancelled);
            then(asio::error::operation_aborted);
          });
        }
      },
      asio::use_awaitable);
}

Task<void> World::sleep_through(Duration duration) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(asio::error_code)>(
      [this, duration](auto handler) {
        after(duration, [this, handler = std::move(handler)]() mutable {
          asio::post(context_, [handler = std::move(handler)]() mutable {
            std::move(handler)(asio::error_code());
          });
        });
      },
      asio::use_awaitable);
}

bool World::step(TimePoint not_after) {
  context_.restart();
  if (context_.poll_one() > 0) {
    SPATTER_ASSERT(++handlers_at_this_time_ < handlers_at_one_time_max);  // else time stands still
    return true;
  }
  handlers_at_this_time_ = 0;
  if (queue_.empty() || queue_.begin()->first.first > not_after) return false;
  const auto next = queue_.begin();
  auto event = std::move(next->second);
  now_ = next->first.first;
  times_.erase(next->first.second);
  queue_.erase(next);
  ++events_;
  const std::int64_t ns = now_.time_since_epoch().count();
  record_hash_ = fnv(record_hash_, {reinterpret_cast<const char*>(&ns), sizeof ns});
  event();
  return true;
}

bool World::run_until(const std::function<bool()>& done, Duration limit) {
  const TimePoint end = now_ + limit;
  while (!done())
    if (!step(end)) return false;
  return true;
}

void World::run_for(Duration duration) {
  const TimePoint end = now_ + duration;
  while (step(end)) {
  }
  now_ = end;
}

bool World::wait_for(Task<void> task, Duration limit) {
  const auto with_value = [](Task<void> task) -> Task<bool> {
    co_await std::move(task);
    co_return true;
  };
  return wait_for<bool>(with_value(std::move(task)), limit).has_value();
}

void World::note(std::string_view text) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch());
  std::string line =
      fmt::format("{:6}.{:06} {}", us.count() / 1'000'000, us.count() % 1'000'000, text);
  record_hash_ = fnv(fnv(record_hash_, line), "\n");
  if (print_) print_(line);
  notes_.push_back(std::move(line));
  if (notes_.size() > notes_kept) notes_.pop_front();
}

std::vector<std::string> World::newest_notes() const { return {notes_.begin(), notes_.end()}; }

}  // namespace spatter::sim
