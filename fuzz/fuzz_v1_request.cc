// Requests to /v1: the first byte picks body or query, the rest are its bytes. What was read keeps to its
// table.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "gateway/v1/json_text.h"
#include "gateway/v1/request_reader.h"

namespace {

namespace v1 = lockstep::gateway::v1;

const v1::Fields& body_table() {
  static const v1::Fields fields = {
      v1::bytes_field("name", "").required().between(1, 16),
      v1::integer_field("ttl_ms", "").between(1, 1000),
      v1::boolean_field("force", ""),
      v1::text_field("mode", "").one_of({"read", "write"}),
      v1::bytes_list_field("names", "").between(1, 3),
      v1::object_list_field(
          "writes", "", {v1::bytes_field("key", "").required().between(1, 8), v1::integer_field("count", "")})
          .between(1, 2),
  };
  return fields;
}

const v1::Fields& query_table() {
  static const v1::Fields fields = {v1::bytes_field("name", "").required().between(1, 16),
                                    v1::integer_field("limit", "").between(0, 9),
                                    v1::boolean_field("prefix", "")};
  return fields;
}

void check(const v1::Arguments& arguments) {
  for (const v1::Field& field : arguments.table()) {
    LS_MUST(!field.is_required || arguments.has(field.name));
    if (!arguments.has(field.name)) continue;
    if (field.type == v1::FieldType::integer) {
      const std::int64_t number = arguments.integer(field.name);
      LS_MUST(number >= field.least && number <= field.most);
    } else if (field.type == v1::FieldType::bytes) {
      LS_MUST(static_cast<std::int64_t>(arguments.text(field.name).size()) <= field.most);
    } else if (field.type == v1::FieldType::object_list) {
      LS_MUST(static_cast<std::int64_t>(arguments.objects(field.name).size()) <= field.most);
      for (const v1::Arguments& one : arguments.objects(field.name)) check(one);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  v1::Arguments arguments;
  const bool body = data[0] % 2 == 0;
  const auto misread =
      body ? v1::read_body(text, body_table(), &arguments) : v1::read_query(text, query_table(), &arguments);
  if (!misread.has_value()) {
    check(arguments);
    // What we write of it we can read.
    v1::JsonText json;
    json.bytes("name", arguments.text("name"));
    v1::Arguments again;
    LS_MUST(!v1::read_body(json.str(), body_table(), &again).has_value());
    LS_MUST(again.text("name") == arguments.text("name"));
  }
  return 0;
}
