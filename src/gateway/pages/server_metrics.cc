// The counters of the gRPC and HTTP servers as metrics.
#include <array>
#include <string>

#include "gateway/pages/status_pages.h"

namespace lockstep::gateway {
namespace {

// "OK" to "Unauthenticated", as Go's and Java's gRPC metrics label them.
constexpr std::array<std::string_view, rpc::grpc_code_count> code_names = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

struct MethodName {
  explicit MethodName(std::string_view path)
      : service(path.substr(1, path.rfind('/') - 1)), method(path.substr(path.rfind('/') + 1)) {}
  std::string_view service;
  std::string_view method;
};

}  // namespace

void write_metrics(const rpc::Server& server, MetricsText* text) {
  text->family("grpc_server_started_total", MetricsText::Kind::counter, "Calls that began.");
  server.for_each_method([&](std::string_view path, const rpc::MethodMetrics& metrics) {
    if (metrics.started == 0) return;
    const MethodName name(path);
    text->sample({{"grpc_service", name.service}, {"grpc_method", name.method}}, metrics.started);
  });
  text->family("grpc_server_handled_total", MetricsText::Kind::counter, "Calls that ended, by how.");
  server.for_each_method([&](std::string_view path, const rpc::MethodMetrics& metrics) {
    const MethodName name(path);
    for (std::size_t code = 0; code < metrics.ended.size(); ++code) {
      if (metrics.ended[code] == 0) continue;
      text->sample(
          {{"grpc_service", name.service}, {"grpc_method", name.method}, {"grpc_code", code_names[code]}},
          metrics.ended[code]);
    }
  });
  text->family("grpc_server_handling_seconds", MetricsText::Kind::histogram,
               "From a call's headers to its end, of calls that the server ended.");
  server.for_each_method([&](std::string_view path, const rpc::MethodMetrics& metrics) {
    if (metrics.seconds.count == 0) return;
    const MethodName name(path);
    text->sample({{"grpc_service", name.service}, {"grpc_method", name.method}}, metrics.seconds);
  });
  const rpc::ServerMetrics& metrics = server.metrics();
  text->counter("etcd_network_client_grpc_received_bytes_total", "From gRPC clients, framing included.",
                metrics.bytes_received);
  text->counter("etcd_network_client_grpc_sent_bytes_total", "To gRPC clients, framing included.",
                metrics.bytes_sent);
  text->counter("lockstep_grpc_connections_accepted_total", "HTTP/2 connections.",
                metrics.connections_accepted);
  text->counter("lockstep_grpc_connections_refused_total", "HTTP/2 connections above the limit.",
                metrics.connections_refused);
  text->gauge("lockstep_grpc_connections_open", "HTTP/2 connections open.", metrics.connections_open);
  text->gauge("lockstep_grpc_calls_open", "Calls being served.", metrics.calls_open);
  text->counter("lockstep_grpc_calls_refused_total", "Calls above a limit.", metrics.calls_refused);
  text->counter("lockstep_grpc_received_bytes_total", "From clients, framing included.",
                metrics.bytes_received);
  text->counter("lockstep_grpc_sent_bytes_total", "To clients, framing included.", metrics.bytes_sent);
  text->gauge("lockstep_grpc_unsent_bytes", "Answers that clients have not taken.",
              metrics.answer_bytes_unsent);
  text->family("lockstep_grpc_bad_calls_total", MetricsText::Kind::counter, "Bad input, by what was wrong.");
  for (std::size_t i = 0; i < metrics.bad_calls.size(); ++i) {
    text->sample({{"reason", to_string(static_cast<rpc::BadCall>(i))}}, metrics.bad_calls[i]);
  }
}

void write_metrics(const HttpMetrics& metrics, MetricsText* text) {
  text->counter("lockstep_http_connections_accepted_total", "HTTP/1.1 connections.",
                metrics.connections_accepted);
  text->counter("lockstep_http_connections_refused_total", "HTTP/1.1 connections above the limit.",
                metrics.connections_refused);
  text->gauge("lockstep_http_connections_open", "HTTP/1.1 connections open.", metrics.connections_open);
  text->counter("lockstep_http_requests_total", "Requests that reached a handler.", metrics.requests);
  text->counter("lockstep_http_received_bytes_total", "From HTTP/1.1 clients.", metrics.bytes_received);
  text->counter("lockstep_http_sent_bytes_total", "To HTTP/1.1 clients.", metrics.bytes_sent);
  text->family("lockstep_http_refused_total", MetricsText::Kind::counter,
               "Requests refused, by HTTP status.");
  for (const auto& [status, count] : metrics.refused)
    text->sample({{"status", std::to_string(status)}}, count);
}

}  // namespace lockstep::gateway
