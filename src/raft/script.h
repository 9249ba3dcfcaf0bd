// The language of the golden interaction scripts in testdata/. A block is some commands, a line of four
// dashes, and everything that happened; blocks are separated by an empty line; '#' begins a comment line
// between blocks.
//
// Members:
//
// - `add 1 2 3 [learners 4]`: founders; `join 4`: a stranger with an empty log, in doubt until it is restored
// - `add-log 1 of 1 2 3 terms 1 1 2 [term 4] [vote 3] [commit 2]`: a founder with a past
// - `option NAME VALUE`: for members that start later (pre-vote, message-bytes, …)
//
// Inputs:
//
// - `campaign N`, `propose N a b c`, `read N ID …`, `transfer N TO`, `lost N PEER`, `leave N`, `context N
// TEXT`
// - `change N add-learner 4 promote 5 demote 6 remove 7 [stay]`
// - `persist N [COUNT]`, `auto-persist on|off`, `snapshot N [KEEP]`, `install N`, `refuse N`
// - `time MS`: members act as their deadlines pass; `stabilize`: persist, deliver and install until nothing
// is left;
//   `run MS`: both, in steps of 10 ms
//
// Messages:
//
// - `deliver [once] [KIND] [from N] [to N] [count N]`: also what comes of it, unless once; `drop` and
// `double` alike
// - `inject KIND FROM TO TERM [index|log-term|commit|round VALUE] [entry INDEX TERM] [reject]`
//
// Trouble: `partition 1 2 / 3 4 5`, `isolate N`, `heal`, `crash N [WRITES-KEPT]`, `restart N`, `wipe N`,
// `save N`, `rollback N`.
//
// Looking: `state [N …]`, `log N`, `peers N`, `network`, `quiet on|off`.
#pragma once

#include <string>

namespace lockstep::raft {

// The script with every block's output replaced by what happens now.
std::string run_script(const std::string& script);

}  // namespace lockstep::raft
