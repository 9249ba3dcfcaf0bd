#include "cli/txn_text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "cli/text.h"

namespace lockstep::cli {
namespace {

Status wrong(std::string_view why) {
  return {Code::invalid_argument, std::string(why)};
}

// Takes one word, quoted or bare, from the front.
Result<std::string> take_word(std::string_view& rest) {
  const char quote = rest.front();
  if (quote != '"' && quote != '\'') {
    const std::size_t end = std::min(rest.find_first_of(" \t"), rest.size());
    std::string word(rest.substr(0, end));
    rest.remove_prefix(end);
    return word;
  }
  std::size_t end = 1;
  while (end < rest.size() && rest[end] != quote) end += rest[end] == '\\' ? 2 : 1;
  if (end >= rest.size()) return wrong("a quote is not closed");
  const std::string_view inside = rest.substr(1, end - 1);
  rest.remove_prefix(end + 1);
  return unescape(inside);
}

void skip_blanks(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size()));
}

Result<std::vector<std::string>> words_of(std::string_view line) {
  std::vector<std::string> words;
  for (skip_blanks(line); !line.empty(); skip_blanks(line)) {
    LS_ASSIGN_OR_RETURN(words.emplace_back(), take_word(line));
  }
  return words;
}

constexpr std::array<std::pair<std::string_view, store::CompareTarget>, 10> targets = {
    {{"ver", store::CompareTarget::version},
     {"version", store::CompareTarget::version},
     {"c", store::CompareTarget::create_revision},
     {"create", store::CompareTarget::create_revision},
     {"m", store::CompareTarget::mod_revision},
     {"mod", store::CompareTarget::mod_revision},
     {"val", store::CompareTarget::value},
     {"value", store::CompareTarget::value},
     {"lease", store::CompareTarget::lease},
     {"l", store::CompareTarget::lease}}};
constexpr std::array<std::pair<std::string_view, store::CompareResult>, 4> results = {
    {{"=", store::CompareResult::equal},
     {"!=", store::CompareResult::not_equal},
     {">", store::CompareResult::greater},
     {"<", store::CompareResult::less}}};

// mod("key") > "5"
Result<store::Compare> parse_compare(std::string_view line) {
  const Status form = wrong(R"(a comparison reads like  mod("key") > "5")");
  const std::size_t open = line.find('(');
  if (open == std::string_view::npos) return form;
  const auto target = std::ranges::find(targets, line.substr(0, open),
                                        &std::pair<std::string_view, store::CompareTarget>::first);
  if (target == targets.end())
    return wrong(fmt::format("'{}' is none of version, create, mod, value, lease", line.substr(0, open)));
  std::string_view rest = line.substr(open + 1);
  skip_blanks(rest);
  if (rest.empty()) return form;
  store::Compare compare;
  compare.target = target->second;
  if (rest.front() == '"' || rest.front() == '\'') {
    LS_ASSIGN_OR_RETURN(compare.key, take_word(rest));
  } else {
    const std::size_t close = std::min(rest.find(')'), rest.size());
    compare.key = rest.substr(0, close);
    rest.remove_prefix(close);
  }
  skip_blanks(rest);
  if (!rest.starts_with(')')) return form;
  rest.remove_prefix(1);
  skip_blanks(rest);
  const std::size_t sign_end = std::min(rest.find_first_not_of("=!<>"), rest.size());
  const auto result = std::ranges::find(results, rest.substr(0, sign_end),
                                        &std::pair<std::string_view, store::CompareResult>::first);
  if (result == results.end())
    return wrong(fmt::format("'{}' is none of = != > <", rest.substr(0, sign_end)));
  compare.result = result->second;
  rest.remove_prefix(sign_end);
  LS_ASSIGN_OR_RETURN(std::vector<std::string> operands, words_of(rest));
  if (operands.size() != 1) return form;
  if (compare.target == store::CompareTarget::value) {
    compare.value = std::move(operands[0]);
  } else {
    const Result<std::uint64_t> number =
        compare.target == store::CompareTarget::lease ? parse_hex_id(operands[0]) : parse_number(operands[0]);
    if (!number.ok()) return number.status();
    compare.number = static_cast<std::int64_t>(*number);
  }
  return compare;
}

// What follows the verb: names with and without dashes, in any order.
struct Arguments {
  std::vector<std::string> plain;
  std::vector<std::pair<std::string, std::string>> flags;  // without dashes

  // Takes a flag out, so that what is left is unknown.
  std::optional<std::string> take(std::string_view name) {
    const auto found = std::ranges::find(flags, name, &std::pair<std::string, std::string>::first);
    if (found == flags.end()) return std::nullopt;
    std::string value = std::move(found->second);
    flags.erase(found);
    return value;
  }
};

