// An HTTP answer that nobody sends, for tests.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "gateway/http.h"

namespace lockstep::gateway::testing {

class FakeResponder final : public HttpResponder {
 public:
  void respond(const HttpResponse& response) override {
    if (ended_) return;
    status = response.status;
    fields = response.fields;
    body += response.body;
    ended_ = true;
  }
  void begin(const HttpResponse& head) override {
    if (ended_) return;
    status = head.status;
    body += head.body;
  }
  void send(std::string_view piece) override {
    if (!ended_) body += piece;
  }
  void finish() override { ended_ = true; }
  [[nodiscard]] std::size_t unsent_bytes() const override { return 0; }
  void notify_when_unsent_below(std::size_t, std::move_only_function<void()>) override {}
  [[nodiscard]] std::stop_token cancellation() override { return stop_.get_token(); }
  [[nodiscard]] bool ended() const override { return ended_; }

  // ---- the client's side
  void leave() {
    ended_ = true;
    stop_.request_stop();
  }

  int status = 0;  // zero: no answer yet
  std::string body;
  std::vector<HttpField> fields;

 private:
  std::stop_source stop_;
  bool ended_ = false;
};

}  // namespace lockstep::gateway::testing
