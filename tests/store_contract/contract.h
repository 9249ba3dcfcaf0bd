// The suite that every implementation of Store passes. Each promise of store/store.h has its tests here; the
// files beside this one hold them by subject. A test program instantiates StoreContract with its
// implementations.
//
// What an implementation does not promise (Capabilities) is printed by name, and the tests assert what it
// does instead: nothing is skipped in silence.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/task.h"
#include "store/awaitable.h"
#include "store/errors.h"
#include "store/store.h"
#include "store_under_test.h"

namespace lockstep::store_contract {

class Watching;

class StoreContract : public ::testing::TestWithParam<Implementation> {
 public:
  // A key of the running test alone; what begins with it is, too. Ordered as the names are.
  [[nodiscard]] static std::string key(std::string_view name);

 protected:
  StoreContract() : world_(GetParam().create()) {}

  // The end of all keys that begin with `prefix`.
  [[nodiscard]] static std::string end_of(std::string prefix);

  // A call and its one answer.
  template <class Request, class Response>
  Result<Response> call(void (store::Store::*method)(Request, store::CallOptions, store::Callback<Response>),
                        std::type_identity_t<Request> request, store::CallOptions options = {});
  template <class Response>
  Result<Response> call(void (store::Store::*method)(store::CallOptions, store::Callback<Response>),
                        store::CallOptions options = {});
  // The value of what must succeed; otherwise the test ends here.
  template <class T>
  static T must(Result<T> result);
  template <class T>
  T run(Task<T> task);

  // The most frequent ones in short; they must succeed.
  Revision put(const std::string& name, const std::string& value, LeaseId lease = {});
  Revision remove(const std::string& name);
  std::optional<store::KeyValue> get(const std::string& name, Revision revision = {});
  std::string value(const std::string& name);  // "(none)" if it does not exist
  store::RangeResponse list(const std::string& prefix);
  // All keys of this test, as a request to refine; and what a request finds, without the test's prefix: "a b
  // c".
  store::RangeRequest everything();
  std::string names_of(store::RangeRequest request);
  bool holds(store::Compare compare);
  Revision revision();
  LeaseId grant(Duration ttl);

  // Every kind of mutation and every kind of read, made with these options; the codes of the answers by name.
  using Codes = std::vector<std::pair<std::string, Code>>;
  Codes mutate_in_every_way(const store::CallOptions& options);
  Codes read_in_every_way(const store::CallOptions& options);

  // Asks for a capability. Prints its name where it is missing.
  [[nodiscard]] bool promised(bool capability, std::string_view name) const;
  store::Capabilities capabilities();

  void pass(Duration time);
  StoreUnderTest& world() { return *world_; }

 private:
  template <class Response>
  struct Answer;
  template <class Response>
  Result<Response> wait_for(const std::shared_ptr<Answer<Response>>& answer);
  template <class T>
  static Task<> keep(Task<T> task, std::shared_ptr<std::optional<T>> result) {
    result->emplace(co_await std::move(task));
  }

  std::unique_ptr<StoreUnderTest> world_;
};

// A subscription, with answers as they come.
class Watching {
 public:
  Watching(StoreUnderTest& world, store::WatchRequest request);
  ~Watching();
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;

  // The next answer; waits for it.
  store::WatchResponse next(std::size_t bytes_max = 64 * 1024);
  // Answers until so many events have come; all of them.
  std::vector<store::Event> events(std::size_t count);
  void request_progress();
  // What next() of the subscription says at this moment.
  bool has_answer();

 private:
  StoreUnderTest& world_;
  std::unique_ptr<store::Subscription> subscription_;
};

// ---- details

template <class Response>
struct StoreContract::Answer {
  std::optional<Result<Response>> result;
  int calls = 0;

  void operator()(Result<Response> answer) {
    EXPECT_EQ(++calls, 1) << "each callback is called once";
    result.emplace(std::move(answer));
  }
};

template <class Response>
Result<Response> StoreContract::wait_for(const std::shared_ptr<Answer<Response>>& answer) {
  if (!world_->run_until([&] { return answer->result.has_value(); }))
    throw std::runtime_error("no answer came");
  return std::move(*answer->result);
}

template <class Request, class Response>
Result<Response> StoreContract::call(void (store::Store::*method)(Request, store::CallOptions,
                                                                  store::Callback<Response>),
                                     std::type_identity_t<Request> request, store::CallOptions options) {
  auto answer = std::make_shared<Answer<Response>>();
  world_->on_strand([&] {
    (world_->store().*method)(std::move(request), std::move(options),
                              [answer](Result<Response> result) { (*answer)(std::move(result)); });
  });
  return wait_for(answer);
}

template <class Response>
Result<Response> StoreContract::call(void (store::Store::*method)(store::CallOptions,
                                                                  store::Callback<Response>),
                                     store::CallOptions options) {
  auto answer = std::make_shared<Answer<Response>>();
  world_->on_strand([&] {
    (world_->store().*method)(std::move(options),
                              [answer](Result<Response> result) { (*answer)(std::move(result)); });
  });
  return wait_for(answer);
}

template <class T>
T StoreContract::must(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().to_string());
  return *std::move(result);
}

template <class T>
T StoreContract::run(Task<T> task) {
  auto result = std::make_shared<std::optional<T>>();
  world_->on_strand([&] { keep(std::move(task), result).detach(); });
  if (!world_->run_until([&] { return result->has_value(); })) {
    throw std::runtime_error("the task waits for something that does not come");
  }
  return std::move(**result);
}

}  // namespace lockstep::store_contract
