#include "service/transaction/saga/definition.h"

#include <algorithm>

#include "base/text_values.h"
#include "service/transaction/saga/state_language.h"

namespace lockstep::service::transaction::saga {
namespace {

bool is_word(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9');
}

Services read_services(ObjectReader* reader) {
  Services services;
  const Json* table = reader->object("services");
  if (table == nullptr) return services;
  for (const JsonMember& member : *table->object()) {
    const std::string path = path_to(reader->path("services"), member.name);
    const std::string* url = member.value.text();
    if (url == nullptr) {
      reader->problems().error(path, "a text is needed, not " + std::string(member.value.kind()));
    } else if (const auto wrong = wrong_url(*url); wrong.has_value()) {
      reader->problems().error(path, *wrong);
    } else {
      services.emplace_back(member.name, *url);
    }
  }
  return services;
}

void read_language(const Json& json, const std::string& path, const Services& services,
                   const ReadOptions& options, Definition* definition, Problems* problems) {
  if (json.find("steps") != nullptr) {
    definition->language = SagaLanguage::steps;
    read_steps(json, path, options.rules, definition, problems);
  } else if (json.find("States") != nullptr) {
    definition->language = SagaLanguage::states;
    read_states(json, path, services, options, definition, problems);
  } else if (json.find("nodes") != nullptr || json.find("edges") != nullptr) {
    problems->error(path, "this is a designer's drawing; export the state machine that it stands for");
  } else {
    problems->error(path, "a saga has \"steps\", or \"States\" in Seata's language");
  }
}

void read_envelope(const Json& json, const ReadOptions& options, Definition* definition, Problems* problems) {
  ObjectReader reader(json, "", problems);
  const Services services = read_services(&reader);
  if (const Json* input = reader.object("input"); input != nullptr) definition->input = *input;
  const auto timeout = reader.duration("timeout");
  const Json* inner = reader.object("definition");
  reader.finish("a saga's document");
  if (inner == nullptr) return;
  read_language(*inner, reader.path("definition"), services, options, definition, problems);
  if (timeout.has_value()) definition->time_limit = *timeout;
  if (definition->language == SagaLanguage::states) return;
  for (const char* field : {"services", "input"}) {
    if (reader.has(field))
      problems->error(reader.path(field), "belongs to Seata's language; steps have a URL and a payload each");
  }
}

}  // namespace

std::optional<std::string> wrong_name(std::string_view name) {
  if (name.empty()) return "a name is needed";
  if (name.size() > saga_name_bytes_max)
    return "a name has at most " + std::to_string(saga_name_bytes_max) + " bytes";
  const auto fits = [](char letter) {
    return is_word(letter) || letter == '_' || letter == '-' || letter == '.' || letter == ':';
  };
  if (!std::ranges::all_of(name, fits)) return "a name has only letters, digits and _ - . :";
  return std::nullopt;
}

std::optional<std::string> wrong_url(std::string_view url) {
  if (url.size() > saga_url_bytes_max)
    return "a URL has at most " + std::to_string(saga_url_bytes_max) + " bytes";
  std::string_view rest = url;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else {
    return "'" + std::string(url.substr(0, 80)) + "' is no URL: it begins with http:// or https://";
  }
  const std::string_view host = rest.substr(0, rest.find_first_of("/?#"));
  if (host.empty() || host.starts_with(":")) return "the URL has no host";
  if (host.find('@') != std::string_view::npos) return "credentials do not belong in a URL; use headers";
  if (url.find('#') != std::string_view::npos) return "a fragment (#…) is not sent; leave it out";
  const auto fits = [](char letter) {
    return letter > ' ' && letter < 0x7F && letter != '"' && letter != '\\';
  };
  if (!std::ranges::all_of(url, fits)) return "a URL has no spaces or letters beyond ASCII; write them %XX";
  return std::nullopt;
}

std::optional<std::size_t> find_name(const NameIndex& names, const std::string& name, std::string_view what,
                                     const std::string& path, Problems* problems) {
  const auto found = names.find(name);
  if (found != names.end()) return found->second;
  if (problems->errors() >= problems_max) return std::nullopt;  // looking for near names is slow
  std::vector<std::string> known;
  for (const auto& [one, index] : names) known.push_back(one);
  const std::string meant = nearest(shorten(name), known);
  problems->error(path, "there is no " + std::string(what) + " '" + shorten(name) + "'" +
                            (meant.empty() ? "" : "; did you mean " + meant + "?"));
  return std::nullopt;
}

std::optional<Definition> read_definition(std::string_view document, const ReadOptions& options,
                                          Problems* problems) {
  if (document.size() > definition_bytes_max) {
    problems->error("",
                    "a definition has at most " + std::to_string(definition_bytes_max) +
                        " bytes, this one has " + std::to_string(document.size()),
                    Code::resource_exhausted);
    return std::nullopt;
  }
  Result<Json> json = Json::parse(document);
  if (!json.ok()) {
    problems->error(json.status());
    return std::nullopt;
  }
  Definition definition;
  if (json->object() == nullptr) {
    problems->error("", "an object is needed, not " + std::string(json->kind()));
  } else if (json->find("definition") != nullptr) {
    read_envelope(*json, options, &definition, problems);
  } else {
    read_language(*json, "", {}, options, &definition, problems);
  }
  if (problems->has_errors()) return std::nullopt;
  return definition;
}

}  // namespace lockstep::service::transaction::saga
