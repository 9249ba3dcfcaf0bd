// A new cluster that begins with authentication on: the user and the role root, then the switch.
#pragma once

#include <memory>
#include <string>

#include "env/clock.h"
#include "env/executor.h"
#include "replica/replica.h"

namespace lockstep::server {

// The first line of the file. Errors: what is wrong with it, by name.
Result<std::string> read_password_file(const std::string& path);

// Works on whichever member leads until authentication has been switched on once; each step may have been
// done by an earlier leader. `done` is called once, when this member knows that it was. Nobody must be served
// before, or strangers could be first. Strand: the core's; the replica outlives it.
class RootAccount {
 public:
  RootAccount(replica::Replica& replica, env::Executor& executor, env::Clock& clock, std::string password,
              env::Closure done);
  ~RootAccount();
  RootAccount(const RootAccount&) = delete;
  RootAccount& operator=(const RootAccount&) = delete;

 private:
  void look();
  void take_next_step();

  replica::Replica& replica_;
  env::Executor& executor_;
  env::Clock& clock_;
  std::string password_;
  env::Closure done_;
  bool stepping_ = false;
  env::TimerId timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::server
