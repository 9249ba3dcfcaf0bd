#include "gateway/http1/http1_session.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "gateway/http1/checks.h"

namespace lockstep::gateway {
namespace {

// What was taken from a buffer's front goes when it is worth a move of the rest.
constexpr std::size_t taken_bytes_kept_max = 64 * 1024;

std::string hex(std::size_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  do {
    out.insert(out.begin(), digits[value % 16]);
    value /= 16;
  } while (value != 0);
  return out;
}

}  // namespace

// ---- the exchange ----

void Http1Exchange::respond(const HttpResponse& response) {
  if (ended() || std::exchange(answered_, true)) return;
  session_->write_head(response, response.body.size());
  if (!head_only_) session_->write_raw(response.body);
  session_->on_answered();
}

void Http1Exchange::begin(const HttpResponse& head) {
  if (ended() || std::exchange(answered_, true)) return;
  session_->write_head(head, std::nullopt);
  if (head_only_) return end_at_head();
  if (!head.body.empty()) send(head.body);
}

// Nothing more will come: whoever would go on sending hears that nobody reads it.
void Http1Exchange::end_at_head() {
  env::Executor& executor = session_->executor();
  const auto self = shared_from_this();
  session_->on_answered();
  executor.post([self] { self->detach(true); });
}

void Http1Exchange::send(std::string_view piece) {
  if (ended() || piece.empty() || head_only_) return;
  LS_MUST(answered_, "begin() comes first");
  session_->write_piece(piece);
}

void Http1Exchange::finish() {
  if (ended()) return;
  LS_MUST(answered_, "begin() comes first");
  session_->write_end();
  session_->on_answered();
}

std::size_t Http1Exchange::unsent_bytes() const {
  return ended() ? 0 : session_->unsent_bytes();
}

void Http1Exchange::notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) {
  if (ended()) return;
  notify_below_ = bytes;
  notify_ = std::move(ready);
  session_->on_notify_wanted();
}

void Http1Exchange::on_unsent(std::size_t bytes, env::Executor& executor) {
  if (!notify_ || bytes >= notify_below_) return;
  executor.post([self = shared_from_this(), ready = std::exchange(notify_, nullptr)]() mutable {
    if (!self->ended()) ready();
  });
}

std::stop_token Http1Exchange::cancellation() {
  if (!stop_.has_value()) stop_.emplace();
  if (ended()) stop_->request_stop();
  return stop_->get_token();
}

void Http1Exchange::detach(bool cancelled) {
  session_ = nullptr;
  notify_ = nullptr;
  if (cancelled && stop_.has_value()) stop_->request_stop();
}

// ---- the session ----

Http1Session::Http1Session(HttpShared& shared, Http1Host& host, TimePoint now, std::string remote_address,
                           std::string peer_common_name)
    : shared_(shared),
      host_(host),
      remote_address_(std::move(remote_address)),
      peer_common_name_(std::move(peer_common_name)),
      now_(now),
      request_began_(now),
      parser_(std::make_unique<Http1Parser>(shared.options.limits)) {}

Http1Session::~Http1Session() {
  LS_MUST(exchange_ == nullptr, "close() before destruction");
}

void Http1Session::receive(std::string_view bytes, TimePoint now) {
  if (closing_) return;
  if (input_left() == 0 && exchange_ == nullptr && !parser_->begun()) request_began_ = now;
  now_ = now;
  input_.append(bytes);
  if (!advance_posted_) work();
  count_input();
}

bool Http1Session::may_serve() const {
  return exchange_ == nullptr && unsent_bytes() < shared_.options.unsent_bytes_max;
}

bool Http1Session::wants_read() const {
  if (may_serve() && !advance_posted_) return true;
  return unsent_bytes() < shared_.options.unsent_bytes_max &&
         input_left() < shared_.options.pipelined_bytes_max;
}

void Http1Session::advance() {
  advance_posted_ = false;
  work();
  count_input();
}

