#include "gateway/v1/openapi.h"

#include <limits>
#include <set>
#include <vector>

#include "base/version.h"

namespace lockstep::gateway::v1 {
namespace {

// Every route may answer these.
constexpr std::string_view common_problems[] = {
    "invalid_request",   "unauthenticated", "permission_denied", "unsupported_media_type",
    "content_too_large", "limit_reached",   "unavailable",       "deadline_exceeded",
    "cancelled",         "outcome_unknown", "not_supported",     "internal"};

JsonText schema_of_object(const Fields& fields);

void add_bounds(JsonText* schema, const Field& field, std::string_view least, std::string_view most) {
  if (field.least != 0 && field.least != std::numeric_limits<std::int64_t>::min())
    schema->number(least, field.least);
  if (field.most != std::numeric_limits<std::int64_t>::max()) schema->number(most, field.most);
  if (field.least == 0 && field.type == FieldType::integer) schema->number(least, 0);
}

// How a field looks in JSON; `base64`: under its second name.
JsonText schema_of(const Field& field, bool base64 = false) {
  JsonText schema;
  switch (field.type) {
    case FieldType::text:
      schema.text("type", "string");
      if (!field.choices.empty()) {
        schema.begin_list("enum");
        for (const std::string& choice : field.choices) schema.element(choice);
        schema.end_list();
      }
      break;
    case FieldType::bytes:
      schema.text("type", "string");
      if (base64) schema.text("contentEncoding", "base64");
      break;
    case FieldType::integer:
      schema.text("type", "integer").text("format", "int64");
      add_bounds(&schema, field, "minimum", "maximum");
      break;
    case FieldType::boolean:
      schema.text("type", "boolean");
      break;
    case FieldType::bytes_list: {
      JsonText items;
      items.text("type", "string");
      if (base64) items.text("contentEncoding", "base64");
      schema.text("type", "array").object("items", items);
      add_bounds(&schema, field, "minItems", "maxItems");
      break;
    }
    case FieldType::object:
      schema = schema_of_object(field.fields);
      break;
    case FieldType::object_list:
      schema.text("type", "array").object("items", schema_of_object(field.fields));
      add_bounds(&schema, field, "minItems", "maxItems");
      break;
    case FieldType::json:
      break;  // anything
  }
  schema.text("description", base64 ? field.meaning + " (any bytes, in base64)" : field.meaning);
  return schema;
}

JsonText schema_of_object(const Fields& fields) {
  JsonText properties;
  std::vector<std::string> needed;
  std::vector<const Field*> either;
  for (const Field& field : fields) {
    properties.object(field.name, schema_of(field));
    if (field.is_bytes()) properties.object(field.name + std::string(base64_suffix), schema_of(field, true));
    if (field.is_required && field.is_bytes()) either.push_back(&field);
    if (field.is_required && !field.is_bytes()) needed.push_back(field.name);
  }
  JsonText schema;
  schema.text("type", "object").object("properties", properties).boolean("additionalProperties", false);
  if (!needed.empty()) {
    schema.begin_list("required");
    for (const std::string& name : needed) schema.element(name);
    schema.end_list();
  }
  if (either.empty()) return schema;
  schema.begin_list("allOf");
  for (const Field* field : either) {
    JsonText one;
    one.begin_list("oneOf");
    for (const std::string& name : {field->name, field->name + std::string(base64_suffix)}) {
      JsonText choice;
      choice.begin_list("required").element(name).end_list();
      one.element(choice);
    }
    one.end_list();
    schema.element(one);
  }
  return schema.end_list();
}

JsonText content(std::string_view type, const JsonText& schema) {
  JsonText media;
  media.object("schema", schema);
  JsonText content;
  content.object(type, media);
  return content;
}

// Of a query, or of a header.
JsonText parameter(std::string_view where, std::string_view name, bool required, const JsonText& schema) {
  JsonText one;
  one.text("name", name).text("in", where).boolean("required", required).object("schema", schema);
  return one;
}

void add_parameters(JsonText* operation, const Route& route) {
  operation->begin_list("parameters");
  if (route.method == "GET") {
    for (const Field& field : route.request) {
      if (field.name == path_field(route)) {
        operation->element(parameter("path", field.name, true, schema_of(field)));
        continue;
      }
      operation->element(
          parameter("query", field.name, field.is_required && !field.is_bytes(), schema_of(field)));
      if (field.is_bytes())
        operation->element(
            parameter("query", field.name + std::string(base64_suffix), false, schema_of(field, true)));
    }
  }
  JsonText id;
  id.text("type", "string").text("description", "comes back in the answer; made up if absent");
  operation->element(parameter("header", "X-Request-Id", false, id));
  if (route.mutates) {
    JsonText key;
    key.text("type", "string").number("minLength", 1).number("maxLength", 255);
    key.text("description", "the request takes effect once, however often it is repeated with this key");
    operation->element(parameter("header", "Idempotency-Key", false, key));
  }
  operation->end_list();
}

JsonText answer_of(const Route& route) {
  JsonText answer;
  if (!route.stream) {
    answer.text("description", "done");
    answer.object("content", content("application/json", schema_of_object(route.answer)));
    return answer;
  }
  JsonText events;
  for (const Event& event : route.events) {
    JsonText schema = schema_of_object(event.fields);
    events.object(event.name, schema.text("description", event.meaning));
  }
  JsonText schema;
  schema.text("type", "string").text("description", "server-sent events; data is JSON, by event name");
  schema.object("x-events", events);
  answer.text("description", "events, until either side ends them");
  answer.object("content", content("text/event-stream", schema));
  return answer;
}

JsonText problem_answer(int status, const Route& route) {
  std::vector<std::string_view> codes(std::begin(common_problems), std::end(common_problems));
  codes.insert(codes.end(), route.problems.begin(), route.problems.end());
  if (route.mutates) {
    codes.emplace_back("idempotency_in_progress");
    codes.emplace_back("idempotency_mismatch");
  }
  std::string text;
  for (const std::string_view code : codes) {
    const ProblemKind& kind = problem_kind(code);
    if (kind.status == status) text.append(text.empty() ? "" : ", ").append(kind.code);
  }
  JsonText reference;
  reference.text("$ref", "#/components/schemas/Problem");
  JsonText answer;
  answer.text("description", text);
  answer.object("content", content("application/problem+json", reference));
  return answer;
}

JsonText operation_of(const Route& route) {
  JsonText operation;
  operation.text("summary", route.summary);
  operation.begin_list("tags").element(route.tag).end_list();
  add_parameters(&operation, route);
  if (route.method != "GET") {
    JsonText body;
    body.boolean("required", true);
    body.object("content", content("application/json", schema_of_object(route.request)));
    operation.object("requestBody", body);
  }
  std::set<int> statuses;
  for (const std::string_view code : common_problems) statuses.insert(problem_kind(code).status);
  for (const std::string_view code : route.problems) statuses.insert(problem_kind(code).status);
  if (route.mutates) {
    statuses.insert(problem_kind("idempotency_in_progress").status);
    statuses.insert(problem_kind("idempotency_mismatch").status);
  }
  JsonText responses;
  responses.object("200", answer_of(route));
  for (const int status : statuses) responses.object(std::to_string(status), problem_answer(status, route));
  return operation.object("responses", responses);
}

JsonText problem_schema() {
  const Fields fields = {
      text_field("type", "urn:lockstep:problem: and the code").required(),
      text_field("title", "what kind of problem this is").required(),
      integer_field("status", "HTTP's").between(400, 599).required(),
      text_field("detail", "what is wrong with this request").required(),
      text_field("code", "stable: programs may rely on it").required(),
      boolean_field("retryable", "nothing was done, and the same request may succeed later").required(),
      integer_field("retry_after_ms", "when that may be worth a try").between(1, 3'600'000),
      text_field("pointer", "where in the request, as a JSON pointer"),
      text_field("request_id", "as in X-Request-Id"),
  };
  return schema_of_object(fields);
}

}  // namespace

std::string openapi_document(const Routes& routes) {
  JsonText info;
  info.text("title", "Lockstep").text("version", version);
  JsonText paths;
  std::set<std::string> described;
  for (const Route& first : routes) {
    if (!described.insert(first.path).second) continue;
    JsonText methods;
    for (const Route& route : routes) {
      if (route.path != first.path) continue;
      std::string method = route.method;
      for (char& c : method) c = static_cast<char>(c | 0x20);
      methods.object(method, operation_of(route));
    }
    paths.object(first.path, methods);
  }
  JsonText schemas;
  schemas.object("Problem", problem_schema());
  JsonText token;
  token.text("type", "apiKey").text("in", "header").text("name", "Authorization");
  JsonText security_schemes;
  security_schemes.object("token", token);
  JsonText components;
  components.object("schemas", schemas).object("securitySchemes", security_schemes);
  JsonText document;
  document.text("openapi", "3.1.0").object("info", info).object("paths", paths);
  document.object("components", components);
  return std::move(document).take();
}

}  // namespace lockstep::gateway::v1
