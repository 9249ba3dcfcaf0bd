// What every request is judged by, whichever HTTP it came with. Pure. Internal to gateway/http1.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/http.h"

namespace lockstep::gateway {

struct Refused {
  int status = 0;  // zero: not refused
  std::string_view why;
};

// Into path and query: decoded once, and nothing in it that means to slip past somebody.
Refused split_target(std::string_view target, HttpRequest* request);
// Whether the request came where it was meant to.
Refused misdirected(const HttpRequest& request, const std::vector<std::string>& host_names);

}  // namespace lockstep::gateway
