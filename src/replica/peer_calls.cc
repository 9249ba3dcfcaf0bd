#include "replica/peer_calls.h"

#include <algorithm>
#include <vector>

#include "base/codec.h"

namespace lockstep::replica {
namespace {

constexpr std::size_t text_bytes_max = 1024;

std::string head(std::uint8_t kind, PeerCallId id) {
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u8(kind);
  encoder.id(id);
  return bytes;
}

}  // namespace

void PeerCalls::call(NodeId to, std::string_view request, TimePoint deadline, Answer done) {
  if (request.size() > bytes_max)
    return done(Status(Code::invalid_argument, "the request is too large to pass on"));
  if (waiting_.size() >= waiting_max)
    return done(Status(Code::resource_exhausted, "etcdserver: too many requests"));
  last_id_ = PeerCallId(last_id_.value() + 1);
  std::string message = head(call_kind, last_id_);
  message += request;
  waiting_.emplace(last_id_, Waiting{to, deadline, std::move(done)});
  network_.send(to, {SharedBytes(std::move(message))});
}

bool PeerCalls::on_call(NodeId from, const SharedBytes& message) {
  Decoder decoder(message.view().substr(1));
  const auto id = decoder.id<PeerCallId>();
  if (!decoder.ok() || id == PeerCallId{} || decoder.rest().size() > bytes_max) return false;
  if (!handler_) {
    send_answer(from, id, Status(Code::unavailable, "this member takes no calls"));
    return true;
  }
  handler_(from, decoder.rest(), [this, alive = alive_, from, id](const Result<std::string>& answer) {
    if (*alive) send_answer(from, id, answer);
  });
  return true;
}

void PeerCalls::send_answer(NodeId to, PeerCallId id, const Result<std::string>& answer) {
  std::string message = head(answer_kind, id);
  Encoder encoder(&message);
  const Status status = answer.status();
  encoder.u8(static_cast<std::uint8_t>(status.code()));
  const std::string_view body =
      answer.ok() ? std::string_view(*answer) : status.message().substr(0, text_bytes_max);
  LS_MUST(body.size() <= bytes_max, "handlers answer within the limit");
  encoder.raw(body);
  network_.send(to, {SharedBytes(std::move(message))});
}

bool PeerCalls::on_answer(NodeId from, const SharedBytes& message) {
  Decoder decoder(message.view().substr(1));
  const auto id = decoder.id<PeerCallId>();
  const std::uint8_t code = decoder.u8();
  if (!decoder.ok() || id == PeerCallId{} || code > static_cast<std::uint8_t>(Code::internal)) return false;
  const std::size_t body_bytes_max = code == 0 ? bytes_max : text_bytes_max;
  if (decoder.rest().size() > body_bytes_max) return false;
  const auto found = waiting_.find(id);
  if (found == waiting_.end() || found->second.peer != from) return true;  // given up, or said twice
  Answer done = std::move(found->second.done);
  waiting_.erase(found);
  std::string body(decoder.rest());
  if (code == 0) {
    done(std::move(body));
  } else {
    done(Status(static_cast<Code>(code), std::move(body)));
  }
  return true;
}

template <class Predicate>
void PeerCalls::fail_where(Predicate predicate, std::string_view why) {
  std::vector<Answer> failed;
  for (auto waiting = waiting_.begin(); waiting != waiting_.end();) {
    if (!predicate(waiting->second)) {
      ++waiting;
      continue;
    }
    failed.push_back(std::move(waiting->second.done));
    waiting = waiting_.erase(waiting);
  }
  // After the walk: a callback may call again.
  for (Answer& done : failed) done(Status(Code::unknown_outcome, std::string(why)));
}

void PeerCalls::peer_lost(NodeId peer) {
  fail_where([&](const Waiting& waiting) { return waiting.peer == peer; }, "etcdserver: leader changed");
}

void PeerCalls::expire(TimePoint present) {
  fail_where([&](const Waiting& waiting) { return waiting.deadline <= present; },
             "etcdserver: request timed out");
}

TimePoint PeerCalls::next_deadline() const {
  TimePoint next = no_deadline;
  for (const auto& [id, waiting] : waiting_) next = std::min(next, waiting.deadline);
  return next;
}

}  // namespace lockstep::replica
