// What a server serves, by path, and the calls it keeps for reuse. Shared by the server and its calls, which
// may outlive it. Internal to rpc. Strand only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rpc/server_call.h"
#include "rpc/server_metrics.h"

namespace lockstep::rpc {

struct Method {
  std::string path;
  UnaryHandler unary;
  StreamHandlerFactory streaming;
  MethodMetrics metrics;
};

class Call;

class MethodTable {
 public:
  MethodTable();
  ~MethodTable();
  MethodTable(const MethodTable&) = delete;
  MethodTable& operator=(const MethodTable&) = delete;

  Method& add(std::string_view path);
  [[nodiscard]] Method* find(std::string_view path) const {
    const auto found = by_path_.find(path);
    return found == by_path_.end() ? nullptr : found->second;
  }
  // Why a path is not served, in the words of other gRPC servers.
  [[nodiscard]] std::string why_unknown(std::string_view path) const;
  [[nodiscard]] const std::map<std::string, std::unique_ptr<Method>, std::less<>>& methods() const {
    return methods_;
  }

  // A call fit for use; it returns to `table` with its last owner.
  static std::shared_ptr<Call> take_call(const std::shared_ptr<MethodTable>& table);

 private:
  void take_back(Call* call);

  std::map<std::string, std::unique_ptr<Method>, std::less<>> methods_;
  std::unordered_map<std::string_view, Method*> by_path_;
  std::vector<std::unique_ptr<Call>> free_;
};

}  // namespace lockstep::rpc
