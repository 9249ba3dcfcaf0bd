// How keys are reported, by every command that shows some.
#pragma once

#include <string>
#include <vector>

#include "cli/report.h"
#include "store/types.h"

namespace lockstep::cli {

void add_kvs(Report& report, const std::vector<store::KeyValue>& kvs, bool keys_only,
             std::string name = "kvs");

}  // namespace lockstep::cli
