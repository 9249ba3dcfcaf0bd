#include "gateway/http.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"

namespace lockstep::gateway {
namespace {

struct Reason {
  int status;
  int grpc_code;  // what etcd's gateway puts beside it
  std::string_view text;
};
constexpr std::array<Reason, 24> reasons = {{
    {200, 0, "OK"},
    {201, 0, "Created"},
    {204, 0, "No Content"},
    {400, 3, "Bad Request"},
    {401, 16, "Unauthorized"},
    {403, 7, "Forbidden"},
    {404, 5, "Not Found"},
    {405, 12, "Method Not Allowed"},
    {408, 4, "Request Timeout"},
    {409, 10, "Conflict"},
    {412, 9, "Precondition Failed"},
    {413, 8, "Content Too Large"},
    {414, 3, "URI Too Long"},
    {415, 3, "Unsupported Media Type"},
    {417, 3, "Expectation Failed"},
    {421, 3, "Misdirected Request"},
    {422, 3, "Unprocessable Content"},
    {429, 8, "Too Many Requests"},
    {431, 8, "Request Header Fields Too Large"},
    {500, 13, "Internal Server Error"},
    {501, 12, "Not Implemented"},
    {503, 14, "Service Unavailable"},
    {504, 4, "Gateway Timeout"},
    {505, 3, "HTTP Version Not Supported"},
}};

const Reason& reason_of(int status) {
  const auto found = std::ranges::find(reasons, status, &Reason::status);
  static constexpr Reason other{0, 2, "Other"};
  return found == reasons.end() ? other : *found;
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  return out + '"';
}

}  // namespace

std::optional<std::string_view> HttpRequest::field(std::string_view name) const {
  const auto found = std::ranges::find(fields, name, &HttpField::name);
  if (found == fields.end()) return std::nullopt;
  return found->value;
}

std::string_view http_reason(int status) {
  return reason_of(status).text;
}

HttpResponse http_error(int status, std::string_view message) {
  const std::string text = json_string(message);
  HttpResponse response;
  response.status = status;
  response.body = R"({"error":)" + text + R"(,"code":)" + std::to_string(reason_of(status).grpc_code) +
                  R"(,"message":)" + text + "}";
  return response;
}

void HttpRouter::add(Route& route, std::string_view method, HttpHandler handler) {
  for (const auto& [known, unused] : route.methods) LS_MUST(known != method, "a route is registered once");
  route.methods.emplace_back(method, std::move(handler));
}

void HttpRouter::exact(std::string_view method, std::string_view path, HttpHandler handler) {
  LS_MUST(path.starts_with('/'));
  const auto [found, made] = exact_.try_emplace(std::string(path));
  found->second.path = path;
  add(found->second, method, std::move(handler));
}

void HttpRouter::prefix(std::string_view method, std::string_view path, HttpHandler handler) {
  LS_MUST(path.starts_with('/'));
  auto found = std::ranges::find(prefixes_, path, &Route::path);
  if (found == prefixes_.end()) found = prefixes_.insert(found, {std::string(path), {}});
  add(*found, method, std::move(handler));
}

HttpRouter::Found HttpRouter::find(std::string_view method, std::string_view path) const {
  const Route* best = nullptr;
  if (const auto exact = exact_.find(path); exact != exact_.end()) {
    best = &exact->second;
  } else {
    for (const Route& route : prefixes_) {
      if (path.starts_with(route.path) && (best == nullptr || best->path.size() < route.path.size()))
        best = &route;
    }
  }
  if (best == nullptr) return {};
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  Found found;
  for (const auto& [known, handler] : best->methods) {
    if (known == wanted) return {&handler, {}};
    found.allow += (found.allow.empty() ? "" : ", ") + known;
  }
  return found;
}

void HttpRouter::set_refusals(std::string_view path, Refusal refusal) {
  refusals_.emplace_back(path, refusal);
}

HttpResponse HttpRouter::refuse(std::string_view path, int status, std::string_view why) const {
  for (const auto& [under, refusal] : refusals_) {
    if (path.starts_with(under)) return refusal(status, why);
  }
  return http_error(status, why);
}

}  // namespace lockstep::gateway
