// The language of the golden scripts: requests to /v1 on a memory store, on a strand and a clock moved by
// hand.
//
//   POST /v1/… {…}                 one request; prints "200 {…}", or nothing while it waits
//   GET /v1/…?name=a               the same without a body
//   with Name: value; POST …       with a header field
//   open NAME POST /v1/… {…}       a request whose answer is printed, whenever it comes, behind "NAME: "
//   NAME leave                     its client goes away
//   sleep 1500ms                   time passes; what that brings is printed
//   kv / leases                    what is stored
//
// A problem is printed as its code, whether it is retryable, and its detail. A session reads #1, #2 … in the
// order of their first appearance; "#1" in a request stands for it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "gateway/etcd/testing/world.h"
#include "gateway/json/testing/fake_responder.h"
#include "gateway/v1/coordination.h"
#include "gateway/v1/v1.h"

namespace lockstep::gateway::v1::testing {

class Script {
 public:
  Script();
  ~Script();
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  // What the command printed, each line ended.
  std::string run(const std::string& line);

 private:
  struct Open {
    std::string name;
    std::shared_ptr<gateway::testing::FakeResponder> responder;
    bool told = false;
    std::size_t printed = 0;  // of a stream's body
  };

  std::string request(std::string name, std::string line);
  std::string settle();
  std::string store_contents();
  std::string tell(Open* open);
  std::string with_names(std::string text);
  std::string without_names(std::string text) const;

  // Long numbers, the same each time.
  class Numbers final : public env::Random {
   public:
    std::uint64_t next() override { return prng_.next(); }

   private:
    Prng prng_{1};
  };

  // Nothing is called here; whatever names "metadata" may not be.
  class Callouts final : public env::HttpClient {
   public:
    void call(env::HttpCall /*call*/, TimePoint /*deadline*/,
              std::move_only_function<void(Result<env::HttpReply>)> /*done*/) override {}
    [[nodiscard]] Status refusal_of(const std::string& url) const override {
      if (!url.contains("//metadata")) return {};
      return {Code::permission_denied, "metadata may not be called"};
    }
  };

  Callouts callouts_;
  gateway::testing::World world_;
  Numbers numbers_;
  Coordination recipes_;
  V1 v1_;
  HttpRouter router_;
  std::vector<Open> open_;
  std::vector<std::string> sessions_;
};

}  // namespace lockstep::gateway::v1::testing
