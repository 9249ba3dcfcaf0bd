// What the handlers of all etcd services share: admission of a call, parsing, answering.
//
// Admission is decided in one place, admit(), for every call of every service: learners, `hasleader`, the
// request id, and whoever asks. So a rule added there holds everywhere (I12).
//
// Scratch: the message objects and the output buffer are reused from call to call, because what costs in
// protobuf is making and freeing messages. What one large call left behind is freed at once (I11).
//
// Strand: the core's. Ownership: outlives the calls it serves, and the callbacks that the store still holds:
// destroy the listener, then the store, then this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/message_lite.h>

#include "base/limits.h"
#include "base/version.h"
#include "env/clock.h"
#include "env/executor.h"
#include "gateway/etcd/cluster_face.h"
#include "gateway/etcd/etcd_status.h"
#include "proto/kv.pb.h"
#include "rpc/server_call.h"
#include "store/reader.h"
#include "store/security.h"
#include "store/store.h"

namespace lockstep::gateway {

struct EtcdOptions {
  // What Status and /version say: clients look for features by it. The API served here is that of this
  // release.
  std::string etcd_version{lockstep::etcd_version};
  // After how long without a leader the streams of a client are cut that asked for that with `hasleader`:
  // three of these.
  Duration election_timeout = 1s;
  // Of a lease granted here: etcd's seconds allow no shorter one.
  Duration lease_ttl_min = 1s;
};

// Of one answer: protobuf counts in int, and JSON makes base64 of bytes. The store bounds what it answers far
// below.
inline constexpr std::size_t wire_bytes_max = 1024 * limits::mebibyte;
static_assert(store::answer_bytes_max + 3 * limits::txn_operations_max * limits::request_bytes_max <
              wire_bytes_max);

namespace metadata_names {
inline constexpr std::string_view has_leader = "hasleader";
inline constexpr std::string_view token = "token";
inline constexpr std::string_view authorization = "authorization";  // the token of HTTP clients
inline constexpr std::string_view client_id = "lockstep-client-id";
inline constexpr std::string_view sequence = "lockstep-sequence";
inline constexpr std::string_view unanswered_first = "lockstep-unanswered-first";
}  // namespace metadata_names

// Which calls a member serves that does not vote yet.
enum class Learners : std::uint8_t { refused, served };

// What a call needs beside what the store judges. `user` and `root`: for calls that do not go to the store.
// `no_login`: whatever token it shows is not looked at.
enum class Needs : std::uint8_t { nothing, user, root, no_login };

// A message that is parsed into or filled again and again.
template <class Message>
class Scratch {
 public:
  // Cleared, with the memory of the last use.
  Message& begin() {
    message_->Clear();
    return *message_;
  }
  Message& get() { return *message_; }
  // To be called after use with the size it had on the wire.
  void end(std::size_t wire_bytes) {
    if (wire_bytes > kept_bytes_max) message_ = std::make_unique<Message>();
  }

 private:
  static constexpr std::size_t kept_bytes_max = 256 * limits::kibibyte;
  std::unique_ptr<Message> message_ = std::make_unique<Message>();
};

class Edge {
 public:
  Edge(store::Store& store, store::Security& security, ClusterFace& cluster, env::Executor& executor,
       env::Clock& clock, EtcdOptions options);

  [[nodiscard]] store::Store& store() { return store_; }
  [[nodiscard]] store::Security& security() { return security_; }
  [[nodiscard]] ClusterFace& cluster() { return cluster_; }
  [[nodiscard]] env::Executor& executor() { return executor_; }
  [[nodiscard]] env::Clock& clock() { return clock_; }
  [[nodiscard]] const EtcdOptions& options() const { return options_; }

  // What the store needs to know of a call; nothing if it was refused: then it is finished.
  std::optional<store::CallOptions> admit(rpc::ServerCall& call, Learners learners = Learners::refused,
                                          Needs needs = Needs::nothing);

  // False if the bytes are no such message: then the call is finished.
  static bool parse(rpc::ServerCall& call, std::string_view bytes, google::protobuf::MessageLite* message);

  // Fills what the store left empty (a memory store knows no cluster).
  [[nodiscard]] store::Header filled(store::Header header) const;

  // The message on the wire; valid until the next call of this. Must be no larger than wire_bytes_max.
  std::string_view serialised(const google::protobuf::MessageLite& message);
  // Fails the call if the message is too large for the wire.
  void respond(rpc::ServerCall& call, const google::protobuf::MessageLite& message);
  static void fail(rpc::ServerCall& call, const Status& status) { call.finish(to_etcd_status(status)); }

  // Ties a handler's life to this: the store's callbacks need it after the listener has gone.
  void keep(std::shared_ptr<void> handler) { kept_.push_back(std::move(handler)); }

 private:
  // By the token a call shows, else by the client's certificate.
  Result<store::Principal> principal_of(const rpc::ServerCall& call);

  store::Store& store_;
  store::Security& security_;
  ClusterFace& cluster_;
  env::Executor& executor_;
  env::Clock& clock_;
  EtcdOptions options_;
  std::string buffer_;
  std::vector<std::shared_ptr<void>> kept_;
};

// The request id of a call's metadata: absent, or all three given as decimal numbers. Errors:
// invalid_argument.
Result<RequestId> request_id_of(const rpc::ServerCall& call);

}  // namespace lockstep::gateway
