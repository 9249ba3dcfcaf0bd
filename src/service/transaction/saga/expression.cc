#include "service/transaction/saga/expression.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/assert.h"

namespace lockstep::service::transaction::saga {
namespace {

struct Token {
  enum class Kind : std::uint8_t { end, name, text, number, sign };
  Kind kind = Kind::end;
  std::string text;
  Json value;
  std::size_t at = 0;
};

bool is_letter(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || letter == '_';
}
bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}

Status wrong(std::size_t at, const std::string& what) {
  return {Code::invalid_argument, "column " + std::to_string(at + 1) + ": " + what};
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<Token> next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
    Token token;
    token.at = at_;
    if (at_ == text_.size()) return token;
    const char letter = text_[at_];
    if (letter == '\'' || letter == '"') return quoted(std::move(token), letter);
    if (is_digit(letter) || (letter == '-' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1])))
      return number(std::move(token));
    if (is_letter(letter) || letter == '#') {
      token.kind = Token::Kind::name;
      do token.text += text_[at_++];
      while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_])));
      return token;
    }
    token.kind = Token::Kind::sign;
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "&&", "||"}) {
      if (!text_.substr(at_).starts_with(sign)) continue;
      token.text = sign;
      at_ += 2;
      return token;
    }
    // A letter of several bytes stays whole, since errors quote it.
    do token.text += text_[at_++];
    while (at_ < text_.size() && (static_cast<unsigned char>(text_[at_]) & 0xC0U) == 0x80U);
    return token;
  }

 private:
  Result<Token> quoted(Token token, char quote) {
    token.kind = Token::Kind::text;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] != quote) {
        token.text += text_[at_];
        continue;
      }
      if (at_ + 1 == text_.size() || text_[at_ + 1] != quote) {
        ++at_;
        token.value = Json(token.text);
        return token;
      }
      token.text += quote;
      ++at_;
    }
    return wrong(token.at, "the text is not closed");
  }

  Result<Token> number(Token token) {
    token.kind = Token::Kind::number;
    do token.text += text_[at_++];
    while (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.' || text_[at_] == 'e' ||
                                  text_[at_] == 'E' || is_letter(text_[at_])));
    Result<Json> value = Json::parse(token.text);
    if (!value.ok()) return wrong(token.at, "'" + token.text + "' is no number");
    token.value = *std::move(value);
    return token;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

