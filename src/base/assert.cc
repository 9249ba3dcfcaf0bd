#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace lockstep {

std::atomic<bool> expensive_checks_enabled{false};

namespace {
AssertionHook installed_hook = nullptr;
}

void set_assertion_hook(AssertionHook hook) {
  installed_hook = hook;
}

void assertion_failed(const char* condition, const char* hint, const char* file, int line) {
  if (installed_hook != nullptr) installed_hook(condition, hint, file, line);
  std::fprintf(stderr, "assertion failed: %s at %s:%d %s\n", condition, file, line, hint);
  std::fflush(stderr);
  std::abort();
}

}  // namespace lockstep
