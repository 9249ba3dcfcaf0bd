// Where a coroutine goes on after it awaited a call.
#pragma once

#include <functional>

#include "lockstep/abi.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

// Runs what it is given later, once, on whatever thread it likes: `[&](auto work) { io.post(std::move(work));
// }`. It is called on the client's own thread, must not block, and must run all that it took before it is
// destroyed with the client. An empty one means the client's own thread, on which nothing may block: no
// wait(), no long computation.
using Executor = std::function<void(std::function<void()>)>;

}  // namespace lockstep::LOCKSTEP_INLINEv1