// Recursive descent; every node knows how deep it is, and none is deeper than expression_depth_max.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view text) : lexer_(text) { result_.text_ = text; }

  Result<Expression> parse() {
    LS_RETURN_IF_ERROR(advance());
    LS_ASSIGN_OR_RETURN(const std::size_t whole, disjunction());
    if (token_.kind != Token::Kind::end) return unexpected();
    LS_MUST(whole + 1 == result_.nodes_.size());
    return std::move(result_);
  }

 private:
  using Operator = Expression::Operator;
  using Node = Expression::Node;

  Status advance() {
    LS_ASSIGN_OR_RETURN(token_, lexer_.next());
    return {};
  }
  [[nodiscard]] bool is(std::string_view sign, std::string_view word, std::string_view capitals) const {
    if (token_.kind == Token::Kind::sign) return !sign.empty() && token_.text == sign;
    return token_.kind == Token::Kind::name && (token_.text == word || token_.text == capitals);
  }
  [[nodiscard]] bool is_sign(std::string_view sign) const {
    return token_.kind == Token::Kind::sign && token_.text == sign;
  }
  [[nodiscard]] Status unexpected() const {
    if (token_.kind == Token::Kind::end) return wrong(token_.at, "the expression ends too early");
    if (is_sign("("))
      return wrong(token_.at, "nothing is called here: there are values, comparisons, and, or, not");
    if (is_sign("+") || is_sign("-") || is_sign("*") || is_sign("/") || is_sign("%"))
      return wrong(token_.at, "nothing is computed here: there are values, comparisons, and, or, not");
    if (is_sign("=")) return wrong(token_.at, "= changes a variable; write == to compare");
    return wrong(token_.at, "'" + token_.text + "' does not belong here");
  }
  Result<std::size_t> add(Node node) {
    const auto depth_of = [&](std::size_t index) { return result_.nodes_[index].depth; };
    if (node.kind != Operator::literal && node.kind != Operator::path)
      node.depth = 1 + std::max(depth_of(node.left), depth_of(node.right));
    if (node.depth > expression_depth_max) return too_deep();
    result_.nodes_.push_back(std::move(node));
    return result_.nodes_.size() - 1;
  }
  [[nodiscard]] Status too_deep() const {
    return wrong(token_.at, "nested deeper than " + std::to_string(expression_depth_max));
  }
  Result<std::size_t> combine(Operator kind, std::size_t left, std::size_t right) {
    Node node;
    node.kind = kind;
    node.left = left;
    node.right = right;
    return add(std::move(node));
  }

  Result<std::size_t> disjunction() {
    if (++nested_ > expression_depth_max) return too_deep();
    LS_ASSIGN_OR_RETURN(std::size_t left, conjunction());
    while (is("||", "or", "OR")) {
      LS_RETURN_IF_ERROR(advance());
      LS_ASSIGN_OR_RETURN(const std::size_t right, conjunction());
      LS_ASSIGN_OR_RETURN(left, combine(Operator::disjunction, left, right));
    }
    --nested_;
    return left;
  }
  Result<std::size_t> conjunction() {
    LS_ASSIGN_OR_RETURN(std::size_t left, negation());
    while (is("&&", "and", "AND")) {
      LS_RETURN_IF_ERROR(advance());
      LS_ASSIGN_OR_RETURN(const std::size_t right, negation());
      LS_ASSIGN_OR_RETURN(left, combine(Operator::conjunction, left, right));
    }
    return left;
  }
  Result<std::size_t> negation() {
    if (!is("!", "not", "NOT")) return comparison();
    if (++nested_ > expression_depth_max) return too_deep();
    LS_RETURN_IF_ERROR(advance());
    LS_ASSIGN_OR_RETURN(const std::size_t inner, negation());
    --nested_;
    return combine(Operator::negation, inner, inner);
  }
  [[nodiscard]] std::optional<Operator> comparison_here() const {
    if (is("==", "eq", "EQ")) return Operator::equal;
    if (is("!=", "ne", "NE")) return Operator::not_equal;
    if (is("<=", "le", "LE")) return Operator::less_or_equal;
    if (is(">=", "ge", "GE")) return Operator::greater_or_equal;
    if (is("<", "lt", "LT")) return Operator::less;
    if (is(">", "gt", "GT")) return Operator::greater;
    return std::nullopt;
  }
  Result<std::size_t> comparison() {
    LS_ASSIGN_OR_RETURN(const std::size_t left, value());
    const std::optional<Operator> kind = comparison_here();
    if (!kind.has_value()) return left;
    LS_RETURN_IF_ERROR(advance());
    LS_ASSIGN_OR_RETURN(const std::size_t right, value());
    return combine(*kind, left, right);
  }

  Result<std::size_t> value() {
    Node node;
    if (token_.kind == Token::Kind::text || token_.kind == Token::Kind::number) {
      node.literal = token_.value;
      LS_RETURN_IF_ERROR(advance());
      return add(std::move(node));
    }
    if (is_sign("(")) {
      LS_RETURN_IF_ERROR(advance());
      LS_ASSIGN_OR_RETURN(const std::size_t inner, disjunction());
      if (!is_sign(")")) return unexpected();
      LS_RETURN_IF_ERROR(advance());
      return inner;
    }
    if (is_sign("[")) return path();
    if (token_.kind != Token::Kind::name) return unexpected();
    const bool is_true = is("", "true", "TRUE");
    if (is_true || is("", "false", "FALSE")) {
      node.literal = Json(is_true);
    } else if (!is("", "null", "NULL")) {
      return path();
    }
    LS_RETURN_IF_ERROR(advance());
    return add(std::move(node));
  }

  [[nodiscard]] Status check_name() const {
    for (const std::string_view word : {"new", "instanceof", "matches", "between", "and", "or", "not"}) {
      if (token_.text == word) return wrong(token_.at, "'" + token_.text + "' is no value");
    }
    if (token_.text.starts_with("#"))
      return wrong(token_.at, "there is only #root, not " + token_.text + "; a variable is written [name]");
    return {};
  }

  // #root, a name or [name], then any number of .name and [index].
  Result<std::size_t> path() {
    Node node;
    node.kind = Operator::path;
    if (token_.kind == Token::Kind::name) {
      if (token_.text != "#root") {
        LS_RETURN_IF_ERROR(check_name());
        node.path.emplace_back(token_.text);
      }
      LS_RETURN_IF_ERROR(advance());
    }
    while (true) {
      if (is_sign("[")) {
        LS_RETURN_IF_ERROR(advance());
        LS_RETURN_IF_ERROR(bracket(&node));
      } else if (is_sign(".")) {
        LS_RETURN_IF_ERROR(advance());
        if (token_.kind != Token::Kind::name || token_.text.starts_with("#")) return unexpected();
        node.path.emplace_back(token_.text);
        LS_RETURN_IF_ERROR(advance());
      } else {
        break;
      }
    }
    return add(std::move(node));
  }
  Status bracket(Node* node) {
    const std::int64_t* index = token_.value.whole();
    if (token_.kind == Token::Kind::number && index != nullptr && *index >= 0) {
      node->path.emplace_back(*index);
    } else if (token_.kind == Token::Kind::text ||
               (token_.kind == Token::Kind::name && !token_.text.starts_with("#"))) {
      node->path.emplace_back(token_.text);
    } else {
      return wrong(token_.at, "a name, a text or a whole number stands in [ ]");
    }
    LS_RETURN_IF_ERROR(advance());
    return is_sign("]") ? advance() : unexpected();
  }

  Lexer lexer_;
  Token token_;
  Expression result_;
  std::size_t nested_ = 0;
};

