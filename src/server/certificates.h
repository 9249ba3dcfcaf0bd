// A small certificate authority for `lockstepd init`: one CA, a certificate for each member (server and
// client, since members connect to each other both ways) and one for administrators.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace lockstep::server {

struct InitOptions {
  std::string directory;           // made if it is missing; nothing in it is overwritten
  std::vector<std::string> names;  // of members; each gets NAME.crt and NAME.key
  std::vector<std::string> hosts;  // names and addresses under which members are reached, besides localhost
  int days = 825;
};

// What was written, in order. Errors: already_exists names the file that is in the way; io_error; internal
// with OpenSSL's text.
Result<std::vector<std::string>> make_certificates(const InitOptions& options);
// A file with a random password, readable by its owner alone.
Result<std::string> make_password_file(const std::string& directory);

}  // namespace lockstep::server
