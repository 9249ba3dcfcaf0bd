// One run of the program, as its commands see it: settings, the cluster, and where to write.
//
// Data goes to standard output, everything else (progress, questions, errors) to standard error.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cli/client.h"
#include "cli/report.h"
#include "cli/settings.h"

namespace lockstep::cli {

// What the program's exit status means; documented in --help.
enum class Exit : std::uint8_t {
  ok = 0,
  failure = 1,
  usage = 2,
  not_found = 3,
  refused = 4,
  unavailable = 5,
  timeout = 6,
  conflict = 7,
};
Exit exit_of(const Status& status);
std::string_view exit_codes_text();

// What commands do about members that do not answer.
enum class Patience : std::uint8_t {
  none,     // what cannot be reached is said at once
  patient,  // connections are made again, calls wait until their deadline: while something is held
};

class Session {
 public:
  explicit Session(Variables variables) : variables_(std::move(variables)) {}

  // Set after the command line was read, before a command runs.
  void set_resolved(Resolved resolved) { resolved_ = std::move(resolved); }
  [[nodiscard]] const ClientSettings& settings() const { return resolved_.settings; }
  [[nodiscard]] const Resolved& resolved() const { return resolved_; }
  [[nodiscard]] const Variables& variables() const { return variables_; }

  // Made at first use. Errors: a password file that cannot be read, certificates that cannot be used.
  Result<Client*> client(Patience patience = Patience::none);
  // What the program exits with if all went well: of a command that it ran.
  void exit_with(int code) { exit_code_ = code; }
  [[nodiscard]] int exit_code() const { return exit_code_; }

  void print(const Report& report) const;
  static void write(std::string_view bytes);  // to standard output, as it is
  static void flush();
  static void warn(std::string_view line);
  // One line that is replaced by the next; only on a terminal.
  static void progress(std::string_view line);
  static void end_progress();
  // True for `yes`, or if whoever sits at the terminal types "yes". Off a terminal it refuses.
  static Status confirm(std::string_view what, bool yes);
  // From a file (its first line) or, without one, from the terminal, unseen.
  static Result<std::string> password(const std::string& file, std::string_view question);
  static Result<std::string> standard_input();

 private:
  Variables variables_;
  Resolved resolved_;
  std::unique_ptr<Client> client_;
  int exit_code_ = 0;
};

}  // namespace lockstep::cli
