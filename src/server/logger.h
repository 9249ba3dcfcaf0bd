// Log lines of the server: one line an event, with fields, as text or JSON, to standard error.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "server/options.h"

namespace lockstep::server {

// "2026-11-22T03:00:01.123Z info serves address=127.0.0.1:2379"
// {"time":"2026-11-22T03:00:01.123Z","level":"info","message":"serves","address":"127.0.0.1:2379"}
// Values with spaces, quotes or control bytes are quoted and escaped. Any thread.
class Logger {
 public:
  using Field = std::pair<std::string_view, std::string>;
  using Fields = std::initializer_list<Field>;

  Logger(LogLevel level, LogFormat format);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void set_level(LogLevel level);
  void debug(std::string_view message, Fields fields = {}) { write(LogLevel::debug, message, fields); }
  void info(std::string_view message, Fields fields = {}) { write(LogLevel::info, message, fields); }
  void warning(std::string_view message, Fields fields = {}) { write(LogLevel::warning, message, fields); }
  void error(std::string_view message, Fields fields = {}) { write(LogLevel::error, message, fields); }

 private:
  void write(LogLevel level, std::string_view message, Fields fields);

  class Sink;
  std::unique_ptr<Sink> sink_;
  LogFormat format_;
};

// What follows level and message, for tests.
std::string text_fields(Logger::Fields fields);
std::string json_line(std::string_view time, std::string_view level, std::string_view message,
                      Logger::Fields fields);

}  // namespace lockstep::server
