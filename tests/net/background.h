// Coroutines that run beside a test.
#pragma once

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>

#include "base/runtime.h"
#include "base/sync.h"

namespace spatter {

/// Runs a coroutine to its end in the background; `done` is set then.
template <class T>
struct Background {
  explicit Background(Runtime& runtime) : done(runtime.executor()) {}
  Event done;
  std::optional<T> value;
  std::exception_ptr thrown;
  asio::cancellation_signal cancel;
};

template <class T>
std::shared_ptr<Background<T>> in_background(Runtime& runtime, Task<T> task) {
  auto background = std::make_shared<Background<T>>(runtime);
  asio::co_spawn(runtime.executor(), std::move(task),
                 asio::bind_cancellation_slot(background->cancel.slot(),
                                              [background](std::exception_ptr thrown, T value) {
                                                background->thrown = thrown;
                                                if (!thrown) background->value = std::move(value);
                                                background->done.set();
                                              }));
  return background;
}

}  // namespace spatter
