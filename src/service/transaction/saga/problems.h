// What is wrong with a definition, and a strict reader of JSON objects that finds it: fields are asked for by
// name, each at most once; one that nobody asked for is a problem, with the name that was probably meant.
//
// A reader that is told of a wrong value says so to the problems and gives back nothing, and reading goes on:
// one run finds many problems. At most problems_max are kept.
//
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "service/transaction/saga/json.h"

namespace lockstep::service::transaction::saga {

inline constexpr std::size_t problems_max = 100;

enum class Severity : std::uint8_t {
  error,    // it is refused
  warning,  // it runs, and probably not as it is meant
  note,
};
std::string_view to_string(Severity severity);

struct Problem {
  Severity severity = Severity::error;
  std::string path;  // RFC 6901: "/steps/2/after/0"; empty: the whole
  std::string message;
  Code code = Code::invalid_argument;
};

class Problems {
 public:
  void error(std::string path, std::string message, Code code = Code::invalid_argument) {
    add({Severity::error, std::move(path), std::move(message), code});
  }
  void warn(std::string path, std::string message) {
    add({Severity::warning, std::move(path), std::move(message), Code::ok});
  }
  void note(std::string path, std::string message) {
    add({Severity::note, std::move(path), std::move(message), Code::ok});
  }
  // A Status whose message has its place in it already.
  void error(const Status& status) { error(std::string(), std::string(status.message()), status.code()); }
  [[nodiscard]] bool has_errors() const { return errors_ > 0; }
  [[nodiscard]] std::size_t errors() const { return errors_; }
  [[nodiscard]] const std::vector<Problem>& all() const { return all_; }
  // The first error, and how many more there are; ok without any.
  [[nodiscard]] Status status() const;

 private:
  void add(Problem problem);
  std::vector<Problem> all_;
  std::size_t errors_ = 0;
};

class ObjectReader {
 public:
  // What is no object is a problem, and reads as an empty one.
  ObjectReader(const Json& json, std::string path, Problems* problems);
  // Unknown fields are problems; `what` names the thing: "a step".
  void finish(std::string_view what);

  [[nodiscard]] std::string path(std::string_view name) const { return path_to(path_, name); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Problems& problems() const { return *problems_; }
  [[nodiscard]] bool has(std::string_view name) const { return json_->find(name) != nullptr; }

  const Json* any(std::string_view name);
  const Json::Array* array(std::string_view name);
  const Json* object(std::string_view name);
  std::optional<std::string> text(std::string_view name);
  std::string required_text(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::int64_t> whole(std::string_view name, std::int64_t low, std::int64_t high);
  // Any number.
  std::optional<double> number(std::string_view name, double low, double high);
  // "1.5s", above zero, at most a year.
  std::optional<Duration> duration(std::string_view name);
  // One of the words; `otherwise` if it is not given or none of them.
  std::size_t choice(std::string_view name, const std::vector<std::string>& words, std::size_t otherwise);

 private:
  const Json* json_;
  std::string path_;
  Problems* problems_;
  std::vector<std::string> asked_;
};

}  // namespace lockstep::service::transaction::saga
