// Requests that came over HTTP/2, for the same routes: HTTP/2 itself is the gRPC server's (src/rpc).
#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "gateway/http1/checks.h"
#include "gateway/http1/http1_session.h"
#include "rpc/plain.h"

namespace lockstep::gateway {
namespace {

class Http2Responder final : public HttpResponder {
 public:
  Http2Responder(std::shared_ptr<rpc::PlainAnswer> answer, bool head_only)
      : answer_(std::move(answer)), head_only_(head_only) {}

  void respond(const HttpResponse& response) override {
    if (ended() || std::exchange(begun_, true)) return;
    const std::string length = std::to_string(response.body.size());
    const bool has_body = !head_only_ && !response.body.empty();
    write_head(response, &length, has_body);
    if (!has_body) return;
    answer_->send(response.body);
    answer_->finish();
  }
  void begin(const HttpResponse& head) override {
    if (ended() || std::exchange(begun_, true)) return;
    write_head(head, nullptr, !head_only_);
    if (!head.body.empty()) send(head.body);
  }
  void send(std::string_view piece) override {
    if (ended() || piece.empty() || head_only_) return;
    LS_MUST(begun_, "begin() comes first");
    answer_->send(piece);
  }
  void finish() override {
    if (ended()) return;
    LS_MUST(begun_, "begin() comes first");
    if (!head_only_) answer_->finish();
  }
  [[nodiscard]] std::size_t unsent_bytes() const override { return answer_->unsent_bytes(); }
  void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) override {
    answer_->notify_when_unsent_below(bytes, std::move(ready));
  }
  [[nodiscard]] std::stop_token cancellation() override { return answer_->cancellation(); }
  [[nodiscard]] bool ended() const override { return answer_->ended(); }

 private:
  void write_head(const HttpResponse& response, const std::string* length, bool has_body) {
    std::vector<std::string> names;
    names.reserve(response.fields.size());
    std::vector<rpc::Http2Header> fields;
    if (!response.content_type.empty()) fields.push_back({"content-type", response.content_type});
    for (const HttpField& field : response.fields) {
      std::string& name = names.emplace_back(field.name);
      std::ranges::transform(name, name.begin(),
                             [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      fields.push_back({name, field.value});
    }
    fields.push_back({"x-content-type-options", "nosniff"});
    if (length != nullptr) fields.push_back({"content-length", *length});
    answer_->begin(response.status, fields, has_body);
  }

  std::shared_ptr<rpc::PlainAnswer> answer_;
  bool head_only_;
  bool begun_ = false;
};

std::string_view why_refused(int status) {
  switch (status) {
    case 408:
      return "the body took too long";
    case 413:
      return "the body is too large";
    case 503:
      return "too many bytes of requests are being received, or of answers not read";
    default:
      return "the headers cannot be read";
  }
}

}  // namespace

void serve_http2(HttpShared& shared, const std::shared_ptr<rpc::PlainAnswer>& answer,
                 rpc::PlainRequest& plain) {
  HttpRequest request;
  request.method = std::move(plain.method);
  request.fields.reserve(plain.fields.size());
  for (auto& [name, value] : plain.fields) request.fields.push_back({std::move(name), std::move(value)});
  request.body = std::move(plain.body);
  request.remote_address = std::move(plain.remote_address);
  request.peer_common_name = std::move(plain.peer_common_name);
  const HttpResponderPtr responder = std::make_shared<Http2Responder>(answer, request.method == "HEAD");
  const auto refuse = [&](int status, std::string_view why, const std::string& allow = {}) {
    ++shared.metrics.refused[status];
    HttpResponse response = shared.router.refuse(request.path, status, why);
    if (!allow.empty()) response.fields.push_back({"Allow", allow});
    if (status == 503) response.fields.push_back({"Retry-After", "1"});
    responder->respond(response);
  };
  const Refused target = split_target(plain.target, &request);
  if (plain.refused != 0) return refuse(plain.refused, why_refused(plain.refused));
  if (target.status != 0) return refuse(target.status, target.why);
  if (std::ranges::count(request.fields, "authorization", &HttpField::name) > 1)
    return refuse(400, "two Authorization headers");
  const Refused lost = misdirected(request, shared.options.host_names);
  if (lost.status != 0) return refuse(lost.status, lost.why);
  const HttpRouter::Found found = shared.router.find(request.method, request.path);
  if (found.handler == nullptr && found.allow.empty()) return refuse(404, "no such path");
  if (found.handler == nullptr) return refuse(405, "this path does not take that method", found.allow);
  ++shared.metrics.requests;
  (*found.handler)(responder, request);
}

}  // namespace lockstep::gateway
