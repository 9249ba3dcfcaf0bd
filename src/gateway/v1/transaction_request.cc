#include "gateway/v1/transaction_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>

#include "gateway/json/json_reader.h"
#include "service/transaction/state.h"

namespace lockstep::gateway::v1 {
namespace {

namespace tx = service::transaction;

constexpr auto document_bytes_max = static_cast<std::int64_t>(tx::definition_bytes_max);
constexpr std::int64_t short_text_bytes_max = 64;
constexpr std::int64_t url_bytes_max = 2048;
// Below these stand values of users, not addresses of participants.
constexpr std::array<std::string_view, 9> values_of_users = {
    "payload", "compensate_payload", "payload_text", "input", "Input", "output", "Output", "headers",
    "Comment"};
// In this order they are kept.
constexpr std::array<std::string_view, 8> json_parts = {"definition", "services", "input",   "branches",
                                                        "targets",    "retry",    "headers", "steps"};
constexpr std::array<std::string_view, 3> text_parts = {"timeout", "check", "check_after"};

// Walks JSON and tells of each text that stands where an address may.
class Walk {
 public:
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_string_size = std::numeric_limits<std::size_t>::max();
  using Error = boost::json::error_code;
  using Text = boost::json::string_view;

  bool on_document_begin(Error& /*error*/) { return true; }
  bool on_document_end(Error& /*error*/) { return true; }
  bool on_object_begin(Error& /*error*/) { return enter(); }
  bool on_object_end(std::size_t /*count*/, Error& /*error*/) { return leave(); }
  bool on_array_begin(Error& /*error*/) { return enter(); }
  bool on_array_end(std::size_t /*count*/, Error& /*error*/) { return leave(); }
  bool on_key_part(Text part, std::size_t /*size*/, Error& /*error*/) { return append(part); }
  bool on_key(Text part, std::size_t /*size*/, Error& /*error*/) {
    append(part);
    const std::string name = std::exchange(text_, {});
    users_next_ = std::ranges::find(values_of_users, name) != values_of_users.end();
    return true;
  }
  bool on_string_part(Text part, std::size_t /*size*/, Error& /*error*/) { return append(part); }
  bool on_string(Text part, std::size_t /*size*/, Error& /*error*/) {
    append(part);
    std::string text = std::exchange(text_, {});
    if (users_below_ == 0 && !users_next_ && (text.starts_with("http://") || text.starts_with("https://")))
      addresses.push_back(std::move(text));
    return true;
  }
  bool on_number_part(Text /*part*/, Error& /*error*/) { return true; }
  bool on_int64(std::int64_t /*number*/, Text /*text*/, Error& /*error*/) { return true; }
  bool on_uint64(std::uint64_t /*number*/, Text /*text*/, Error& /*error*/) { return true; }
  bool on_double(double /*number*/, Text /*text*/, Error& /*error*/) { return true; }
  bool on_bool(bool /*value*/, Error& /*error*/) { return true; }
  bool on_null(Error& /*error*/) { return true; }
  bool on_comment_part(Text /*part*/, Error& /*error*/) { return true; }
  bool on_comment(Text /*part*/, Error& /*error*/) { return true; }

  std::vector<std::string> addresses;

 private:
  bool append(Text part) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool enter() {
    if (users_below_ > 0 || users_next_) ++users_below_;
    return true;
  }
  bool leave() {
    if (users_below_ > 0) --users_below_;
    if (users_below_ == 0) users_next_ = false;
    return true;
  }

