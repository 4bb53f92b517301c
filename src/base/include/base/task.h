// Coroutines: Task<T> is a lazy coroutine on the Runtime's executor.
//
// Rules that keep them safe: a coroutine's reference parameters must outlive it (pass by value what
// is spawned); a lambda coroutine with captures must outlive its run (pass state as parameters
// instead); no lock or iterator is held across co_await unless nothing else can change what it
// guards.
#pragma once

#include <asio/awaitable.hpp>

#include "base/error.h"

namespace spatter {

template <class T = void>
using Task = asio::awaitable<T>;

}  // namespace spatter
