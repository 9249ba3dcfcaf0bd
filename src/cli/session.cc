#include "cli/session.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <termios.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/limits.h"

namespace lockstep::cli {
namespace {

constexpr std::size_t input_bytes_max = 64 * limits::mebibyte;

// Switches the terminal's echo off while it lives.
class Unseen {
 public:
  Unseen() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    changed_ = tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
  }
  ~Unseen() {
    if (changed_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

 private:
  termios before_{};
  bool changed_ = false;
};

}  // namespace

Exit exit_of(const Status& status) {
  // etcd says FailedPrecondition where its text says what is missing, or there already.
  if (status.message().ends_with("already exists")) return Exit::conflict;
  if (status.message().ends_with("not found") && status.code() != Code::invalid_argument)
    return Exit::not_found;
  switch (status.code()) {
    case Code::ok:
      return Exit::ok;
    case Code::not_found:
      return Exit::not_found;
    case Code::already_exists:
      return Exit::conflict;
    case Code::invalid_argument:
    case Code::failed_precondition:
    case Code::out_of_range:
    case Code::resource_exhausted:
    case Code::permission_denied:
    case Code::unauthenticated:
      return Exit::refused;
    case Code::unavailable:
      return Exit::unavailable;
    case Code::unknown_outcome:
    case Code::deadline_exceeded:
      return Exit::timeout;
    case Code::cancelled:
    case Code::corruption:
    case Code::io_error:
    case Code::unimplemented:
    case Code::internal:
      return Exit::failure;
  }
  return Exit::failure;
}

std::string_view exit_codes_text() {
  return R"(
Exit status:
  0  done
  1  failed
  2  the command line is wrong
  3  what was asked for does not exist
  4  refused: not permitted, not valid, or not in the cluster's present state
  5  no member can be reached, or none leads
  6  out of time; a change may or may not have been made
  7  it exists already, or a comparison did not hold
)";
}

Result<Client*> Session::client(Patience patience) {
  if (client_ != nullptr) return client_.get();
  std::string secret;
  if (!settings().user.empty()) {
    LS_ASSIGN_OR_RETURN(secret,
                        password(settings().password_file, fmt::format("Password of {}: ", settings().user)));
  }
  LS_ASSIGN_OR_RETURN(client_, Client::make(settings(), std::move(secret), patience == Patience::none));
  return client_.get();
}

void Session::print(const Report& report) const {
  write(render(report, settings().output));
}

void Session::write(std::string_view bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

void Session::flush() {
  std::fflush(stdout);
}

void Session::warn(std::string_view line) {
  end_progress();
  fmt::print(stderr, "lockstep: {}\n", line);
}

namespace {
bool progress_shown = false;
}

void Session::progress(std::string_view line) {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r\x1b[K{}", line);
  std::fflush(stderr);
  progress_shown = true;
}

void Session::end_progress() {
  if (!std::exchange(progress_shown, false)) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
}

Status Session::confirm(std::string_view what, bool yes) {
  if (yes) return {};
  if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0)
    return {Code::failed_precondition, fmt::format("{}: nobody to ask here; say --yes", what)};
  fmt::print(stderr, "{}. Type yes to go on: ", what);
  std::fflush(stderr);
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "yes") return {};
  return {Code::cancelled, "nothing was done"};
}

Result<std::string> Session::password(const std::string& file, std::string_view question) {
  std::string line;
  if (!file.empty()) {
    std::ifstream stream(file);
    if (!stream) return Status(Code::io_error, fmt::format("{}: {}", file, std::strerror(errno)));
    std::getline(stream, line);
    if (!line.empty() && line.back() == '\r') line.pop_back();
  } else {
    if (isatty(STDIN_FILENO) == 0)
      return Status(Code::failed_precondition, "a password is needed: name a file with --password-file");
    const Unseen unseen;
    fmt::print(stderr, "{}", question);
    std::fflush(stderr);
    std::getline(std::cin, line);
    fmt::print(stderr, "\n");
  }
  if (line.empty()) return Status(Code::invalid_argument, "the password is empty");
  return line;
}

Result<std::string> Session::standard_input() {
  std::string input;
  char buffer[65536];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    if (input.size() + count > input_bytes_max)
      return Status(Code::invalid_argument, "the input is too large");
    input.append(buffer, count);
  }
  return input;
}

}  // namespace lockstep::cli
