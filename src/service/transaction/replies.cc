#include "service/transaction/replies.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "service/transaction/header_names.h"

namespace lockstep::service::transaction {
namespace {

constexpr std::size_t answer_bytes_max = std::size_t{64} * 1024;
static_assert(answer_bytes_max >= output_bytes_max);
constexpr std::size_t error_bytes_max = 256;

// In seconds; dates are left alone, for they would need a clock that both agree on.
std::optional<Duration> retry_after_of(const std::string& value) {
  std::int64_t seconds = 0;
  const char* end = value.data() + value.size();
  const auto read = std::from_chars(value.data(), end, seconds);
  if (value.empty() || read.ec != std::errc() || read.ptr != end || seconds < 0) return std::nullopt;
  return std::min<Duration>(std::chrono::seconds(std::min<std::int64_t>(seconds, 1'000'000)),
                            retry_after_max);
}

}  // namespace

env::HttpCall request_of(const Call& call, std::string_view gid, Mode mode, std::int64_t attempt,
                         Revision token) {
  env::HttpCall request;
  request.method = call.method;
  request.url = call.url;
  request.body = call.body;
  request.answer_bytes_max = answer_bytes_max;
  request.cut_answer = true;  // done is done, however much is said about it
  request.headers = call.headers;
  request.headers.reserve(call.headers.size() + 8);
  const std::string operation(to_string(call.operation));
  const auto is_content_type = [](const auto& header) {
    return lower_case_header(header.first) == "content-type";
  };
  if (std::none_of(request.headers.begin(), request.headers.end(), is_content_type)) {
    request.headers.emplace_back("Content-Type", "application/json");
  }
  request.headers.emplace_back("Lockstep-Transaction", gid);
  request.headers.emplace_back("Lockstep-Branch", call.branch);
  request.headers.emplace_back("Lockstep-Operation", operation);
  request.headers.emplace_back("Lockstep-Mode", to_string(mode));
  request.headers.emplace_back("Lockstep-Attempt", std::to_string(attempt));
  if (call.round > 0) request.headers.emplace_back("Lockstep-Round", std::to_string(call.round));
  request.headers.emplace_back("Lockstep-Token", std::to_string(token.value()));
  request.headers.emplace_back("Idempotency-Key", std::string(gid) + "/" + call.branch + "/" + operation);
  return request;
}

std::string host_of(std::string_view given) {
  std::string_view url = given;
  const std::size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url = url.substr(scheme + 3);
  const bool is_secure = lower_case_header(given.substr(0, scheme)) == "https";
  std::string host = lower_case_header(url.substr(0, url.find_first_of("/?#")));
  if (const std::size_t user = host.rfind('@'); user != std::string::npos) host.erase(0, user + 1);
  const std::string_view usual = is_secure ? ":443" : ":80";
  if (host.ends_with(usual)) host.resize(host.size() - usual.size());
  if (host.ends_with('.')) host.pop_back();
  return host;
}

Reply reply_of(const Call& call, Mode mode, const Result<env::HttpReply>& answer) {
  Reply reply;
  if (!answer.ok()) {
    reply.error = printable(answer.status().to_string(), error_bytes_max);
    return reply;
  }
  reply.status = answer->status;
  if (answer->status >= 200 && answer->status <= 299) {
    reply.kind = Reply::Kind::outcome;
    if (mode == Mode::saga) reply.output = answer->body.substr(0, output_bytes_max);
    return reply;
  }
  reply.retry_after = retry_after_of(answer->retry_after);
  if (answer->status == 409 && call.may_refuse) {
    reply.kind = Reply::Kind::outcome;
    reply.outcome = Outcome::refused;
    if (mode == Mode::saga) reply.output = answer->body.substr(0, output_bytes_max);
    return reply;
  }
  if (answer->status == 425) reply.kind = Reply::Kind::ongoing;
  if (answer->status != 425 && answer->status != 429 && answer->status != 503) reply.retry_after.reset();
  reply.status = std::clamp(answer->status, 0, 999);
  reply.error = printable("status " + std::to_string(answer->status) + " " + answer->body, error_bytes_max);
  return reply;
}

Duration back_off(const RetryRule& rule, std::int64_t failures) {
  LS_MUST(failures >= 1);
  double delay = static_cast<double>(rule.interval.count());
  const auto most = static_cast<double>(rule.interval_max.count());
  const bool grows = rule.backoff > 1;
  for (std::int64_t i = 1; grows && i < failures && delay < most; ++i) delay *= rule.backoff;
  return Duration(static_cast<std::int64_t>(std::min(delay, most)));
}

Duration jitter(Duration delay, env::Random& random) {
  const auto half = static_cast<std::uint64_t>(std::max<std::int64_t>(delay.count() / 2, 1));
  return delay - delay / 4 + Duration(static_cast<std::int64_t>(random.next() % half));
}

}  // namespace lockstep::service::transaction
