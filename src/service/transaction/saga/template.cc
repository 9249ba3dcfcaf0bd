#include "service/transaction/saga/template.h"

#include "base/assert.h"

namespace lockstep::service::transaction::saga {

struct Template::Making {
  std::string_view id;
  std::size_t ids = 0;
  std::size_t depth = 0;
  std::size_t bytes = 0;
};

Result<Template> Template::parse(const Json& json, const std::string& path) {
  Template made;
  const std::string* text = json.text();
  if (text != nullptr && text->starts_with("$")) {
    if (text->starts_with("$.")) {
      made.kind_ = Kind::expression;
      Result<Expression> expression = Expression::parse(std::string_view(*text).substr(2));
      if (!expression.ok())
        return Status(Code::invalid_argument,
                      path + ": " + shorten(*text) + ": " + std::string(expression.status().message()));
      made.expression_.push_back(*std::move(expression));
    } else if (*text == "$Sequence" || text->starts_with("$Sequence.")) {
      made.kind_ = Kind::sequence;
    } else {
      return Status(Code::invalid_argument,
                    path + ": '" + shorten(*text) +
                        "' is no expression: write $.[name] or $Sequence; a text that begins with $ is "
                        "written $.'$…'");
    }
    return made;
  }
  if (const Json::Array* values = json.array()) {
    made.kind_ = Kind::array;
    for (std::size_t i = 0; i < values->size(); ++i) {
      LS_ASSIGN_OR_RETURN(Template part, parse((*values)[i], path_to(path, i)));
      made.parts_.emplace_back(std::string(), std::move(part));
    }
    return made;
  }
  if (const Json::Object* members = json.object()) {
    made.kind_ = Kind::object;
    for (const JsonMember& member : *members) {
      LS_ASSIGN_OR_RETURN(Template part, parse(member.value, path_to(path, member.name)));
      made.parts_.emplace_back(member.name, std::move(part));
    }
    return made;
  }
  made.literal_ = json;
  return made;
}

Status Template::make(const Json& root, Making* making, Json* into) const {
  if (kind_ == Kind::array || kind_ == Kind::object) {
    ++making->depth;
    Json::Array values;
    Json::Object members;
    for (const auto& [name, part] : parts_) {
      Json value;
      LS_RETURN_IF_ERROR(part.make(root, making, &value));
      if (kind_ == Kind::array) {
        values.push_back(std::move(value));
      } else {
        members.push_back({name, std::move(value)});
      }
    }
    --making->depth;
    *into = kind_ == Kind::array ? Json(std::move(values)) : Json(std::move(members));
    return {};
  }
  if (kind_ == Kind::sequence) {
    const std::string number = ++making->ids == 1 ? "" : "-" + std::to_string(making->ids);
    *into = Json(std::string(making->id) + number);
  } else if (kind_ == Kind::expression) {
    LS_ASSIGN_OR_RETURN(*into, expression_[0].evaluate(root));
  } else {
    *into = literal_;
  }
  const JsonSize size = size_of(*into);
  making->bytes += size.bytes;
  if (making->bytes > template_bytes_max)
    return {Code::resource_exhausted,
            "what is made is larger than " + std::to_string(template_bytes_max) + " bytes"};
  if (making->depth + size.depth > json_depth_max)
    return {Code::resource_exhausted, "what is made nests deeper than " + std::to_string(json_depth_max)};
  return {};
}

Result<Json> Template::evaluate(const Json& root, std::string_view id) const {
  Making making;
  making.id = id;
  Json value;
  LS_RETURN_IF_ERROR(make(root, &making, &value));
  return value;
}

void Template::add_names(std::vector<std::string>* names) const {
  for (const Expression& expression : expression_) {
    for (std::string& name : expression.names()) names->push_back(std::move(name));
  }
  for (const auto& [name, part] : parts_) part.add_names(names);
}

std::vector<std::string> Template::names() const {
  std::vector<std::string> names;
  add_names(&names);
  return names;
}

}  // namespace lockstep::service::transaction::saga
