#include "service/ownership_queue.h"

#include <array>
#include <charconv>
#include <functional>
#include <optional>
#include <utility>

#include "base/assert.h"

namespace lockstep::service {
namespace {

constexpr std::size_t events_bytes_max = 4096;  // one removal is awaited

store::RangeRequest contenders_of(const std::string& name) {
  store::RangeRequest request;
  request.key = name + "/";
  request.range_end = prefix_end(request.key);
  request.sort_target = store::SortTarget::create_revision;
  request.limit = 1;
  return request;
}

store::RangeRequest one_key(const std::string& key) {
  store::RangeRequest request;
  request.key = key;
  return request;
}

store::Compare created_at(const std::string& key, Revision revision) {
  store::Compare compare;
  compare.key = key;
  compare.target = store::CompareTarget::create_revision;
  compare.number = revision.value();
  return compare;
}

template <class Request>
store::RequestOperation operation(Request request) {
  store::RequestOperation wrapped;
  wrapped.request = std::move(request);
  return wrapped;
}

const store::RangeResponse& range_of(const store::TxnResponse& answer, std::size_t position) {
  LS_MUST(position < answer.responses.size());
  const auto* range = std::get_if<store::RangeResponse>(&answer.responses[position].response);
  LS_MUST(range != nullptr);
  return *range;
}

// Ours, as soon as it is written, and the one right before it.
store::RangeRequest newest_two(const std::string& name) {
  store::RangeRequest request = contenders_of(name);
  request.sort_order = store::SortOrder::descend;
  request.limit = 2;
  return request;
}

}  // namespace

std::string prefix_end(std::string prefix) {
  while (!prefix.empty()) {
    const auto last = static_cast<unsigned char>(prefix.back());
    if (last < 0xff) {
      prefix.back() = static_cast<char>(last + 1);
      return prefix;
    }
    prefix.pop_back();
  }
  return {'\0'};
}

std::string contender_key(const std::string& name, LeaseId lease) {
  std::array<char, 24> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), lease.value(), 16);
  LS_MUST(error == std::errc());
  return name + "/" + std::string(digits.data(), end);
}

store::RangeRequest oldest_contender(const std::string& name) {
  store::RangeRequest request = contenders_of(name);
  request.sort_order = store::SortOrder::ascend;
  return request;
}

namespace errors {
Status session_expired() {
  return {Code::failed_precondition, "lockstep: the lease ended while its owner waited"};
}
}  // namespace errors

// Kept by the queue until its callback was called. Callbacks of the store keep it alive beyond that, those of
// its own subscription and stop token do not.
class OwnershipQueue::Contender : public std::enable_shared_from_this<Contender> {
 public:
  Contender(OwnershipQueue& queue, std::uint64_t id, AcquireRequest request, store::CallOptions options,
            store::Callback<Ownership> done)
      : queue_(&queue),
        store_(queue.store_),
        id_(id),
        request_(std::move(request)),
        options_(std::move(options)),
        done_(std::move(done)) {}

  void start() {
    // The store is not told: a mutation that is cancelled half way has an unknown outcome, and cleaning up
    // needs to know.
    const std::stop_token cancellation = std::exchange(options_.cancellation, {});
    options_.deadline = no_deadline;
    options_.request_id = {};  // names one mutation; here are several
    if (cancellation.stop_requested())
      return finish(Status(Code::cancelled, "lockstep: the call was cancelled"));
    stop_.emplace(cancellation, [weak = weak_from_this()] {
      if (const std::shared_ptr<Contender> self = weak.lock()) self->on_stop();
    });
    if (request_.lease != LeaseId()) return join();
    store_.lease_grant({default_session_ttl, LeaseId()}, options_,
                       [self = shared_from_this()](const Result<store::LeaseGrantResponse>& granted) {
                         if (!granted.ok()) return self->finish(granted.status());
                         self->request_.lease = granted->id;
                         self->lease_is_ours_ = true;
                         self->join();
                       });
  }

  // The queue is gone: nobody is called any more.
  void forget() {
    queue_ = nullptr;
    done_ = nullptr;
    stop_.reset();
    subscription_.reset();
  }

 private:
  [[nodiscard]] bool gone() const { return queue_ == nullptr; }

  // Writes the key, or finds the one that this lease has already; learns who owns the name.
  void join() {
    if (give_up_if_stopped()) return;
    key_ = contender_key(request_.name, request_.lease);
    store::PutRequest put;
    put.key = key_;
    put.value = request_.value;
    put.lease = request_.lease;
    store::TxnRequest txn;
    txn.compare.push_back(created_at(key_, Revision()));
    txn.success.push_back(operation(std::move(put)));
    txn.success.push_back(operation(newest_two(request_.name)));
    txn.failure.push_back(operation(one_key(key_)));
    txn.failure.push_back(operation(oldest_contender(request_.name)));
    store_.txn(
        std::move(txn), options_,
        [self = shared_from_this()](const Result<store::TxnResponse>& joined) { self->on_joined(joined); });
  }

  void on_joined(const Result<store::TxnResponse>& joined) {
    if (gone()) return;
    if (!joined.ok()) return fail(joined.status());
    if (joined->succeeded) {
      token_ = joined->header.revision;
      if (give_up_if_stopped()) return;
      const store::RangeResponse& newest = range_of(*joined, 1);
      LS_MUST(!newest.kvs.empty(), "our own key at least is there");
      if (newest.kvs.size() == 1) return own(joined->header);
      return wait_for(newest.kvs[1].key, token_.next());
    }
    const store::KeyValue& found = range_of(*joined, 0).kvs.at(0);
    token_ = found.create_revision;
    const bool value_differs = request_.replace_value && found.value != request_.value;
    if (give_up_if_stopped()) return;
    if (value_differs) return replace_value();
    const store::RangeResponse& oldest = range_of(*joined, 1);
    LS_MUST(!oldest.kvs.empty(), "our own key at least is there");
    if (oldest.kvs[0].create_revision == token_) return own(joined->header);
    look_ahead();
  }

