// JSON as sagas handle it: values that keep the order of their members and the digits of their numbers.
//
// Reading is strict (RFC 8259; a name twice is refused) and bounded: by the text's length, which the caller
// limits, by json_depth_max and by json_values_max. Values made otherwise keep json_depth_max as well, so
// that walking and freeing them needs bounded stack.
//
// Pure. Errors: invalid_argument with the place, "line 3, column 7: …" or "/steps/0: …".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace lockstep::service::transaction::saga {

inline constexpr std::size_t json_depth_max = 64;
inline constexpr std::size_t json_values_max = 100'000;

struct JsonMember;

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<JsonMember>;
  // A number that is no whole one of 64 bits, as it was written.
  struct Real {
    double value = 0;
    std::string text;
    friend bool operator==(const Real& a, const Real& b) { return a.value == b.value; }
  };

  Json();
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();
  explicit Json(bool value);
  explicit Json(std::int64_t value);
  explicit Json(Real value);
  explicit Json(std::string value);
  explicit Json(Array value);
  explicit Json(Object value);

  static Result<Json> parse(std::string_view text);
  // An answer's body: what is no JSON is a text, and nothing is null.
  static Json of_answer(std::string_view body);

  [[nodiscard]] bool is_null() const { return value_.index() == 0; }
  [[nodiscard]] const bool* boolean() const { return std::get_if<bool>(&value_); }
  [[nodiscard]] const std::int64_t* whole() const { return std::get_if<std::int64_t>(&value_); }
  [[nodiscard]] const Real* real() const { return std::get_if<Real>(&value_); }
  [[nodiscard]] const std::string* text() const { return std::get_if<std::string>(&value_); }
  [[nodiscard]] const Array* array() const { return std::get_if<Array>(&value_); }
  [[nodiscard]] const Object* object() const { return std::get_if<Object>(&value_); }
  // "a text", "an object", for errors.
  [[nodiscard]] std::string_view kind() const;

  // Of an object; null if there is none of that name, or this is no object.
  [[nodiscard]] const Json* find(std::string_view name) const;
  // Of an object, or of null, which becomes one.
  void set(const std::string& name, Json value);

  // Compact, members in their order.
  [[nodiscard]] std::string dump() const;
  // As JavaScript has it, but for texts, which are never numbers: 1 and 1.0 are equal.
  friend bool operator==(const Json& a, const Json& b);

 private:
  friend class JsonBuilder;
  void append_to(std::string& out) const;
  std::variant<std::monostate, bool, std::int64_t, Real, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string name;
  Json value;
  friend bool operator==(const JsonMember&, const JsonMember&) = default;
};

// Here a member is known, and with it how to copy and free one.
inline Json::Json() = default;
inline Json::Json(const Json& other) = default;
inline Json::Json(Json&& other) noexcept = default;
inline Json& Json::operator=(const Json& other) = default;
inline Json& Json::operator=(Json&& other) noexcept = default;
inline Json::~Json() = default;
inline Json::Json(bool value) : value_(value) {}
inline Json::Json(std::int64_t value) : value_(value) {}
inline Json::Json(Real value) : value_(std::move(value)) {}
inline Json::Json(std::string value) : value_(std::move(value)) {}
inline Json::Json(Array value) : value_(std::move(value)) {}
inline Json::Json(Object value) : value_(std::move(value)) {}

// How much a value is: its bytes when written (about), and how deep it nests.
struct JsonSize {
  std::size_t bytes = 0;
  std::size_t depth = 0;
};
JsonSize size_of(const Json& value);

// At most 80 bytes of a text, for errors: whoever wrote it must recognise it, not get it back.
std::string shorten(std::string_view text);

// The path of a member: "/States" and "a/b" make "/States/a~1b" (RFC 6901); long
// names are shortened.
std::string path_to(std::string_view path, std::string_view name);
std::string path_to(std::string_view path, std::size_t index);

}  // namespace lockstep::service::transaction::saga
