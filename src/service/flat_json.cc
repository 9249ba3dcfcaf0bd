#include "service/flat_json.h"

#include <charconv>
#include <utility>

#include "base/assert.h"

namespace lockstep::service {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

void append_utf8(std::string& text, std::uint32_t point) {
  const auto tail = [&](unsigned shift) { text += static_cast<char>(0x80U | ((point >> shift) & 0x3FU)); };
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xC0U | (point >> 6U));
    tail(0);
  } else if (point < 0x10000) {
    text += static_cast<char>(0xE0U | (point >> 12U));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0U | (point >> 18U));
    tail(12);
    tail(6);
    tail(0);
  }
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      out += '\\';
      out += letter;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += hex_digits[byte >> 4U];
      out += hex_digits[byte & 15U];
    } else {
      out += letter;
    }
  }
  out += '"';
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = [&](std::size_t offset) -> std::uint32_t {
      return at + offset < text.size() ? static_cast<unsigned char>(text[at + offset]) : 0U;
    };
    const auto is_tail = [&](std::size_t offset) { return (byte(offset) & 0xC0U) == 0x80U; };
    const std::uint32_t first = byte(0);
    if (first < 0x80) {
      at += 1;
    } else if (first >= 0xC2 && first < 0xE0 && is_tail(1)) {
      at += 2;
    } else if ((first & 0xF0U) == 0xE0 && is_tail(1) && is_tail(2)) {
      if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) >= 0xA0)) return false;
      at += 3;
    } else if (first >= 0xF0 && first < 0xF5 && is_tail(1) && is_tail(2) && is_tail(3)) {
      if ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) >= 0x90)) return false;
      at += 4;
    } else {
      return false;
    }
  }
  return true;
}

std::string to_hex(std::string_view bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char letter : bytes) {
    const auto byte = static_cast<unsigned char>(letter);
    text += hex_digits[byte >> 4U];
    text += hex_digits[byte & 15U];
  }
  return text;
}

void FlatJsonWriter::begin_field(std::string_view name) {
  LS_MUST(is_utf8(name));
  if (text_.size() > 1) text_ += ',';
  append_quoted(text_, name);
  text_ += ':';
}

FlatJsonWriter& FlatJsonWriter::text(std::string_view name, std::string_view value) {
  LS_MUST(is_utf8(value), "the caller refused it before");
  begin_field(name);
  append_quoted(text_, value);
  return *this;
}

FlatJsonWriter& FlatJsonWriter::number(std::string_view name, std::int64_t value) {
  begin_field(name);
  text_ += std::to_string(value);
  return *this;
}

// Recursive descent over one text.
class FlatJsonReader {
 public:
  explicit FlatJsonReader(std::string_view text) : text_(text) {}

  Result<FlatJson> read() {
    FlatJson json;
    if (!read_object(0, &json)) return wrong();
    skip_space();
    if (at_ != text_.size()) return wrong();
    return json;
  }

 private:
  [[nodiscard]] Status wrong() const {
    return {Code::invalid_argument, "not a JSON object: wrong at byte " + std::to_string(at_)};
  }
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").contains(text_[at_])) ++at_;
  }
  bool take(char letter) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != letter) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  // `into`: where the fields go; null: they are skipped.
  bool read_object(std::size_t depth, FlatJson* into) {
    if (depth > flat_json_depth_max || !take('{')) return false;
    if (take('}')) return true;
    do {
      std::string name;
      skip_space();
      if (!read_text(name) || !take(':')) return false;
      if (!read_value(depth, into, name)) return false;
    } while (take(','));
    return take('}');
  }
  bool read_array(std::size_t depth) {
    if (depth > flat_json_depth_max || !take('[')) return false;
    if (take(']')) return true;
    do {
      if (!read_value(depth, nullptr, {})) return false;
    } while (take(','));
    return take(']');
  }
  bool read_value(std::size_t depth, FlatJson* into, const std::string& name) {
    skip_space();
    if (at_ >= text_.size()) return false;
    if (into != nullptr) into->fields_.erase(name);
    const char first = text_[at_];
    if (first == '{') return read_object(depth + 1, nullptr);
    if (first == '[') return read_array(depth + 1);
    if (first == '"') {
      std::string text;
      if (!read_text(text)) return false;
      if (into != nullptr) into->fields_[name] = std::move(text);
      return true;
    }
    if (first == 't') return take_word("true");
    if (first == 'f') return take_word("false");
    if (first == 'n') return take_word("null");
    return read_number(into, name);
  }
  bool read_number(FlatJson* into, const std::string& name) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && std::string_view("+-.0123456789eE").contains(text_[at_])) ++at_;
    const std::string_view digits = text_.substr(begin, at_ - begin);
    std::int64_t whole = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), whole);
    if (error == std::errc() && end == digits.data() + digits.size()) {
      if (into != nullptr) into->fields_[name] = whole;
      return true;
    }
    double any = 0;  // a number all the same, of no use here
    const auto [stop, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), any);
    return wrong != std::errc::invalid_argument && stop == digits.data() + digits.size();
  }
  bool read_text(std::string& text) {
    if (at_ >= text_.size() || text_[at_] != '"') return false;
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"') {
      const char letter = text_[at_++];
      if (static_cast<unsigned char>(letter) < 0x20) return false;
      if (letter != '\\') {
        text += letter;
      } else if (!read_escape(text)) {
        return false;
      }
    }
    if (at_ >= text_.size()) return false;
    ++at_;
    return is_utf8(text);
  }
  bool read_escape(std::string& text) {
    if (at_ >= text_.size()) return false;
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    const char letter = text_[at_++];
    if (const std::size_t place = names.find(letter); place != std::string_view::npos) {
      text += meanings[place];
      return true;
    }
    std::uint32_t point = 0;
    if (letter != 'u' || !read_unit(point)) return false;
    if (point >= 0xD800 && point < 0xDC00) {
      std::uint32_t low = 0;
      if (!take_word("\\u") || !read_unit(low) || low < 0xDC00 || low >= 0xE000) return false;
      point = 0x10000 + ((point - 0xD800) << 10U) + (low - 0xDC00);
    } else if (point >= 0xDC00 && point < 0xE000) {
      return false;
    }
    append_utf8(text, point);
    return true;
  }
  bool read_unit(std::uint32_t& unit) {
    const std::string_view digits = text_.substr(at_, 4);
    if (digits.size() < 4) return false;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + 4, unit, 16);
    if (error != std::errc() || end != digits.data() + 4) return false;
    at_ += 4;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Result<FlatJson> FlatJson::parse(std::string_view text) {
  return FlatJsonReader(text).read();
}

std::optional<std::string> FlatJson::text(std::string_view name) const {
  const auto found = fields_.find(name);
  if (found == fields_.end()) return std::nullopt;
  const auto* text = std::get_if<std::string>(&found->second);
  return text == nullptr ? std::nullopt : std::optional(*text);
}

std::optional<std::int64_t> FlatJson::number(std::string_view name) const {
  const auto found = fields_.find(name);
  if (found == fields_.end()) return std::nullopt;
  const auto* number = std::get_if<std::int64_t>(&found->second);
  return number == nullptr ? std::nullopt : std::optional(*number);
}

}  // namespace lockstep::service
