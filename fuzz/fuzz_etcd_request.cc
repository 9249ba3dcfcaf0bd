// Requests of etcd's protocol: the first byte picks the message, the rest are its bytes. What parses is
// converted and validated as a call would be; the same message then goes the JSON gateway's way and must come
// back as it was.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>

#include "base/assert.h"
#include "gateway/etcd/convert.h"
#include "gateway/json/json_reader.h"
#include "proto/auth_service.pb.h"
#include "proto/election.pb.h"
#include "proto/lock.pb.h"
#include "store/validate.h"

namespace {

using google::protobuf::Message;
namespace gateway = lockstep::gateway;
namespace store = lockstep::store;

template <class Request, class Wire>
bool convert(Message* message) {
  auto* wire = dynamic_cast<Wire*>(message);
  if (wire == nullptr) return false;
  Request request;
  if (gateway::from_wire(*wire, &request).ok()) {
    if constexpr (requires { store::validate(request); }) {
      static_cast<void>(store::validate(request).ok());
    }
  }
  return true;
}

void convert_any(Message* message) {
  static_cast<void>(convert<store::RangeRequest, etcdserverpb::RangeRequest>(message) ||
                    convert<store::PutRequest, etcdserverpb::PutRequest>(message) ||
                    convert<store::DeleteRangeRequest, etcdserverpb::DeleteRangeRequest>(message) ||
                    convert<store::TxnRequest, etcdserverpb::TxnRequest>(message) ||
                    convert<store::CompactRequest, etcdserverpb::CompactionRequest>(message) ||
                    convert<store::WatchRequest, etcdserverpb::WatchCreateRequest>(message) ||
                    convert<store::AlarmRequest, etcdserverpb::AlarmRequest>(message));
}

// Unknown fields are no part of JSON.
void compare_with_json(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return;
  const std::unique_ptr<Message> read(message.New());
  const lockstep::Status status = gateway::read_json(json, read.get());
  if (status.message().find("too deep") != std::string_view::npos) return;
  LS_MUST(status.ok(), "what we print we can read");
  const std::unique_ptr<Message> plain(message.New());
  plain->CopyFrom(message);
  plain->DiscardUnknownFields();
  LS_MUST(read->SerializeAsString() == plain->SerializeAsString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  google::protobuf::SetLogHandler(nullptr);
  const std::array<std::unique_ptr<Message>, 14> messages = {
      std::make_unique<etcdserverpb::RangeRequest>(),
      std::make_unique<etcdserverpb::PutRequest>(),
      std::make_unique<etcdserverpb::DeleteRangeRequest>(),
      std::make_unique<etcdserverpb::TxnRequest>(),
      std::make_unique<etcdserverpb::CompactionRequest>(),
      std::make_unique<etcdserverpb::WatchRequest>(),
      std::make_unique<etcdserverpb::WatchCreateRequest>(),
      std::make_unique<etcdserverpb::LeaseGrantRequest>(),
      std::make_unique<etcdserverpb::MemberAddRequest>(),
      std::make_unique<etcdserverpb::AlarmRequest>(),
      std::make_unique<etcdserverpb::AuthUserAddRequest>(),
      std::make_unique<v3lockpb::LockRequest>(),
      std::make_unique<v3electionpb::CampaignRequest>(),
      std::make_unique<etcdserverpb::AuthRoleGrantPermissionRequest>()};
  Message* const message = messages[data[0] % messages.size()].get();
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    compare_with_json(*message);
    convert_any(message);
  }
  message->Clear();
  static_cast<void>(gateway::read_json(bytes, message).ok());
  return 0;
}
