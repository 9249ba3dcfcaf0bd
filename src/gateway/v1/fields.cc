#include "gateway/v1/fields.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::gateway::v1 {
namespace {

Field field(std::string name, FieldType type, std::string meaning) {
  Field made;
  made.name = std::move(name);
  made.type = type;
  made.meaning = std::move(meaning);
  return made;
}

}  // namespace

Field text_field(std::string name, std::string meaning) {
  return field(std::move(name), FieldType::text, std::move(meaning));
}
Field bytes_field(std::string name, std::string meaning) {
  return field(std::move(name), FieldType::bytes, std::move(meaning));
}
Field integer_field(std::string name, std::string meaning) {
  Field made = field(std::move(name), FieldType::integer, std::move(meaning));
  made.least = std::numeric_limits<std::int64_t>::min();
  return made;
}
Field boolean_field(std::string name, std::string meaning) {
  return field(std::move(name), FieldType::boolean, std::move(meaning));
}
Field bytes_list_field(std::string name, std::string meaning) {
  return field(std::move(name), FieldType::bytes_list, std::move(meaning));
}
Field object_field(std::string name, std::string meaning, Fields fields) {
  Field made = field(std::move(name), FieldType::object, std::move(meaning));
  made.fields = std::move(fields);
  return made;
}
Field json_field(std::string name, std::string meaning) {
  return field(std::move(name), FieldType::json, std::move(meaning));
}
Field object_list_field(std::string name, std::string meaning, Fields fields) {
  Field made = object_field(std::move(name), std::move(meaning), std::move(fields));
  made.type = FieldType::object_list;
  return made;
}

const Arguments::Value& Arguments::value(std::string_view name) const {
  LS_MUST(table_ != nullptr);
  const auto found = std::ranges::find(*table_, name, &Field::name);
  LS_MUST(found != table_->end(), "a handler asks for what its route declares");
  return values_[static_cast<std::size_t>(found - table_->begin())];
}

const std::string& Arguments::text(std::string_view name) const {
  static const std::string none;
  const Value& found = value(name);
  return is_absent(found) ? none : std::get<std::string>(found);
}

std::int64_t Arguments::integer(std::string_view name, std::int64_t otherwise) const {
  const Value& found = value(name);
  return is_absent(found) ? otherwise : std::get<std::int64_t>(found);
}

std::int64_t Arguments::integer_or(std::string_view name) const {
  const auto found = std::ranges::find(*table_, name, &Field::name);
  return found == table_->end() ? 0 : integer(name);
}

bool Arguments::boolean(std::string_view name, bool otherwise) const {
  const Value& found = value(name);
  return is_absent(found) ? otherwise : std::get<bool>(found);
}

const std::vector<std::string>& Arguments::texts(std::string_view name) const {
  static const std::vector<std::string> none;
  const Value& found = value(name);
  return is_absent(found) ? none : std::get<std::vector<std::string>>(found);
}

const std::vector<Arguments>& Arguments::objects(std::string_view name) const {
  static const std::vector<Arguments> none;
  const Value& found = value(name);
  return is_absent(found) ? none : std::get<std::vector<Arguments>>(found);
}

}  // namespace lockstep::gateway::v1
