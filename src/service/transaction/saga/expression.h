// The expressions of Seata's state machine language, as far as they only look: values, comparisons, and, or,
// not. Nothing is called, made or changed, so there is no code in a definition.
//
//   [reduced] == true    [order].lines[0].count > 3 and not [vip]    #root.code == 'OK'    status != null
//
// A name stands for the member of the root: of the variables in Input, Choices and Collections, of the answer
// in Output and Status. What is missing is null, and null is
// less than everything else. Texts stand in '…' (a quote twice is one) or "…"; words may
// be used for operators: eq ne lt le gt ge and or not.
//
// Bounded: expression_bytes_max, and expression_depth_max levels, which bounds the stack of evaluation.
// Pure. Errors: invalid_argument with the column when parsed; failed_precondition when evaluated, for what
// has no meaning (a text < 3, `and` of a number).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "service/transaction/saga/json.h"

namespace lockstep::service::transaction::saga {

inline constexpr std::size_t expression_bytes_max = 4096;
inline constexpr std::size_t expression_depth_max = 64;

class Expression {
 public:
  static Result<Expression> parse(std::string_view text);
  [[nodiscard]] Result<Json> evaluate(const Json& root) const;
  // The same for conditions: anything but true or false is an error.
  [[nodiscard]] Result<bool> test(const Json& root) const;

  [[nodiscard]] const std::string& text() const { return text_; }
  // The members of the root that it looks at.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  friend class ExpressionParser;
  enum class Operator : std::uint8_t {
    literal,
    path,
    negation,
    conjunction,
    disjunction,
    equal,
    not_equal,
    less,
    less_or_equal,
    greater,
    greater_or_equal,
  };
  using Step = std::variant<std::string, std::int64_t>;
  struct Node {
    Operator kind = Operator::literal;
    Json literal;
    std::vector<Step> path;
    std::size_t left = 0;
    std::size_t right = 0;
    std::size_t depth = 1;
  };

  [[nodiscard]] Result<Json> evaluate(const Node& node, const Json& root) const;
  [[nodiscard]] Result<bool> test(const Node& node, const Json& root) const;
  [[nodiscard]] static Result<Json> follow(const Node& node, const Json& root);
  [[nodiscard]] Result<bool> order(const Node& node, const Json& left, const Json& right) const;

  std::string text_;
  std::vector<Node> nodes_;  // each after those it is made of; the last one is the whole
};

}  // namespace lockstep::service::transaction::saga
