// What a definition says to send or to keep: JSON with expressions in it.
//
// In a template a text that begins with `$` is no text: `$.[order].id` is an expression (expression.h), and
// `$Sequence` an id, the same one whenever it is asked for again: "GID-BRANCH", then "GID-BRANCH-2" …. A text
// that really begins with `$` is written as an expression, "$.'$5'".
//
// Bounded: what one evaluation makes has at most template_bytes_max bytes and json_depth_max levels.
// Pure. Errors: invalid_argument when parsed; failed_precondition and resource_exhausted when evaluated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "service/transaction/saga/expression.h"
#include "service/transaction/saga/json.h"

namespace lockstep::service::transaction::saga {

inline constexpr std::size_t template_bytes_max = 1 << 20;

class Template {
 public:
  Template() = default;
  // Always the same.
  explicit Template(Json value) : literal_(std::move(value)) {}
  // `path` is where it stands, for errors.
  static Result<Template> parse(const Json& json, const std::string& path);

  // `id` is what $Sequence begins with.
  [[nodiscard]] Result<Json> evaluate(const Json& root, std::string_view id) const;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  enum class Kind : std::uint8_t { literal, expression, sequence, array, object };
  struct Making;
  Status make(const Json& root, Making* making, Json* into) const;
  void add_names(std::vector<std::string>* names) const;

  Kind kind_ = Kind::literal;
  Json literal_;
  std::vector<Expression> expression_;  // one, of an expression
  std::vector<std::pair<std::string, Template>> parts_;
};

}  // namespace lockstep::service::transaction::saga
