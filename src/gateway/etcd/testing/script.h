// The language of the golden scripts: one line in, what every open call answered out.
//
//   SERVICE/METHOD FIELDS
//       a unary call: "KV/Put key: 'a' value: '1'" (protobuf's text format)
//   open NAME SERVICE/METHOD [FIELDS]
//       a stream, or a unary call that may not answer at once
//   NAME < FIELDS · NAME half_close · NAME cancel · NAME pause · NAME read
//       one more message on it, or what its client does
//   raw SERVICE/METHOD HEX · NAME raw HEX
//       bytes instead of a message
//   with METADATA VALUE
//       for the next call
//   leader lost · leader found · learner yes · learner no · advance MS
//   stop_waiting
//       the server stops
//   fill N BYTES
//       puts keys k0000…, each of so many bytes
//   repeat N LINE · at_once N LINE
//       prints only how many answers there were; runs nothing in between
//   login USER PASSWORD · as USER · as nobody · as forged
//       calls show that user's token from here on
//
// A header is printed as @REVISION. Answers of calls with a name begin with the name.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "gateway/etcd/testing/fake_call.h"
#include "gateway/etcd/testing/world.h"

namespace lockstep::gateway::testing {

class Script {
 public:
  Script();
  std::string run(const std::string& line);

 private:
  struct OpenCall {
    std::string method;  // "etcdserverpb.Watch.Watch"
    std::shared_ptr<FakeCall> call;
    std::unique_ptr<rpc::ServerStreamHandler> handler;  // null: unary
    bool told = false;                                  // its end was printed
  };

  void login(const std::string& user, const std::string& password);
  bool world_command(const std::string& word, const std::string& rest);
  void open(const std::string& name, const std::string& short_method, const std::string& request);
  void on_call(const std::string& name, const std::string& rest);
  void settle();
  void print_answers(const std::string& name, OpenCall& open);

  World world_;
  FakeRegistry registry_;
  FakeCall::Metadata next_metadata_;
  std::map<std::string, std::string> tokens_;  // by the name they were kept under
  std::string token_;                          // that calls show from now on
  std::map<std::string, OpenCall> calls_;      // by name; "" is the last one without
  std::string output_;
  std::size_t answers_ = 0;
  bool counting_ = false;
  bool at_once_ = false;
};

}  // namespace lockstep::gateway::testing
