// The JSON gateway: every gRPC method under /v3/…, as etcd's own gateway serves it.
//
//   POST /v3/kv/range {"key":"Zm9v"}  ->  {"header":{…},"kvs":[…],"count":"1"}
//
// Bytes in base64, 64-bit integers as strings, fields that have their default left out, enums by name; input
// also in camelCase. Streams answer one {"result":…} a line; what a client streams are JSON objects one after
// the other in the body. Errors: {"error":…,"message":…,"code":…} with the HTTP status of the gRPC code.
//
// It is a ServiceRegistry: the same handlers serve both protocols, through a call of this gateway's own, so
// admission and permissions cannot differ. Metadata: `authorization` (also as the token), and any other name
// as a header field of that name or behind `grpc-metadata-`.
//
// Strand: the core's. Destroying it forgets the calls that are running.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "env/executor.h"
#include "gateway/http.h"
#include "rpc/server_call.h"

namespace lockstep::gateway {

class JsonGateway final : public rpc::ServiceRegistry {
 public:
  explicit JsonGateway(env::Executor& executor);
  ~JsonGateway() override;
  JsonGateway(const JsonGateway&) = delete;
  JsonGateway& operator=(const JsonGateway&) = delete;

  // ---- rpc::ServiceRegistry. Methods without a JSON path are left out.
  void unary(std::string_view path, rpc::UnaryHandler handler) override;
  void streaming(std::string_view path, rpc::StreamHandlerFactory factory) override;

  // Every path of what was registered. The gateway outlives the router's handlers.
  void register_with(HttpRouter& router);

  [[nodiscard]] std::size_t calls_open() const;

 private:
  class Call;
  class Calls;
  struct Method {
    std::string path;  // gRPC's
    rpc::UnaryHandler unary;
    rpc::StreamHandlerFactory streaming;
  };

  void serve(const Method& method, const HttpResponderPtr& responder, HttpRequest& request);

  std::map<std::string, Method, std::less<>> methods_;  // by JSON path
  std::shared_ptr<Calls> calls_;
};

// The HTTP status that stands for a gRPC code.
int http_status_of(rpc::GrpcCode code);

}  // namespace lockstep::gateway
