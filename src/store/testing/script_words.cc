#include "store/testing/script_words.h"

#include <map>
#include <sstream>
#include <stdexcept>

namespace lockstep::store::testing {
namespace {

using Words = std::vector<std::string>;

std::string parse_end(const std::string& word) {
  return word == "*" ? std::string(1, '\0') : word;
}

std::string parse_value(const std::string& word) {
  if (word == "-") return {};
  const bool repeated =
      word.size() > 1 && word[0] == 'x' && word.find_first_not_of("0123456789", 1) == std::string::npos;
  return repeated ? std::string(std::stoull(word.substr(1)), 'x') : word;
}

// A word "name=value" gives both, any other itself and nothing.
std::pair<std::string, std::string> parse_option(const std::string& word) {
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos) return {word, ""};
  return {word.substr(0, equals), word.substr(equals + 1)};
}

Compare parse_compare(const std::string& word) {
  const std::size_t open = word.find('(');
  const std::size_t close = word.find(')');
  if (open == std::string::npos || close == std::string::npos) throw std::invalid_argument(word);
  static const std::map<std::string, CompareTarget> targets{{"version", CompareTarget::version},
                                                            {"create", CompareTarget::create_revision},
                                                            {"mod", CompareTarget::mod_revision},
                                                            {"value", CompareTarget::value},
                                                            {"lease", CompareTarget::lease}};
  Compare compare;
  compare.target = targets.at(word.substr(0, open));
  compare.key = word.substr(open + 1, close - open - 1);
  if (const std::size_t dots = compare.key.find(".."); dots != std::string::npos) {
    compare.range_end = parse_end(compare.key.substr(dots + 2));
    compare.key.resize(dots);
  }
  const std::size_t operand = word.find_first_not_of("=!<>", close + 1);
  static const std::map<std::string, CompareResult> results{{"=", CompareResult::equal},
                                                            {"!=", CompareResult::not_equal},
                                                            {"<", CompareResult::less},
                                                            {">", CompareResult::greater}};
  compare.result = results.at(word.substr(close + 1, operand - close - 1));
  if (compare.target == CompareTarget::value) {
    compare.value = parse_value(word.substr(operand));
  } else {
    compare.number = std::stoll(word.substr(operand));
  }
  return compare;
}

// The words up to the one that closes an opened bracket; *position is behind it then.
Words take_bracket(const Words& words, std::size_t* position) {
  Words inside;
  for (int depth = 1; *position < words.size(); ++*position) {
    if (words[*position] == "(") ++depth;
    if (words[*position] == ")" && --depth == 0) {
      ++*position;
      return inside;
    }
    inside.push_back(words[*position]);
  }
  throw std::invalid_argument("bracket is not closed");
}

RequestOperation parse_operation(const Words& words) {
  if (words.empty()) return {};
  if (words[0] == "put") return {parse_put(words)};
  if (words[0] == "del") return {parse_delete(words)};
  if (words[0] == "get") return {parse_range(words)};
  if (words[0] == "empty") return {};
  throw std::invalid_argument(words[0]);
}

std::vector<RequestOperation> parse_operations(const Words& words, std::size_t* position) {
  std::vector<RequestOperation> operations;
  while (*position < words.size() && words[*position] != "else") {
    if (words[*position] == ";") {
      ++*position;
    } else if (words[*position] == "(") {
      ++*position;
      operations.push_back({parse_txn(take_bracket(words, position))});
    } else {
      Words one;
      while (*position < words.size() && words[*position] != ";" && words[*position] != "else") {
        one.push_back(words[(*position)++]);
      }
      operations.push_back(parse_operation(one));
    }
  }
  return operations;
}

}  // namespace

Words split(const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

Words take_request_id(const Words& words, RequestId* id) {
  Words rest;
  for (const std::string& word : words) {
    if (!word.starts_with("id=")) {
      rest.push_back(word);
      continue;
    }
    std::istringstream parts(word.substr(3));
    std::string client;
    std::string sequence;
    std::string unanswered_first;
    std::getline(parts, client, ':');
    std::getline(parts, sequence, ':');
    std::getline(parts, unanswered_first, ':');
    *id = {ClientId(std::stoull(client)), Sequence(std::stoull(sequence)),
           Sequence(unanswered_first.empty() ? 1 : std::stoull(unanswered_first))};
  }
  return rest;
}

PutRequest parse_put(const Words& words) {
  PutRequest request;
  request.key = words.at(1);
  std::size_t position = 2;
  if (position < words.size() && words[position] != "ignore_value")
    request.value = parse_value(words[position++]);
  for (; position < words.size(); ++position) {
    const auto [name, value] = parse_option(words[position]);
    if (name == "lease")
      request.lease = LeaseId(std::stoll(value));
    else if (name == "prev")
      request.prev_kv = true;
    else if (name == "ignore_value")
      request.ignore_value = true;
    else if (name == "ignore_lease")
      request.ignore_lease = true;
    else
      throw std::invalid_argument(name);
  }
  return request;
}

DeleteRangeRequest parse_delete(const Words& words) {
  DeleteRangeRequest request;
  request.key = words.at(1);
  for (std::size_t position = 2; position < words.size(); ++position) {
    if (words[position] == "prev") {
      request.prev_kv = true;
    } else {
      request.range_end = parse_end(words[position]);
    }
  }
  return request;
}

RangeRequest parse_range(const Words& words) {
  static const std::map<std::string, SortTarget> targets{{"key", SortTarget::key},
                                                         {"version", SortTarget::version},
                                                         {"create", SortTarget::create_revision},
                                                         {"mod", SortTarget::mod_revision},
                                                         {"value", SortTarget::value}};
  RangeRequest request;
  if (words.size() > 1) request.key = parse_value(words[1]);
  for (std::size_t position = 2; position < words.size(); ++position) {
    const auto [name, value] = parse_option(words[position]);
    if (name == "rev")
      request.revision = Revision(std::stoll(value));
    else if (name == "limit")
      request.limit = std::stoll(value);
    else if (name == "sort")
      request.sort_target = targets.at(value);
    else if (name == "ascend")
      request.sort_order = SortOrder::ascend;
    else if (name == "descend")
      request.sort_order = SortOrder::descend;
    else if (name == "keys_only")
      request.keys_only = true;
    else if (name == "count_only")
      request.count_only = true;
    else if (name == "min_mod")
      request.min_mod_revision = Revision(std::stoll(value));
    else if (name == "max_mod")
      request.max_mod_revision = Revision(std::stoll(value));
    else if (name == "min_create")
      request.min_create_revision = Revision(std::stoll(value));
    else if (name == "max_create")
      request.max_create_revision = Revision(std::stoll(value));
    else
      request.range_end = parse_end(words[position]);
  }
  return request;
}

TxnRequest parse_txn(const Words& words) {
  TxnRequest request;
  std::size_t position = !words.empty() && words[0] == "txn" ? 1 : 0;
  if (position < words.size() && words[position] == "if") {
    for (++position; position < words.size() && words[position] != "then" && words[position] != "else";
         ++position) {
      request.compare.push_back(parse_compare(words[position]));
    }
  }
  if (position < words.size() && words[position] == "then") {
    request.success = parse_operations(words, &++position);
  }
  if (position < words.size() && words[position] == "else") {
    request.failure = parse_operations(words, &++position);
  }
  return request;
}

}  // namespace lockstep::store::testing
