#include "server/logger.h"

#include <algorithm>
#include <chrono>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/assert.h"

namespace lockstep::server {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  LS_UNREACHABLE("not a level");
}

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  LS_UNREACHABLE("not a level");
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
}

std::string present_time() {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(now)),
                     ms);
}

}  // namespace

class Logger::Sink {
 public:
  explicit Sink(LogLevel level) : logger("lockstepd", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger.set_pattern("%v");
    logger.set_level(to_spdlog(level));
    logger.flush_on(spdlog::level::debug);
  }
  spdlog::logger logger;
};

Logger::Logger(LogLevel level, LogFormat format) : sink_(std::make_unique<Sink>(level)), format_(format) {}

Logger::~Logger() = default;

void Logger::set_level(LogLevel level) {
  sink_->logger.set_level(to_spdlog(level));
}

void Logger::write(LogLevel level, std::string_view message, Fields fields) {
  if (!sink_->logger.should_log(to_spdlog(level))) return;
  const std::string time = present_time();
  const std::string line = format_ == LogFormat::json ? json_line(time, name_of(level), message, fields)
                                                      : fmt::format("{} {} {}{}", time, name_of(level),
                                                                    message, text_fields(fields));
  sink_->logger.log(to_spdlog(level), "{}", line);
}

std::string text_fields(Logger::Fields fields) {
  std::string text;
  for (const auto& [name, value] : fields) {
    const bool plain = !value.empty() && std::ranges::all_of(value, [](char c) {
      return static_cast<unsigned char>(c) > 0x20 && c != '"' && c != '=' && c != 0x7f;
    });
    text += fmt::format(" {}=", name);
    if (plain) {
      text += value;
    } else {
      text += '"';
      append_escaped(text, value);
      text += '"';
    }
  }
  return text;
}

std::string json_line(std::string_view time, std::string_view level, std::string_view message,
                      Logger::Fields fields) {
  std::string line = fmt::format(R"({{"time":"{}","level":"{}","message":")", time, level);
  append_escaped(line, message);
  line += '"';
  for (const auto& [name, value] : fields) {
    line += fmt::format(R"(,"{}":")", name);
    append_escaped(line, value);
    line += '"';
  }
  return line + "}";
}

}  // namespace lockstep::server
