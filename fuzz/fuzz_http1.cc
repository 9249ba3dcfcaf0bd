// The bytes an HTTP/1.1 client may send.
//
// Checked beside not crashing: the answers do not depend on how the bytes were cut, no memory grows beyond
// the limits, and after hanging up nothing of the connection is left.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "gateway/http1/http_server.h"
#include "rpc/testing_world.h"

namespace {

using namespace lockstep;
using namespace lockstep::gateway;

std::string answers(std::string_view bytes, std::size_t portion) {
  rpc::TestStrand strand;
  HttpServerOptions options;
  options.limits = {.target_bytes_max = 200, .head_bytes_max = 500, .fields_max = 10, .body_bytes_max = 300};
  HttpServer server(strand, strand, options);
  const HttpHandler echo = [](const HttpResponderPtr& responder, HttpRequest& request) {
    LS_MUST(request.body.size() <= 300);
    LS_MUST(request.path.find('\0') == std::string::npos);
    HttpResponse response;
    response.body = request.method + ' ' + request.path + '?' + request.query + ' ' + request.body;
    responder->respond(response);
  };
  server.router().prefix("GET", "/", echo);
  server.router().prefix("POST", "/", echo);
  rpc::TestWire wire(strand);
  server.accept(std::move(wire.stream));
  while (!bytes.empty() && !wire.ended()) {
    const std::size_t count = std::min(portion, bytes.size());
    wire.send(bytes.substr(0, count));
    bytes.remove_prefix(count);
    strand.settle();
  }
  std::string out = wire.received();
  // Only a client whose body has not come is told to go on.
  constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
  for (std::size_t at = 0; (at = out.find(go_on, at)) != std::string::npos;) out.erase(at, go_on.size());
  wire.hang_up();
  strand.settle();
  LS_MUST(server.metrics().connections_open == 0);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4000) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // What is wrong at the very end may show only when more comes.
  LS_MUST(answers(bytes, bytes.size() + 1).starts_with(answers(bytes, 7)),
          "cutting the bytes changes the answers");
  return 0;
}
