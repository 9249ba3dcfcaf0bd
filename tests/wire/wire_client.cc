#include "wire_client.h"

#include <deque>
#include <optional>
#include <utility>

namespace lockstep::wire_test {
namespace {

// Only a test that fails waits this long; shortening its sequence then waits as often as it tries.
constexpr Duration patience = 15s;

}  // namespace

struct WireStream::Inbox {
  std::deque<std::string> messages;
  std::optional<rpc::GrpcStatus> ended;
};

class WireStream::Handler final : public rpc::ClientStreamHandler {
 public:
  explicit Handler(std::shared_ptr<Inbox> inbox) : inbox_(std::move(inbox)) {}
  void on_message(std::string_view message) override { inbox_->messages.emplace_back(message); }
  void on_end(const rpc::CallResult& result) override { inbox_->ended = result.status; }

 private:
  std::shared_ptr<Inbox> inbox_;
};

WireStream::WireStream(WireClient& client, rpc::Channel& channel, std::string_view path)
    : client_(client),
      inbox_(std::make_shared<Inbox>()),
      stream_(channel.stream(path, {}, no_deadline, std::make_unique<Handler>(inbox_))) {}

WireStream::~WireStream() {
  stream_->cancel();
}

Answer WireStream::next() {
  if (!client_.run_until([this] { return !inbox_->messages.empty() || inbox_->ended.has_value(); }))
    return {{rpc::GrpcCode::deadline_exceeded, "the test waited long for the next message"}, {}};
  if (inbox_->messages.empty()) return {*inbox_->ended, {}};
  Answer answer{{}, std::move(inbox_->messages.front())};
  inbox_->messages.pop_front();
  return answer;
}

bool WireStream::quiet() const {
  return inbox_->messages.empty() && !inbox_->ended.has_value();
}

rpc::Channel& WireClient::connect(const std::string& endpoint) {
  channels_.push_back(
      std::make_unique<rpc::Channel>(executor_, clock_, streams_, endpoint, rpc::ChannelOptions()));
  return *channels_.back();
}

bool WireClient::run_until(const std::function<bool()>& condition) {
  const TimePoint end = now() + patience;
  bool held = false;
  std::function<void()> look = [&] {
    held = condition();
    if (held || now() > end) return executor_.stop();
    executor_.schedule(now() + 100us, [&look] { look(); });
  };
  executor_.post([&look] { look(); });
  executor_.run();
  return held;
}

std::vector<Answer> WireClient::ask(const std::vector<Question>& questions) {
  // Shared with the callbacks, which may come after this gave up.
  struct Waiting {
    std::vector<Answer> answers;
    std::size_t missing = 0;
  };
  auto waiting = std::make_shared<Waiting>();
  waiting->answers.resize(questions.size(),
                          {{rpc::GrpcCode::deadline_exceeded, "the test waited long for an answer"}, {}});
  waiting->missing = questions.size();
  executor_.post([&] {
    for (std::size_t i = 0; i < questions.size(); ++i) {
      questions[i].channel->unary(questions[i].path, questions[i].message, {}, now() + patience,
                                  [this, i, waiting](const rpc::CallResult& result) {
                                    waiting->answers[i] = {result.status, std::string(result.message)};
                                    if (--waiting->missing == 0) executor_.stop();
                                  });
    }
  });
  while (waiting->missing > 0) executor_.run();
  return waiting->answers;
}

}  // namespace lockstep::wire_test
