#include "gateway/pages/testing/exposition.h"

#include <charconv>
#include <map>
#include <set>

#include "base/assert.h"

namespace lockstep::gateway::testing {
namespace {

bool is_name(std::string_view name) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
         std::string_view::npos;
}

// Up to and without `end`, which is skipped.
std::string_view take_until(std::string_view* text, char end) {
  const std::size_t at = text->find(end);
  const std::string_view taken = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + 1);
  return taken;
}

class Reader {
 public:
  Exposition read(std::string_view page) {
    if (!page.ends_with('\n')) mistake("the last line does not end", "");
    while (!page.empty()) read_line(take_until(&page, '\n'));
    for (const auto& [name, sums] : buckets_) {
      if (!sums.ended) mistake("a histogram without +Inf", name);
      if (sums.last != sums.count) mistake("a histogram whose count is not that of +Inf", name);
    }
    return std::move(result_);
  }

 private:
  struct Buckets {
    double last = 0;
    double count = -1;
    bool ended = false;
  };

  void mistake(std::string_view what, std::string_view line) {
    result_.mistakes.push_back(std::string(what) + ": " + std::string(line));
  }

  void read_line(std::string_view line) {
    std::string_view rest = line;
    if (!line.starts_with('#')) return read_sample(line);
    take_until(&rest, ' ');
    const std::string_view kind = take_until(&rest, ' ');
    const std::string_view name = take_until(&rest, ' ');
    if (!is_name(name)) return mistake("not a name", line);
    if (kind == "HELP") {
      if (!names_.insert(std::string(name)).second) mistake("a family twice", line);
      if (rest.empty()) mistake("no help", line);
      result_.families.push_back({std::string(name), "", std::string(rest), {}});
    } else if (kind == "TYPE") {
      if (result_.families.empty() || result_.families.back().name != name)
        return mistake("type without help", line);
      if (rest != "counter" && rest != "gauge" && rest != "histogram") mistake("unknown type", line);
      result_.families.back().type = rest;
    } else {
      mistake("neither HELP nor TYPE", line);
    }
  }

  void read_sample(std::string_view line) {
    if (result_.families.empty() || result_.families.back().type.empty())
      return mistake("sample without type", line);
    MetricFamily& family = result_.families.back();
    family.samples.emplace_back(line);
    const std::size_t value_at = line.rfind(' ');
    if (value_at == std::string_view::npos) return mistake("no value", line);
    const std::string_view key = line.substr(0, value_at);
    if (!samples_.insert(std::string(key)).second) mistake("a sample twice", line);
    double value = 0;
    const auto [end, error] = std::from_chars(line.data() + value_at + 1, line.data() + line.size(), value);
    if (error != std::errc{} || end != line.data() + line.size()) return mistake("not a number", line);
    if (family.type != "gauge" && value < 0) mistake("negative", line);
    std::string_view rest = key;
    const std::string_view name = rest.substr(0, rest.find('{'));
    rest.remove_prefix(name.size());
    std::string others;
    std::string bound;
    if (!rest.empty() && !read_labels(rest, &others, &bound)) return mistake("malformed labels", line);
    if (family.type == "histogram") return read_bucket(family, line, name, others, bound, value);
    if (name != family.name) mistake("not of this family", line);
  }

  // {a="1",b="2"}; `le` apart.
  static bool read_labels(std::string_view text, std::string* others, std::string* bound) {
    if (!text.starts_with('{') || !text.ends_with("\"}")) return false;
    text = text.substr(1, text.size() - 2);
    while (!text.empty()) {
      const std::string label(take_until(&text, '='));
      if (!is_name(label) || !text.starts_with('"')) return false;
      std::size_t end = 1;
      while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
      if (end >= text.size()) return false;
      const std::string value(text.substr(1, end - 1));
      text.remove_prefix(end + 1);
      if (!text.empty() && !take_until(&text, ',').empty()) return false;
      (label == "le" ? *bound : *others) += label == "le" ? value : label + "=" + value + ",";
    }
    return true;
  }

  void read_bucket(const MetricFamily& family, std::string_view line, std::string_view name,
                   const std::string& labels, const std::string& bound, double value) {
    Buckets& buckets = buckets_[family.name + "{" + labels];
    if (name == family.name + "_count") {
      buckets.count = value;
    } else if (name == family.name + "_bucket") {
      if (bound.empty() || buckets.ended) mistake("a bucket out of place", line);
      if (value < buckets.last) mistake("buckets are cumulative", line);
      buckets.last = value;
      buckets.ended = bound == "+Inf";
    } else if (name != family.name + "_sum") {
      mistake("not of this family", line);
    }
  }

  Exposition result_;
  std::set<std::string> names_;
  std::set<std::string> samples_;
  std::map<std::string, Buckets> buckets_;
};

}  // namespace

Exposition read_exposition(std::string_view page) {
  return Reader().read(page);
}

}  // namespace lockstep::gateway::testing