  void replace_value() {
    store::PutRequest put;
    put.key = key_;
    put.value = request_.value;
    put.lease = request_.lease;
    store::TxnRequest txn;
    txn.compare.push_back(created_at(key_, token_));
    txn.success.push_back(operation(std::move(put)));
    store_.txn(std::move(txn), options_,
               [self = shared_from_this()](const Result<store::TxnResponse>& replaced) {
                 if (self->gone()) return;
                 if (!replaced.ok()) return self->fail(replaced.status());
                 if (!replaced->succeeded) return self->fail(errors::session_expired());
                 self->look_ahead();
               });
  }

  // Who is right before us, and are we still there? `anywhere`: as some member knows it, which is certain if
  // it says that we own the name: there is no older state with our key and nobody before it. Anything else
  // may be old, and is asked for again.
  void look_ahead(bool anywhere = false) {
    if (give_up_if_stopped()) return;
    store::RangeRequest before = contenders_of(request_.name);
    before.sort_order = store::SortOrder::descend;
    before.max_create_revision = token_.previous();
    before.serializable = anywhere;
    store::TxnRequest txn;
    txn.compare.push_back(created_at(key_, token_));
    txn.success.push_back(operation(std::move(before)));
    store_.txn(std::move(txn), options_,
               [self = shared_from_this(), anywhere](const Result<store::TxnResponse>& looked) {
                 if (self->gone()) return;
                 const bool owns = looked.ok() && looked->succeeded && range_of(*looked, 0).kvs.empty();
                 if (anywhere && !owns) return self->look_ahead();
                 if (!looked.ok()) return self->fail(looked.status());
                 if (!looked->succeeded) return self->fail(errors::session_expired());
                 if (owns) return self->own(looked->header);
                 self->wait_for(range_of(*looked, 0).kvs[0].key, looked->header.revision.next());
               });
  }

  void wait_for(const std::string& key, Revision from) {
    if (give_up_if_stopped()) return;
    store::WatchRequest request;
    request.key = key;
    request.start_revision = from;
    request.no_put = true;
    Result<std::unique_ptr<store::Subscription>> subscription = store_.watch(std::move(request), options_);
    if (!subscription.ok()) return fail(subscription.status());
    subscription_ = *std::move(subscription);
    take_event();
  }

  void take_event() {
    const std::optional<store::WatchResponse> answer = subscription_->next(events_bytes_max);
    if (!answer.has_value()) {
      return subscription_->notify_when_ready([weak = weak_from_this()] {
        const std::shared_ptr<Contender> self = weak.lock();
        if (self != nullptr && self->subscription_ != nullptr) self->take_event();
      });
    }
    // A compaction that overtook us says nothing about the key: look again.
    if (answer->canceled && answer->compact_revision == Revision()) {
      return fail(Status(Code::unavailable, answer->cancel_reason));
    }
    if (answer->events.empty() && !answer->canceled) return take_event();
    subscription_.reset();
    look_ahead(true);
  }

  void own(const store::Header& header) {
    Ownership ownership;
    ownership.header = header;
    ownership.key = key_;
    ownership.token = token_;
    ownership.lease = request_.lease;
    finish(std::move(ownership));
  }

  void on_stop() {
    stopped_ = true;
    if (subscription_ == nullptr) return;  // a call to the store is under way: its answer finds out
    subscription_.reset();
    give_up_if_stopped();
  }

  bool give_up_if_stopped() {
    if (gone()) return true;
    if (stopped_) fail(Status(Code::cancelled, "lockstep: the call was cancelled"));
    return stopped_;
  }

  // Not owned, and never will be: nothing of us may stand in others' way.
  void fail(const Status& why) {
    if (lease_is_ours_) {
      store_.lease_revoke({request_.lease}, options_, [](const Result<store::LeaseRevokeResponse>&) {});
    } else if (!key_.empty()) {
      store::TxnRequest txn;
      // An unknown outcome leaves us without a token: then whatever this lease has under the name is meant.
      if (token_ != Revision()) txn.compare.push_back(created_at(key_, token_));
      store::DeleteRangeRequest removal;
      removal.key = key_;
      txn.success.push_back(operation(std::move(removal)));
      store_.txn(std::move(txn), options_, [](const Result<store::TxnResponse>&) {});
    }
    finish(why);
  }

  void finish(Result<Ownership> result) {
    if (gone()) return;
    const std::shared_ptr<Contender> self = shared_from_this();
    queue_->contenders_.erase(id_);
    store::Callback<Ownership> done = std::move(done_);
    forget();
    done(std::move(result));
  }

  OwnershipQueue* queue_;  // null once finished
  store::Store& store_;
  std::uint64_t id_;
  AcquireRequest request_;
  store::CallOptions options_;
  store::Callback<Ownership> done_;
  std::string key_;
  Revision token_;
  bool lease_is_ours_ = false;
  bool stopped_ = false;
  std::unique_ptr<store::Subscription> subscription_;
  std::optional<std::stop_callback<std::function<void()>>> stop_;
};

OwnershipQueue::~OwnershipQueue() {
  for (auto& [id, contender] : contenders_) contender->forget();
}

void OwnershipQueue::acquire(AcquireRequest request, store::CallOptions options,
                             store::Callback<Ownership> done) {
  const std::uint64_t id = next_id_++;
  auto contender =
      std::make_shared<Contender>(*this, id, std::move(request), std::move(options), std::move(done));
  contenders_.emplace(id, contender);
  contender->start();
}

}  // namespace lockstep::service