Result<Expression> Expression::parse(std::string_view text) {
  if (text.size() > expression_bytes_max)
    return Status(Code::invalid_argument,
                  "an expression has at most " + std::to_string(expression_bytes_max) + " bytes");
  return ExpressionParser(text).parse();
}

Result<Json> Expression::evaluate(const Json& root) const {
  LS_MUST(!nodes_.empty());
  return evaluate(nodes_.back(), root);
}

Result<bool> Expression::test(const Json& root) const {
  LS_MUST(!nodes_.empty());
  return test(nodes_.back(), root);
}

Result<bool> Expression::test(const Node& node, const Json& root) const {
  LS_ASSIGN_OR_RETURN(const Json value, evaluate(node, root));
  if (value.boolean() == nullptr)
    return Status(Code::failed_precondition,
                  text_ + ": true or false is needed, not " + std::string(value.kind()));
  return *value.boolean();
}

Result<Json> Expression::follow(const Node& node, const Json& root) {
  const Json* value = &root;
  for (const Step& step : node.path) {
    if (value->is_null()) return Json();
    if (const auto* name = std::get_if<std::string>(&step)) {
      if (value->object() == nullptr)
        return Status(Code::failed_precondition,
                      "'" + *name + "' is looked for in " + std::string(value->kind()));
      value = value->find(*name);
    } else {
      const Json::Array* values = value->array();
      if (values == nullptr)
        return Status(Code::failed_precondition, "an index is looked for in " + std::string(value->kind()));
      const auto index = static_cast<std::size_t>(std::get<std::int64_t>(step));
      value = index < values->size() ? &(*values)[index] : nullptr;
    }
    if (value == nullptr) return Json();
  }
  return *value;
}

Result<bool> Expression::order(const Node& node, const Json& left, const Json& right) const {
  // Below zero, zero, above zero; two numbers that are equal as doubles may differ as whole ones.
  double difference = 0;
  const auto number = [](const Json& value) {
    return value.whole() != nullptr ? static_cast<double>(*value.whole()) : value.real()->value;
  };
  const auto is_number = [](const Json& value) {
    return value.whole() != nullptr || value.real() != nullptr;
  };
  if (left.is_null() || right.is_null()) {
    difference =
        static_cast<double>(right.is_null()) - static_cast<double>(left.is_null());  // null comes first
  } else if (left.whole() != nullptr && right.whole() != nullptr) {
    difference = *left.whole() < *right.whole() ? -1 : (*left.whole() > *right.whole() ? 1 : 0);
  } else if (is_number(left) && is_number(right)) {
    difference = number(left) - number(right);
  } else if (left.text() != nullptr && right.text() != nullptr) {
    difference = left.text()->compare(*right.text());
  } else {
    return Status(Code::failed_precondition, text_ + ": " + std::string(left.kind()) + " and " +
                                                 std::string(right.kind()) + " have no order");
  }
  switch (node.kind) {
    case Operator::less:
      return difference < 0;
    case Operator::less_or_equal:
      return difference <= 0;
    case Operator::greater:
      return difference > 0;
    default:
      return difference >= 0;
  }
}

Result<Json> Expression::evaluate(const Node& node, const Json& root) const {
  switch (node.kind) {
    case Operator::literal:
      return node.literal;
    case Operator::path: {
      Result<Json> value = follow(node, root);
      if (!value.ok())
        return Status(Code::failed_precondition, text_ + ": " + std::string(value.status().message()));
      return value;
    }
    case Operator::negation: {
      LS_ASSIGN_OR_RETURN(const bool inner, test(nodes_[node.left], root));
      return Json(!inner);
    }
    case Operator::conjunction:
    case Operator::disjunction: {
      LS_ASSIGN_OR_RETURN(const bool left, test(nodes_[node.left], root));
      if (left == (node.kind == Operator::disjunction)) return Json(left);
      LS_ASSIGN_OR_RETURN(const bool right, test(nodes_[node.right], root));
      return Json(right);
    }
    default:
      break;
  }
  LS_ASSIGN_OR_RETURN(const Json left, evaluate(nodes_[node.left], root));
  LS_ASSIGN_OR_RETURN(const Json right, evaluate(nodes_[node.right], root));
  if (node.kind == Operator::equal) return Json(left == right);
  if (node.kind == Operator::not_equal) return Json(!(left == right));
  LS_ASSIGN_OR_RETURN(const bool holds, order(node, left, right));
  return Json(holds);
}

std::vector<std::string> Expression::names() const {
  std::vector<std::string> names;
  for (const Node& node : nodes_) {
    if (node.kind == Operator::path && !node.path.empty() &&
        std::holds_alternative<std::string>(node.path[0]))
      names.push_back(std::get<std::string>(node.path[0]));
  }
  return names;
}

}  // namespace lockstep::service::transaction::saga
