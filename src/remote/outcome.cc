#include "remote/outcome.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace lockstep::remote {
namespace {

using rpc::GrpcCode;
using rpc::GrpcStatus;

// Said before a request is proposed: by etcd's interceptors, and by ours where the store is certain.
constexpr std::array<std::string_view, 3> refusals_without_effect = {
    "etcdserver: no leader", "etcdserver: not leader", "etcdserver: not capable"};
constexpr std::array<std::string_view, 3> login_texts = {"etcdserver: invalid auth token",
                                                         "etcdserver: revision of auth store is old",
                                                         "etcdserver: user name is empty"};
// Said with invalid_argument. Whoever asked knows nothing of the login that was made for the call.
constexpr std::array<std::string_view, 2> wrong_login_texts = {
    "etcdserver: authentication failed, invalid user ID or password", "etcdserver: user name is empty"};

// What a read's error means; for a mutation only where definite() says so.
Code code_of(const GrpcStatus& status) {
  if (std::ranges::find(wrong_login_texts, status.message) != wrong_login_texts.end())
    return Code::unauthenticated;
  switch (status.code) {
    case GrpcCode::ok:
      return Code::ok;
    case GrpcCode::cancelled:
      return Code::cancelled;
    case GrpcCode::invalid_argument:
      return Code::invalid_argument;
    case GrpcCode::deadline_exceeded:
      return Code::deadline_exceeded;
    case GrpcCode::not_found:
      return Code::not_found;
    case GrpcCode::already_exists:
      return Code::already_exists;
    case GrpcCode::permission_denied:
      return Code::permission_denied;
    case GrpcCode::resource_exhausted:
      return Code::resource_exhausted;
    case GrpcCode::failed_precondition:
      return Code::failed_precondition;
    case GrpcCode::out_of_range:
      return Code::out_of_range;
    case GrpcCode::unimplemented:
      return Code::unimplemented;
    case GrpcCode::data_loss:
      return Code::corruption;
    case GrpcCode::unauthenticated:
      return Code::unauthenticated;
    case GrpcCode::aborted:
    case GrpcCode::unavailable:
      return Code::unavailable;
    case GrpcCode::unknown:
    case GrpcCode::internal:
      return Code::internal;
  }
  return Code::internal;
}

// The text is a server's, not one of our end of the connection.
bool from_server(const GrpcStatus& status) {
  return std::ranges::any_of(std::array<std::string_view, 3>{"etcdserver: ", "lockstep: ", "grpc: "},
                             [&](std::string_view start) { return status.message.starts_with(start); });
}

// The server says that it did nothing.
bool definite(const GrpcStatus& status) {
  switch (status.code) {
    case GrpcCode::invalid_argument:
    case GrpcCode::not_found:
    case GrpcCode::already_exists:
    case GrpcCode::permission_denied:
    case GrpcCode::failed_precondition:
    case GrpcCode::out_of_range:
    case GrpcCode::unimplemented:
    case GrpcCode::data_loss:
    case GrpcCode::unauthenticated:
      return true;
    case GrpcCode::resource_exhausted:
      // Our own end says so of an answer that is too large: then the request took effect.
      return from_server(status);
    default:
      return std::ranges::find(refusals_without_effect, status.message) != refusals_without_effect.end();
  }
}

}  // namespace

Status to_status(const GrpcStatus& status, Effect effect, bool sent) {
  LS_MUST(!status.ok());
  if (effect == Effect::mutation && sent && !definite(status))
    return {Code::unknown_outcome,
            status.message.empty() ? std::string(to_string(status.code)) : status.message};
  return {code_of(status), status.message};
}

bool worth_another_attempt(const Status& status) {
  return status.code() == Code::unavailable;
}

bool asks_for_login(const GrpcStatus& status) {
  return std::ranges::find(login_texts, status.message) != login_texts.end();
}

std::string_view login_text_in(std::string_view reason) {
  const auto* const found =
      std::ranges::find_if(login_texts, [&](std::string_view text) { return reason.contains(text); });
  return found == login_texts.end() ? std::string_view() : *found;
}

bool login_not_needed(const GrpcStatus& status) {
  return status.message == "etcdserver: authentication is not enabled";
}

}  // namespace lockstep::remote
