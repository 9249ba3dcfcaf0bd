// What tests of recipes with sessions begin with.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "service/session/session.h"
#include "service/testing/watched_store.h"

namespace lockstep::service::testing {

using Strings = std::vector<std::string>;

class RecipeTest : public ::testing::Test {
 protected:
  // A session with the id `id`, so that keys can be told.
  SessionPtr session(std::int64_t id, SessionOptions options = {.ttl = 10s}) {
    Context context{world.store, world.store.strand, world.store.strand, numbers_.emplace_back(id)};
    return run(open_session(context, options, {})).value();
  }
  // What can be answered at once, or in a moment.
  template <class T>
  T run(Task<T> task) {
    Running<T> running(std::move(task));
    world.settle();
    for (int step = 0; step < 100 && running.waits(); ++step) world.advance(10ms);
    return std::move(running.result());
  }
  Strings keys() {
    Strings names;
    for (const store::KeyValue& kv : rows()) names.push_back(kv.key);
    return names;
  }
  std::vector<store::KeyValue> rows() {
    std::vector<store::KeyValue> all;
    store::RangeRequest request;
    request.key = std::string(1, '\0');
    request.range_end = request.key;
    world.store.range(request, {}, [&](const Result<store::RangeResponse>& answer) { all = answer->kvs; });
    return all;
  }
  // The value of a key, "-" if there is none.
  std::string value(const std::string& key) {
    for (const store::KeyValue& kv : rows()) {
      if (kv.key == key) return kv.value;
    }
    return "-";
  }
  void put(const std::string& key, const std::string& value) {
    store::PutRequest request;
    request.key = key;
    request.value = value;
    world.store.put(request, {}, [](const Result<store::PutResponse>& done) { LS_MUST(done.ok()); });
    world.settle();
  }
  void remove(const std::string& key) {
    store::DeleteRangeRequest request;
    request.key = key;
    world.store.delete_range(request, {}, [](const Result<store::DeleteRangeResponse>&) {});
    world.settle();
  }
  store::CallOptions within(Duration time, std::stop_token stop = {}) {
    store::CallOptions options;
    options.deadline = world.store.strand.now() + time;
    options.cancellation = std::move(stop);
    return options;
  }

  World world;

 private:
  // What a session draws its id from.
  class OneNumber final : public env::Random {
   public:
    explicit OneNumber(std::int64_t id) : number_(static_cast<std::uint64_t>(id) << 1U) {}
    std::uint64_t next() override { return number_; }

   private:
    std::uint64_t number_;
  };
  std::deque<OneNumber> numbers_;
};

}  // namespace lockstep::service::testing
