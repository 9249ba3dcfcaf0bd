// Requests of /v1 into Arguments, strictly: what a table does not hold is refused, with the place.
//
//   {"name":"orders","ttl_ms":0}   ->  pointer "/ttl_ms", "an integer between 1 and 9000000000 was expected"
//
// Refused, besides what no JSON is: a member twice, an unknown one, null, a byte order mark, comments,
// numbers that are no 64-bit integers, lone surrogates, deep nesting, bytes given both as text and in base64.
//
// Memory is bounded by the text's length (I11): nothing is kept that the table has no place for. Pure
// functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/v1/fields.h"

namespace lockstep::gateway::v1 {

struct Misread {
  std::string pointer;  // where in the request, as RFC 6901 writes it; of a query: its name
  std::string why;
};

// Nothing: all was well. The table outlives the arguments. An empty text is an object without members.
std::optional<Misread> read_body(std::string_view text, const Fields& table, Arguments* arguments);
// "key=a%20b&prefix=true". A '+' stands for a space.
std::optional<Misread> read_query(std::string_view query, const Fields& table, Arguments* arguments);

}  // namespace lockstep::gateway::v1