void Http1Session::advance_later() {
  if (!std::exchange(advance_posted_, true)) host_.advance_soon();
}

void Http1Session::work() {
  if (std::exchange(working_, true)) return;
  std::size_t served = 0;
  while (!closing_ && may_serve() && input_left() != 0) {
    if (served == shared_.options.pipelined_requests_per_turn_max) {
      advance_later();
      break;
    }
    if (!parse()) break;
    ++served;
  }
  held_back_ = !closing_ && input_left() != 0 && exchange_ == nullptr && !may_serve();
  if (input_taken_ == input_.size() || input_taken_ > taken_bytes_kept_max) {
    input_.erase(0, input_taken_);
    input_taken_ = 0;
  }
  working_ = false;
}

// Whether a request was served.
bool Http1Session::parse() {
  input_taken_ += parser_->put(std::string_view(input_).substr(input_taken_));
  if (parser_->error() != 0) {
    refuse(parser_->error(), parser_->why());
  } else if (parser_->complete()) {
    serve();
    return true;
  } else if (parser_->head_done() && parser_->expects_continue() && !std::exchange(continued_, true)) {
    write_raw("HTTP/1.1 100 Continue\r\n\r\n");
  }
  return false;
}

void Http1Session::drop_input() {
  input_.clear();
  input_taken_ = 0;
}

// Of all connections. Complete requests never wait here for more, so only unfinished ones are refused.
void Http1Session::count_input() {
  const auto count = [this](std::size_t bytes) {
    LS_MUST(shared_.metrics.request_bytes_buffered >= input_counted_);
    shared_.metrics.request_bytes_buffered += bytes - input_counted_;
    input_counted_ = bytes;
  };
  count(closing_ ? 0 : input_left() + parser_->body_bytes());
  if (shared_.metrics.request_bytes_buffered <= shared_.options.request_bytes_buffered_max) return;
  if (closing_ || exchange_ != nullptr || parser_->body_bytes() == 0) return;
  refuse(503, "too many bytes of requests are being received");
}

void Http1Session::serve() {
  keep_alive_ = keep_alive_ && parser_->keep_alive();
  http_1_0_ = parser_->http_1_0();
  HttpRequest request = parser_->take();
  parser_ = std::make_unique<Http1Parser>(shared_.options.limits);
  continued_ = false;
  request_began_ = now_;
  request.remote_address = remote_address_;
  request.peer_common_name = peer_common_name_;
  exchange_ = std::make_shared<Http1Exchange>(*this, request.method == "HEAD");
  const HttpResponderPtr responder = exchange_;
  const auto answer = [&](int status, std::string_view why, const std::string& allow) {
    ++shared_.metrics.refused[status];
    HttpResponse response = shared_.router.refuse(request.path, status, why);
    if (!allow.empty()) response.fields.push_back({"Allow", allow});
    responder->respond(response);
  };
  const Refused refused = misdirected(request, shared_.options.host_names);
  if (refused.status != 0) return answer(refused.status, refused.why, {});
  const HttpRouter::Found found = shared_.router.find(request.method, request.path);
  if (found.handler == nullptr && found.allow.empty()) return answer(404, "no such path", {});
  if (found.handler == nullptr) return answer(405, "this path does not take that method", found.allow);
  ++shared_.metrics.requests;
  (*found.handler)(responder, request);
}

// Where the framing cannot be trusted any more, nothing after it is read.
void Http1Session::refuse(int status, std::string_view why) {
  ++shared_.metrics.refused[status];
  keep_alive_ = false;
  HttpResponse response = shared_.router.refuse(parser_->request().path, status, why);
  if (status == 503) response.fields.push_back({"Retry-After", "1"});
  write_head(response, response.body.size());
  write_raw(response.body);
  drop_input();
  closing_ = true;
  count_input();
}

