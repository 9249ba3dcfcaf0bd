#include "remote/keep_alives.h"

#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "remote/convert.h"

namespace lockstep::remote {
namespace {

constexpr std::string_view keep_alive_path = "/etcdserverpb.Lease/LeaseKeepAlive";
constexpr Duration reopen_pause = 100ms;

struct Waiter {
  LeaseId lease;
  store::Callback<store::LeaseKeepAliveResponse> done;  // empty: it has been answered, its place is kept
  env::TimerId timer;
  bool sent = false;
  std::optional<std::stop_callback<std::function<void()>>> cancellation;
};
using WaiterPtr = std::shared_ptr<Waiter>;

}  // namespace

class KeepAlives::Core final : public std::enable_shared_from_this<KeepAlives::Core> {
 public:
  explicit Core(Connections& connections) : connections_(connections) {}
  void renew(LeaseId lease, const store::CallOptions& options,
             store::Callback<store::LeaseKeepAliveResponse> done);
  void close();

 private:
  class Handler;
  void open();
  void opened(Result<Connections::Line> line);
  void send(const WaiterPtr& waiter);
  void on_message(std::string_view bytes);
  void on_end(const rpc::GrpcStatus& status);
  void give_up(const WaiterPtr& waiter, Status why);
  void fail_all(const Status& why);

  Connections& connections_;
  std::map<LeaseId, std::list<WaiterPtr>> sent_;  // on the present stream, in the order of their answers
  std::list<WaiterPtr> unsent_;
  std::shared_ptr<rpc::ClientStream> stream_;
  std::shared_ptr<bool> stream_life_;
  bool opening_ = false;
  env::TimerId reopen_timer_;
  bool closed_ = false;
};

class KeepAlives::Core::Handler final : public rpc::ClientStreamHandler {
 public:
  Handler(std::weak_ptr<Core> core, std::weak_ptr<bool> life)
      : core_(std::move(core)), life_(std::move(life)) {}
  void on_message(std::string_view message) override {
    if (const auto core = core_.lock(); core && !life_.expired()) core->on_message(message);
  }
  void on_end(const rpc::CallResult& result) override {
    if (const auto core = core_.lock(); core && !life_.expired()) core->on_end(result.status);
  }

 private:
  std::weak_ptr<Core> core_;
  std::weak_ptr<bool> life_;
};

void KeepAlives::Core::renew(LeaseId lease, const store::CallOptions& options,
                             store::Callback<store::LeaseKeepAliveResponse> done) {
  env::Executor& executor = connections_.executor();
  if (closed_ || options.cancellation.stop_requested())
    return done(Status(Code::cancelled, "given up by the caller"));
  if (options.deadline <= connections_.clock().now())
    return done(Status(Code::deadline_exceeded, "the deadline passed before the call was sent"));
  auto waiter = std::make_shared<Waiter>();
  waiter->lease = lease;
  waiter->done = std::move(done);
  const std::weak_ptr<Core> weak = weak_from_this();
  const std::weak_ptr<Waiter> weak_waiter = waiter;
  const auto abandon = [weak, weak_waiter](Code code, const char* why) {
    const auto core = weak.lock();
    const WaiterPtr found = weak_waiter.lock();
    if (core && found && found->done) core->give_up(found, {code, why});
  };
  if (options.deadline != no_deadline) {
    waiter->timer = executor.schedule(options.deadline, [abandon] {
      abandon(Code::deadline_exceeded, "no answer to the renewal in time");
    });
  }
  if (options.cancellation.stop_possible()) {
    waiter->cancellation.emplace(options.cancellation, [&executor, abandon] {
      executor.post_from_any_thread([abandon] { abandon(Code::cancelled, "given up by the caller"); });
    });
  }
  if (stream_ != nullptr) return send(waiter);
  unsent_.push_back(std::move(waiter));
  open();
}

void KeepAlives::Core::open() {
  if (opening_ || closed_ || stream_ != nullptr || reopen_timer_ != env::TimerId{} || unsent_.empty()) return;
  opening_ = true;
  connections_.line(no_deadline, {}, [weak = weak_from_this()](Result<Connections::Line> line) {
    if (const auto core = weak.lock()) core->opened(std::move(line));
  });
}

void KeepAlives::Core::opened(Result<Connections::Line> line) {
  opening_ = false;
  if (closed_) return;
  if (!line.ok()) return fail_all(line.status());
  std::vector<rpc::MetadataField> metadata = line->metadata;
  metadata.push_back({"hasleader", "true"});
  stream_life_ = std::make_shared<bool>(true);
  stream_ = line->endpoint->stream(keep_alive_path, metadata,
                                   std::make_unique<Handler>(weak_from_this(), stream_life_));
  for (const WaiterPtr& waiter : std::exchange(unsent_, {})) {
    if (waiter->done) send(waiter);
  }
}

void KeepAlives::Core::send(const WaiterPtr& waiter) {
  LS_MUST(stream_ != nullptr);
  waiter->sent = true;
  sent_[waiter->lease].push_back(waiter);
  pb::LeaseKeepAliveRequest request;
  request.set_id(waiter->lease.value());
  stream_->send(request.SerializeAsString());
}

void KeepAlives::Core::on_message(std::string_view bytes) {
  pb::LeaseKeepAliveResponse message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    stream_->cancel();
    return on_end({rpc::GrpcCode::internal, "the server sent what is no answer to a renewal"});
  }
  const auto found = sent_.find(LeaseId(message.id()));
  if (found == sent_.end()) return;
  const WaiterPtr waiter = found->second.front();
  found->second.pop_front();
  if (found->second.empty()) sent_.erase(found);
  if (!waiter->done) return;
  connections_.executor().cancel(waiter->timer);
  waiter->cancellation.reset();
  store::LeaseKeepAliveResponse response;
  from_wire(std::move(message), &response);
  auto done = std::exchange(waiter->done, nullptr);
  done(std::move(response));
}

