#include "platform/tls_streams.h"

#include <list>
#include <utility>

#include "base/assert.h"
#include "platform/tls_context.h"
#include "platform/tls_stream.h"

namespace lockstep::platform {
namespace {

// Without port and brackets.
std::string host_of(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

struct TlsStreams::Shared {
  env::Executor& executor;
  env::Clock& clock;
  std::shared_ptr<env::Streams> inner;
  TlsOptions options;
  std::shared_ptr<const TlsContext> connecting;
  std::shared_ptr<const TlsContext> listening;  // null without a certificate
  TlsMetrics metrics;

  Status load() {
    LS_ASSIGN_OR_RETURN(std::shared_ptr<const TlsContext> new_connecting,
                        TlsContext::for_connecting(options));
    std::shared_ptr<const TlsContext> new_listening;
    if (!options.certificate_file.empty()) {
      LS_ASSIGN_OR_RETURN(new_listening, TlsContext::for_listening(options));
    }
    connecting = std::move(new_connecting);
    listening = std::move(new_listening);
    return {};
  }
};

// A handshake with its deadline. Destroying it gives up.
class TlsStreams::Handshake {
 public:
  using Done = std::move_only_function<void(const std::string& reason, std::unique_ptr<env::Stream> stream)>;

  // `done` may destroy this.
  Handshake(std::shared_ptr<Shared> shared, std::unique_ptr<env::Stream> inner, ssl_st* connection, Done done)
      : shared_(std::move(shared)),
        stream_(std::make_unique<TlsStream>(shared_->executor, std::move(inner), connection)),
        done_(std::move(done)) {
    timer_ = shared_->executor.schedule(shared_->clock.now() + shared_->options.handshake_timeout,
                                        [this, alive = std::weak_ptr<int>(alive_)] {
                                          if (alive.expired()) return;
                                          timer_ = {};
                                          ++shared_->metrics.timed_out;
                                          finish("the handshake took too long");
                                        });
    stream_->handshake([this, alive = std::weak_ptr<int>(alive_)](const std::string& reason) {
      if (alive.expired()) return;
      if (reason.empty()) {
        ++shared_->metrics.handshakes;
      } else {
        ++shared_->metrics.failed[reason];
      }
      finish(reason);
    });
  }
  ~Handshake() { shared_->executor.cancel(timer_); }
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

 private:
  void finish(const std::string& reason) {
    shared_->executor.cancel(std::exchange(timer_, {}));
    Done done = std::move(done_);
    std::unique_ptr<TlsStream> stream = std::move(stream_);
    if (!reason.empty()) {
      stream->close();
      return done(reason, nullptr);
    }
    done(reason, std::move(stream));
  }

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<TlsStream> stream_;
  Done done_;
  env::TimerId timer_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

class TlsStreams::Accepting final : public env::Listener {
 public:
  Accepting(std::shared_ptr<Shared> shared, Accepted accepted)
      : state_(std::make_shared<State>(std::move(shared), std::move(accepted))) {}
  ~Accepting() override {
    inner_.reset();
    state_->open = false;
    state_->handshakes.clear();
  }
  Status listen(const std::string& address) {
    LS_ASSIGN_OR_RETURN(inner_, state_->shared->inner->listen(address, [state = state_](auto stream) {
      if (state->open) accept(state, std::move(stream));
    }));
    return {};
  }
  [[nodiscard]] std::uint16_t port() const override { return inner_->port(); }

 private:
  struct State {
    State(std::shared_ptr<Shared> from, Accepted callback)
        : shared(std::move(from)), accepted(std::move(callback)) {}
    std::shared_ptr<Shared> shared;
    Accepted accepted;
    std::list<std::unique_ptr<Handshake>> handshakes;  // the oldest first
    bool open = true;
  };

  static void accept(const std::shared_ptr<State>& state, std::unique_ptr<env::Stream> stream) {
    Shared& shared = *state->shared;
    if (state->handshakes.size() >= shared.options.handshakes_max) {
      ++shared.metrics.crowded_out;
      state->handshakes.pop_front();
    }
    const auto at = state->handshakes.insert(state->handshakes.end(), nullptr);
    ssl_st* connection = shared.listening->make_connection({});
    *at = std::make_unique<Handshake>(
        state->shared, std::move(stream), connection,
        [weak = std::weak_ptr(state), at](const std::string& /*reason*/, std::unique_ptr<env::Stream> ready) {
          const auto kept = weak.lock();
          LS_MUST(kept != nullptr, "handshakes go with their listener");
          kept->handshakes.erase(at);
          if (ready != nullptr) kept->accepted(std::move(ready));
        });
  }

  std::shared_ptr<State> state_;
  std::unique_ptr<env::Listener> inner_;
};

class TlsStreams::Dialling final : public env::Connecting {
 public:
  Dialling(const std::shared_ptr<Shared>& shared, const std::string& address, Done done)
      : state_(std::make_shared<State>()) {
    state_->done = std::move(done);
    const std::string host =
        shared->options.server_name.empty() ? host_of(address) : shared->options.server_name;
    inner_ = shared->inner->connect(address, [shared, host, weak = std::weak_ptr(state_)](
                                                 std::error_code error, std::unique_ptr<env::Stream> stream) {
      const auto state = weak.lock();
      if (state == nullptr) return;
      if (error) return finish(state, error, nullptr);
      state->handshake = std::make_unique<Handshake>(
          shared, std::move(stream), shared->connecting->make_connection(host),
          [weak](const std::string& reason, std::unique_ptr<env::Stream> ready) {
            const auto kept = weak.lock();
            if (kept == nullptr) return;
            const auto refused =
                reason.empty() ? std::error_code() : std::make_error_code(std::errc::permission_denied);
            finish(kept, refused, std::move(ready));
          });
    });
  }
  ~Dialling() override {
    inner_.reset();
    state_->done = nullptr;
    state_->handshake.reset();
  }

 private:
  struct State {
    Done done;
    std::unique_ptr<Handshake> handshake;
  };
  static void finish(const std::shared_ptr<State>& state, std::error_code error,
                     std::unique_ptr<env::Stream> stream) {
    if (Done done = std::exchange(state->done, nullptr)) done(error, std::move(stream));
  }

  std::shared_ptr<State> state_;
  std::unique_ptr<env::Connecting> inner_;
};

Result<std::unique_ptr<TlsStreams>> TlsStreams::create(env::Executor& executor, env::Clock& clock,
                                                       std::shared_ptr<env::Streams> inner,
                                                       const TlsOptions& options) {
  LS_MUST(inner != nullptr);
  std::shared_ptr<Shared> shared(
      new Shared{executor, clock, std::move(inner), options, nullptr, nullptr, {}});
  LS_RETURN_IF_ERROR(shared->load());
  return std::unique_ptr<TlsStreams>(new TlsStreams(std::move(shared)));
}

TlsStreams::~TlsStreams() = default;

std::unique_ptr<env::Connecting> TlsStreams::connect(const std::string& address, env::Connecting::Done done) {
  return std::make_unique<Dialling>(shared_, address, std::move(done));
}

Result<std::unique_ptr<env::Listener>> TlsStreams::listen(const std::string& address,
                                                          env::Listener::Accepted accepted) {
  if (shared_->listening == nullptr)
    return Status(Code::invalid_argument, "listening with TLS needs a certificate");
  auto listener = std::make_unique<Accepting>(shared_, std::move(accepted));
  LS_RETURN_IF_ERROR(listener->listen(address));
  return std::unique_ptr<env::Listener>(std::move(listener));
}

Status TlsStreams::reload() {
  return shared_->load();
}

const TlsMetrics& TlsStreams::metrics() const {
  return shared_->metrics;
}

}  // namespace lockstep::platform
