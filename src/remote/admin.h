// The services of etcd beside the Store: members, upkeep, users. Requests and answers are etcd's messages,
// for callers that know them (the command line); nothing above needs more.
//
// Strand only. The connections outlive this.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "remote/connections.h"

namespace google::protobuf {
class MessageLite;
}

namespace lockstep::remote {

class Admin {
 public:
  explicit Admin(Connections& connections) : connections_(connections) {}

  struct Where {
    TimePoint deadline = no_deadline;
    std::string endpoint;  // empty: any member
  };
  // `response` is filled before `done` says ok, and stays valid until then.
  void call(std::string_view path, const google::protobuf::MessageLite& request,
            google::protobuf::MessageLite* response, Effect effect, const Where& where,
            std::move_only_function<void(Status)> done);

  // The snapshot of one member, piece by piece: what is still to come after it, and its bytes. `on_piece`
  // returns false to give up. Destroying what is returned gives up silently.
  using OnPiece = std::move_only_function<bool(std::uint64_t remaining_bytes, std::string_view bytes)>;
  class Snapshot;
  std::shared_ptr<Snapshot> snapshot(const Where& where, OnPiece on_piece,
                                     std::move_only_function<void(Status)> done);

 private:
  Connections& connections_;
};

}  // namespace lockstep::remote