void Http1Session::write_head(const HttpResponse& response, std::optional<std::size_t> body_bytes) {
  std::string head =
      "HTTP/1.1 " + std::to_string(response.status) + ' ' + std::string(http_reason(response.status));
  const auto field = [&](std::string_view name, std::string_view value) {
    head.append("\r\n").append(name).append(": ").append(value);
  };
  if (!response.content_type.empty()) field("Content-Type", response.content_type);
  for (const HttpField& extra : response.fields) field(extra.name, extra.value);
  field("X-Content-Type-Options", "nosniff");
  chunked_ = !body_bytes.has_value() && !http_1_0_;
  until_close_ = !body_bytes.has_value() && http_1_0_;
  if (until_close_) keep_alive_ = false;
  if (body_bytes.has_value()) field("Content-Length", std::to_string(*body_bytes));
  if (chunked_) field("Transfer-Encoding", "chunked");
  if (!keep_alive_) field("Connection", "close");
  if (keep_alive_ && http_1_0_) field("Connection", "keep-alive");
  head.append("\r\n\r\n");
  write_raw(head);
}

void Http1Session::write_piece(std::string_view piece) {
  if (chunked_) write_raw(hex(piece.size()) + "\r\n");
  write_raw(piece);
  if (chunked_) write_raw("\r\n");
}

void Http1Session::write_end() {
  if (chunked_) write_raw("0\r\n\r\n");
}

void Http1Session::write_raw(std::string_view bytes) {
  output_.append(bytes);
  shared_.metrics.answer_bytes_unsent += bytes.size();
  host_.on_output();
}

void Http1Session::on_answered() {
  LS_MUST(exchange_ != nullptr);
  std::exchange(exchange_, nullptr)->detach(false);
  if (!keep_alive_) {
    closing_ = true;
    drop_input();
    count_input();
    return host_.on_output();
  }
  request_began_ = now_;
  if (input_left() != 0 && !working_) advance_later();
}

void Http1Session::on_notify_wanted() {
  if (exchange_ != nullptr) exchange_->on_unsent(unsent_bytes(), host_.executor());
}

void Http1Session::produce(std::string& out, std::size_t bytes) {
  const std::size_t taken = std::min(bytes, unsent_bytes());
  if (output_taken_ == 0 && taken == output_.size() && out.empty()) {
    out.swap(output_);
  } else {
    out.append(output_, output_taken_, taken);
    output_taken_ += taken;
  }
  shared_.metrics.answer_bytes_unsent -= taken;
  if (output_taken_ == output_.size() ||
      (output_taken_ > taken_bytes_kept_max && output_taken_ > output_.size() / 2)) {
    output_.erase(0, output_taken_);
    output_taken_ = 0;
  }
  on_notify_wanted();
}

void Http1Session::on_tick(TimePoint now) {
  now_ = std::max(now_, now);
  const bool full = exchange_ != nullptr && input_left() >= shared_.options.pipelined_bytes_max;
  if (!full) full_since_.reset();
  if (full && !full_since_.has_value()) full_since_ = now_;
  if (closing_ || exchange_ != nullptr || held_back_ ||
      advance_posted_) {  // the client is not who is waited for
    request_began_ = now_;
    return;
  }
  const HttpServerOptions& options = shared_.options;
  const Duration waited = now_ - request_began_;
  if (parser_->head_done()) {
    if (waited >= options.body_timeout) refuse(408, "the body took too long");
  } else if (parser_->begun() || input_left() != 0) {
    if (waited >= options.head_timeout) refuse(408, "the headers took too long");
  } else if (waited >= options.idle_timeout) {
    closing_ = true;
    host_.on_output();
  }
}

void Http1Session::drain() {
  keep_alive_ = false;
  if (exchange_ != nullptr || parser_->begun() || input_left() != 0) return;
  closing_ = true;
  host_.on_output();
}

void Http1Session::close() {
  closing_ = true;
  drop_input();
  count_input();
  shared_.metrics.answer_bytes_unsent -= unsent_bytes();
  output_.clear();
  output_taken_ = 0;
  if (exchange_ != nullptr) std::exchange(exchange_, nullptr)->detach(true);
}

}  // namespace lockstep::gateway
