// What can be said about a definition without running it: everything that make_saga would refuse, and what
// runs but probably not as it is meant.
//
// Services need no table here; without one they are notes. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "service/transaction/saga/json.h"
#include "service/transaction/saga/problems.h"

namespace lockstep::service::transaction::saga {

struct LintReport {
  bool runnable = false;  // make_saga takes it, once every service is in the table
  std::string name;
  std::size_t tasks = 0;
  std::vector<Problem> problems;  // errors first
};

LintReport lint(std::string_view document);

// A line for each problem and one for the whole.
std::string to_text(const LintReport& report);
// {"runnable": …, "name": …, "tasks": …, "problems": [{"severity": …, "path": …, "message": …}]}
Json to_json(const LintReport& report);

}  // namespace lockstep::service::transaction::saga
