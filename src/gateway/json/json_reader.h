// JSON into protocol buffers, strictly: what is not exactly a message of the type is refused, with the place.
//
// Accepted as by gRPC's gateways: field names as in the .proto or in camelCase, bytes in base64 with padding,
// 64-bit integers as numbers or strings, enums by name or number, null for "not given". Refused, besides what
// no JSON is: a name twice, an unknown one, a byte order mark, comments, numbers out of range, lone
// surrogates, deep nesting.
//
// Memory is bounded by the text's length (I11). Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "base/status.h"

namespace lockstep::gateway {

inline constexpr std::size_t json_depth_max = 64;

// Reads one value from the begin of `text`; `read` is how many bytes it took. An empty text is an empty
// message, as for etcd. Errors: invalid_argument, "/success/0/request_put/key: not base64".
Status read_json(std::string_view text, google::protobuf::Message* message, std::size_t* read);

// Everything but white space must belong to the message.
Status read_json(std::string_view text, google::protobuf::Message* message);

}  // namespace lockstep::gateway