void KeepAlives::Core::on_end(const rpc::GrpcStatus& status) {
  stream_ = nullptr;
  stream_life_.reset();
  for (auto& [lease, waiters] : std::exchange(sent_, {})) {
    for (const WaiterPtr& waiter : waiters) {
      if (waiter->done) unsent_.push_back(waiter);
    }
  }
  connections_.stream_ended(status);
  const Status why =
      to_status(status.ok() ? rpc::GrpcStatus{rpc::GrpcCode::unavailable, "the stream ended"} : status,
                Effect::none, true);
  if (!worth_another_attempt(why) && !asks_for_login(status) && why.code() != Code::internal &&
      why.code() != Code::cancelled)
    return fail_all(why);
  if (unsent_.empty()) return;
  reopen_timer_ =
      connections_.executor().schedule(connections_.clock().now() + reopen_pause, [weak = weak_from_this()] {
        const auto core = weak.lock();
        if (core == nullptr || core->closed_) return;
        core->reopen_timer_ = {};
        core->open();
      });
}

void KeepAlives::Core::give_up(const WaiterPtr& waiter, Status why) {
  connections_.executor().cancel(waiter->timer);
  waiter->cancellation.reset();
  if (waiter->sent) why = {Code::unknown_outcome, std::string(why.message())};
  auto done = std::exchange(waiter->done, nullptr);
  unsent_.remove(waiter);
  done(std::move(why));
}

void KeepAlives::Core::fail_all(const Status& why) {
  std::list<WaiterPtr> ending = std::exchange(unsent_, {});
  for (auto& [lease, waiters] : std::exchange(sent_, {})) ending.splice(ending.end(), waiters);
  for (const WaiterPtr& waiter : ending) {
    if (waiter->done) give_up(waiter, why);
  }
}

void KeepAlives::Core::close() {
  closed_ = true;
  connections_.executor().cancel(reopen_timer_);
  stream_life_.reset();
  if (stream_ != nullptr) stream_->cancel();
  stream_ = nullptr;
  fail_all({Code::cancelled, "the store is closed"});
}

KeepAlives::KeepAlives(Connections& connections) : core_(std::make_shared<Core>(connections)) {}

KeepAlives::~KeepAlives() {
  core_->close();
}

void KeepAlives::renew(LeaseId lease, const store::CallOptions& options,
                       store::Callback<store::LeaseKeepAliveResponse> done) {
  core_->renew(lease, options, std::move(done));
}

}  // namespace lockstep::remote
