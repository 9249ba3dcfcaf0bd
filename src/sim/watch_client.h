// Watchers: subscriptions read over the wires, cut at random and resumed elsewhere.
//
// An answer that is overtaken or missing means a broken connection, as for a client on TCP: the watcher drops
// the stream and resumes behind the last revision it has covered. A watch that compaction cancelled goes on
// as a new one.
#pragma once

#include <cstdint>

#include "sim/client.h"

namespace lockstep::sim {

// Until Clients::stop(). What it saw is added to Clients::watches().
Task<void> run_watcher(Client& client);

}  // namespace lockstep::sim
