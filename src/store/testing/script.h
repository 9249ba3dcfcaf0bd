// The language of the golden scripts: one line in, what it prints out.
//
//   put K V [lease=N] [prev] [ignore_value] [ignore_lease] [id=CLIENT:SEQUENCE[:FIRST]]
//   del K [END] [prev]                       END "*": every key from K on
//   get K [END] [rev=N] [limit=N] [sort=TARGET] [ascend|descend] [keys_only] [count_only]
//                [min_mod=N] [max_mod=N] [min_create=N] [max_create=N]
//   txn [if COMPARE… ] [then OPERATIONS] [else OPERATIONS]
//        COMPARE: mod(K)=N, create(K..END)>N, version(K)!=N, value(K)<TEXT, lease(K)=N
//        OPERATIONS: put/del/get as above and ( txn ), separated by ";"
//   compact N · grant ID TTL_MS · revoke ID · renew ID… · ttl ID · leases · tick [MS] · client
//   alarm get|on|off MEMBER · batch/end: the commands between are one entry
//   user add NAME [no_password] · user delete|password NAME · user grant|revoke NAME ROLE
//   role add|delete NAME · role permit NAME read|write|both K [END] · role forbid NAME K [END]
//   auth on|off · auth: the state · as NAME|#CREDENTIAL|nobody|cluster: who asks from now on
//   effects: of the newest entry · history: pinned keys and oldest revision · step N: of compaction · restart
//   digest: whether a second member, which never restarts and compacts otherwise, has the same
//
// Values: "-" is empty, "xN" in a put is N times "x" (printed so from 40 on).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/command.h"
#include "store/testing/machine.h"

namespace lockstep::store::testing {

class Script {
 public:
  Script();
  std::string run(const std::string& line);

 private:
  using Words = std::vector<std::string>;
  bool mutation(const Words& words);
  bool lease_command(const Words& words);
  bool auth_command(const Words& words);
  bool inspection(const Words& words);
  void print_auth();
  // Prints what is wrong, if anything is.
  bool refuses(const Status& status);
  void propose(const Status& refused, const std::function<bool(BatchBuilder&)>& add);
  void apply_batch();
  void print(const CommandResult& result);
  void print(const Response& response);
  void print_effects();
  void print_history();

  Machine machine_;
  Machine other_;
  BatchBuilder batch_;
  Principal principal_;
  bool gathering_ = false;
  std::string output_;
};

}  // namespace lockstep::store::testing
