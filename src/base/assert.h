// The assertion vocabulary. Always on, in every build: a broken invariant stops the member before it can
// answer wrongly (a crashed member is survived by the others, a lying one is not).
//
//   LS_MUST(condition)          must hold; split conjunctions into one line each.
//   LS_MUST(condition, "why")   the same, with a hint for the reader of the crash.
//   LS_MAYBE(condition)         documents that either is legal; never fails.
//   LS_UNREACHABLE("why")       control never comes here.
//   LS_EXPENSIVE(condition)     checked only where expensive checks are switched on (simulator, tests).
#pragma once

#include <atomic>

namespace lockstep {

// What a failed assertion calls before the process is aborted. The simulator installs one that throws, so
// that only the simulated member dies. Set once, before threads exist.
using AssertionHook = void (*)(const char* condition, const char* hint, const char* file, int line);
void set_assertion_hook(AssertionHook hook);

// Prints to stderr, calls the hook, aborts if the hook returns.
[[noreturn]] void assertion_failed(const char* condition, const char* hint, const char* file, int line);

extern std::atomic<bool> expensive_checks_enabled;

}  // namespace lockstep

#define LS_MUST_IMPL(condition, hint)                                     \
  do {                                                                    \
    if (!(condition)) [[unlikely]]                                        \
      ::lockstep::assertion_failed(#condition, hint, __FILE__, __LINE__); \
  } while (false)
#define LS_MUST_1(condition) LS_MUST_IMPL(condition, "")
#define LS_MUST_2(condition, hint) LS_MUST_IMPL(condition, hint)
#define LS_MUST_PICK(a, b, macro, ...) macro
#define LS_MUST(...) LS_MUST_PICK(__VA_ARGS__, LS_MUST_2, LS_MUST_1, )(__VA_ARGS__)
#define LS_MAYBE(condition) static_cast<void>(sizeof((condition) ? 1 : 0))
#define LS_UNREACHABLE(hint) ::lockstep::assertion_failed("unreachable", hint, __FILE__, __LINE__)
#define LS_EXPENSIVE(condition)                                                                   \
  do {                                                                                            \
    if (::lockstep::expensive_checks_enabled.load(std::memory_order_relaxed)) LS_MUST(condition); \
  } while (false)
