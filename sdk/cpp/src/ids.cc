#include "lockstep/ids.h"

#include "call.h"
#include "lockstep/client.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Waits;

namespace {

::lockstep::Task<Outcome<std::vector<std::uint64_t>>> many_body(CallContext context, std::string name,
                                                                std::size_t count) {
  LS_SDK_ASSIGN(std::vector<std::uint64_t> numbers,
                co_await context.recipes().ids.next(std::move(name), count, context.options));
  co_return numbers;
}

::lockstep::Task<Outcome<std::uint64_t>> one_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN(const std::vector<std::uint64_t> numbers,
                co_await context.recipes().ids.next(std::move(name), 1, context.options));
  co_return numbers.front();
}

}  // namespace

Operation<std::uint64_t> Ids::next(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &one_body, name_);
}

Operation<std::vector<std::uint64_t>> Ids::next_many(std::size_t count, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &many_body, name_, count);
}

std::chrono::system_clock::time_point Ids::time_of(std::uint64_t id) {
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(service::split_id(id).wall));
}

Ids Client::ids(std::string name) {
  return Ids(runtime_, std::move(name));
}

}  // namespace lockstep::v1