  std::string text_;
  bool users_next_ = false;
  std::size_t users_below_ = 0;  // levels
};

// False: no JSON.
bool walk(std::string_view text, std::vector<std::string>* addresses) {
  boost::json::parse_options options;
  options.max_depth = json_depth_max;
  boost::json::basic_parser<Walk> parser(options);
  boost::json::error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (addresses != nullptr) *addresses = std::move(parser.handler().addresses);
  return !error && read == text.size();
}

// Those of the server that the definition names, and the request's own before them.
std::string services_of(const Arguments& given, const std::string& definition, const ServiceTable& table) {
  std::string own = given.text("services");
  if (given.has("services") && !own.starts_with('{')) return own;  // it is wrong, and will be said to be
  JsonText ours;
  bool any = false;
  for (const auto& [name, url] : table) {
    std::string quoted;
    append_json_string(&quoted, name);
    if (!definition.contains(quoted) || own.contains(quoted + ":")) continue;
    ours.text(name, url);
    any = true;
  }
  if (!any) return own;
  std::string all = ours.str();
  if (own.size() > 2) all.back() = ',', all += own.substr(1);
  return all;
}

// What stands in `parts` and was given, after what the document has.
void append_parts(const Arguments& given, std::span<const std::string_view> parts, JsonText* document) {
  for (const std::string_view part : parts) {
    if (!given.has(part)) continue;
    if (std::ranges::find(text_parts, part) != text_parts.end()) {
      document->text(part, given.text(part));
    } else {
      document->json(part, given.text(part));
    }
  }
}

// Short: steps beside the rest of the request.
std::string definition_of_steps(const Arguments& given) {
  constexpr std::array<std::string_view, 3> parts = {"retry", "headers", "steps"};
  JsonText definition;
  append_parts(given, parts, &definition);
  return definition.str();
}

std::string saga_document(const Arguments& given, const ServiceTable& table) {
  const bool is_short = !given.has("definition") && given.has("steps");
  const std::string definition = is_short ? definition_of_steps(given) : given.text("definition");
  JsonText document;
  if (!definition.empty()) document.json("definition", definition);
  const std::string services = services_of(given, definition, table);
  if (!services.empty()) document.json("services", services);
  // What does not belong to a saga goes along, to be refused with its place.
  constexpr std::array<std::string_view, 6> parts = {"input",   "timeout", "branches",
                                                     "targets", "check",   "check_after"};
  append_parts(given, parts, &document);
  if (!is_short) append_parts(given, std::array<std::string_view, 3>{"retry", "headers", "steps"}, &document);
  return document.str();
}

}  // namespace

Fields definition_fields() {
  const auto json = [](const char* name, const char* meaning) {
    return json_field(name, meaning).between(0, document_bytes_max);
  };
  return {json("definition", "of a saga: {\"steps\": …}, or a state machine with \"States\""),
          json("steps", "of a saga: short for a definition with these steps"),
          json("services", "of a saga: address by the name of a service; beside those of the server"),
          json("input", "of a saga: what its expressions start with"),
          json("branches", "of tcc and xa: [{\"id\", \"try\", \"confirm\", \"cancel\", \"payload\"}]"),
          json("targets", "of message and notification: [{\"url\", \"payload\"}]"),
          json("retry", "how often and how long calls are repeated"),
          json("headers", "sent with every call"),
          text_field("timeout", "as \"30s\": then it is given up").between(1, short_text_bytes_max),
          text_field("check", "of message: who is asked whether it counts").between(1, url_bytes_max),
          text_field("check_after", "of message: and when, as \"10s\"").between(1, short_text_bytes_max)};
}

std::string document_of(tx::Mode mode, const Arguments& given, const ServiceTable& table) {
  if (mode == tx::Mode::saga) return saga_document(given, table);
  JsonText document;
  append_parts(given, json_parts, &document);
  append_parts(given, text_parts, &document);
  return document.str();
}

std::vector<std::string> addresses_in(std::string_view document) {
  std::vector<std::string> addresses;
  walk(document, &addresses);
  return addresses;
}

bool is_json(std::string_view text) {
  return walk(text, nullptr);
}

Problem branch_problem(const Status& status) {
  std::string detail(status.message());
  constexpr std::string_view whose = "transaction: ";
  if (detail.starts_with(whose)) detail.erase(0, whose.size());
  const bool large = status.code() == Code::resource_exhausted;
  Problem problem = make_problem(large ? "content_too_large" : "invalid_request", detail);
  const std::size_t end = detail.find(": ");
  if (detail.starts_with('/') && end != std::string::npos && detail.find(' ') > end)
    problem.pointer = detail.substr(0, end);
  return problem;
}

Problem definition_problem(const Status& status, const Arguments& given) {
  // Short for a definition: the place is where the request has it.
  constexpr std::string_view wrapped = "/definition/";
  const std::string_view message = status.message();
  if (given.has("definition") || !message.starts_with(wrapped)) return branch_problem(status);
  return branch_problem(Status(status.code(), std::string(message.substr(wrapped.size() - 1))));
}

std::optional<Problem> address_problem(const env::HttpClient* callouts, std::string_view document) {
  if (callouts == nullptr) return std::nullopt;
  for (const std::string& address : addresses_in(document)) {
    const Status refused = callouts->refusal_of(address);
    if (refused.code() == Code::permission_denied)
      return make_problem("address_forbidden", std::string(refused.message()));
    if (!refused.ok()) return branch_problem(refused);
  }
  return std::nullopt;
}

std::vector<std::string> mode_names() {
  std::vector<std::string> names;
  for (const tx::Mode mode :
       {tx::Mode::saga, tx::Mode::tcc, tx::Mode::xa, tx::Mode::message, tx::Mode::notification})
    names.emplace_back(tx::to_string(mode));
  return names;
}

std::vector<std::string> state_names() {
  std::vector<std::string> names;
  for (const tx::Verdict verdict :
       {tx::Verdict::running, tx::Verdict::waiting, tx::Verdict::committing, tx::Verdict::aborting,
        tx::Verdict::committed, tx::Verdict::aborted, tx::Verdict::failed})
    names.emplace_back(tx::to_string(verdict));
  return names;
}

}  // namespace lockstep::gateway::v1