Arguments arguments_of(std::vector<std::string> words) {
  Arguments arguments;
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::string& word = words[i];
    if (!word.starts_with("--") || word.size() == 2) {
      arguments.plain.push_back(std::move(word));
      continue;
    }
    const std::size_t equals = std::min(word.find('='), word.size());
    arguments.flags.emplace_back(word.substr(2, equals - 2),
                                 equals < word.size() ? word.substr(equals + 1) : std::string());
  }
  return arguments;
}

Status take_range(Arguments& arguments, std::string* key, std::string* range_end) {
  if (arguments.plain.empty() || arguments.plain.size() > 2) return wrong("expected KEY [RANGE_END]");
  *key = std::move(arguments.plain[0]);
  if (arguments.plain.size() == 2) *range_end = std::move(arguments.plain[1]);
  if (arguments.take("prefix")) *range_end = prefix_end(*key);
  if (arguments.take("from-key")) *range_end = std::string(1, '\0');
  if (key->empty() && !range_end->empty()) *key = std::string(1, '\0');
  return {};
}

Result<store::RequestOperation> parse_put(Arguments& arguments) {
  if (arguments.plain.size() != 2) return wrong("expected put KEY VALUE");
  store::PutRequest put;
  put.key = std::move(arguments.plain[0]);
  put.value = std::move(arguments.plain[1]);
  if (const auto lease = arguments.take("lease")) {
    LS_ASSIGN_OR_RETURN(const std::uint64_t id, parse_hex_id(*lease));
    put.lease = LeaseId(static_cast<std::int64_t>(id));
  }
  put.prev_kv = arguments.take("prev-kv").has_value();
  put.ignore_value = arguments.take("ignore-value").has_value();
  put.ignore_lease = arguments.take("ignore-lease").has_value();
  return store::RequestOperation{std::move(put)};
}

Result<store::RequestOperation> parse_get(Arguments& arguments) {
  store::RangeRequest range;
  LS_RETURN_IF_ERROR(take_range(arguments, &range.key, &range.range_end));
  if (const auto limit = arguments.take("limit")) {
    LS_ASSIGN_OR_RETURN(const std::uint64_t number, parse_number(*limit));
    range.limit = static_cast<std::int64_t>(number);
  }
  if (const auto revision = arguments.take("rev")) {
    LS_ASSIGN_OR_RETURN(const std::uint64_t number, parse_number(*revision));
    range.revision = Revision(static_cast<std::int64_t>(number));
  }
  range.keys_only = arguments.take("keys-only").has_value();
  range.count_only = arguments.take("count-only").has_value();
  return store::RequestOperation{std::move(range)};
}

Result<store::RequestOperation> parse_delete(Arguments& arguments) {
  store::DeleteRangeRequest removal;
  LS_RETURN_IF_ERROR(take_range(arguments, &removal.key, &removal.range_end));
  removal.prev_kv = arguments.take("prev-kv").has_value();
  return store::RequestOperation{std::move(removal)};
}

Result<store::RequestOperation> parse_operation(std::string_view line) {
  LS_ASSIGN_OR_RETURN(std::vector<std::string> words, words_of(line));
  if (words.empty()) return wrong("expected put, get or del");
  const std::string verb = words[0];
  Arguments arguments = arguments_of(std::move(words));
  Result<store::RequestOperation> operation = wrong(fmt::format("'{}' is none of put, get, del", verb));
  if (verb == "put") operation = parse_put(arguments);
  if (verb == "get") operation = parse_get(arguments);
  if (verb == "del") operation = parse_delete(arguments);
  if (operation.ok() && !arguments.flags.empty())
    return wrong(fmt::format("{} does not know --{}", verb, arguments.flags[0].first));
  return operation;
}

}  // namespace

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return std::string(1, '\0');
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

Result<store::TxnRequest> parse_txn_text(std::string_view input) {
  store::TxnRequest txn;
  std::size_t part = 0;
  for (std::size_t number = 1; !input.empty(); ++number) {
    const std::size_t end = std::min(input.find('\n'), input.size());
    std::string_view line = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
    skip_blanks(line);
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    if (line.empty()) {
      ++part;
      continue;
    }
    const auto at_line = [&](const Status& status) {
      return Status(status.code(), fmt::format("line {}: {}", number, status.message()));
    };
    if (part == 0) {
      Result<store::Compare> compare = parse_compare(line);
      if (!compare.ok()) return at_line(compare.status());
      txn.compare.push_back(*std::move(compare));
      continue;
    }
    if (part > 2) return at_line(wrong("there are three parts only: compare, success, failure"));
    Result<store::RequestOperation> operation = parse_operation(line);
    if (!operation.ok()) return at_line(operation.status());
    (part == 1 ? txn.success : txn.failure).push_back(*std::move(operation));
  }
  return txn;
}

Result<store::TxnRequest> parse_txn(std::string_view input) {
  const std::size_t first = input.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && input[first] == '{';
  return json ? parse_txn_json(input) : parse_txn_text(input);
}

}  // namespace lockstep::cli
