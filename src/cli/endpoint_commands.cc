// lockstep endpoint status, health, hashkv: each endpoint is asked by itself.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/text.h"
#include "proto/cluster.pb.h"

namespace lockstep::cli {
namespace {

namespace pb = ::etcdserverpb;

struct EndpointArguments {
  bool cluster = false;
  std::int64_t revision = 0;
};

// Those of the settings, or those that the members say clients should use.
Result<std::unique_ptr<Client>> client_for(Session& session, const EndpointArguments& arguments) {
  ClientSettings settings = session.settings();
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  if (arguments.cluster) {
    LS_ASSIGN_OR_RETURN(const pb::MemberListResponse members,
                        client->ask<pb::MemberListResponse>("/etcdserverpb.Cluster/MemberList",
                                                            pb::MemberListRequest(), remote::Effect::none));
    settings.endpoints.clear();
    for (const pb::Member& member : members.members()) {
      for (const std::string& url : member.clienturls()) {
        LS_ASSIGN_OR_RETURN(const std::vector<std::string> addresses, parse_addresses(url));
        settings.endpoints.insert(settings.endpoints.end(), addresses.begin(), addresses.end());
      }
    }
    if (settings.endpoints.empty())
      return Status(Code::not_found, "no member says where its clients connect");
  }
  return Client::make(settings, client->password());
}

// The worst that happened decides the exit status; each endpoint has its row.
class Outcomes {
 public:
  void add(const Status& status) {
    if (!status.ok() && worst_.ok()) worst_ = status;
    if (!status.ok()) ++failed_;
    ++asked_;
  }
  [[nodiscard]] Status status() const {
    if (worst_.ok()) return {};
    return {worst_.code(), fmt::format("{} of {} endpoints failed", failed_, asked_)};
  }

 private:
  Status worst_;
  int failed_ = 0;
  int asked_ = 0;
};

Status status(Session& session, const EndpointArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, client_for(session, arguments));
  Report report;
  Table& table =
      report.table("endpoints", {"endpoint", "id", "version", "db_size", "db_size_in_use", "leader",
                                 "learner", "raft_term", "raft_index", "raft_applied_index", "problems"});
  table.detail_columns = {4};
  Outcomes outcomes;
  for (const std::string& endpoint : client->settings().endpoints) {
    const Result<pb::StatusResponse> answer = client->ask<pb::StatusResponse>(
        "/etcdserverpb.Maintenance/Status", pb::StatusRequest(), remote::Effect::none, endpoint);
    outcomes.add(answer.status());
    if (!answer.ok()) {
      std::vector<Value> row(table.columns.size());
      row.front() = endpoint;
      row.back() = std::string(answer.status().message());
      table.rows.push_back(std::move(row));
      continue;
    }
    table.rows.push_back({endpoint, show_hex_id(answer->header().member_id()), answer->version(),
                          answer->dbsize(), answer->dbsizeinuse(),
                          answer->leader() == answer->header().member_id(), answer->islearner(),
                          answer->raftterm(), answer->raftindex(), answer->raftappliedindex(),
                          std::vector<std::string>(answer->errors().begin(), answer->errors().end())});
  }
  session.print(report);
  return outcomes.status();
}

// A linearizable read shows that the member reaches a quorum; that we may not read is an answer too.
Status probe(Client& client, const std::string& endpoint) {
  pb::RangeRequest read;
  read.set_key("health");
  const Status status =
      client.ask<pb::RangeResponse>("/etcdserverpb.KV/Range", read, remote::Effect::none, endpoint).status();
  if (!status.ok() && status.code() != Code::permission_denied) return status;
  const Result<pb::AlarmResponse> alarms = client.ask<pb::AlarmResponse>(
      "/etcdserverpb.Maintenance/Alarm", pb::AlarmRequest(), remote::Effect::none, endpoint);
  if (!alarms.ok() || alarms->alarms().empty()) return {};
  return {Code::failed_precondition, fmt::format("alarm {}", pb::AlarmType_Name(alarms->alarms(0).alarm()))};
}

Status health(Session& session, const EndpointArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, client_for(session, arguments));
  Report report;
  Table& table = report.table("endpoints", {"endpoint", "healthy", "took_ms", "problem"});
  Outcomes outcomes;
  for (const std::string& endpoint : client->settings().endpoints) {
    const TimePoint begun = client->clock().now();
    const Status status = probe(*client, endpoint);
    outcomes.add(status);
    table.rows.push_back({endpoint, status.ok(),
                          static_cast<double>((client->clock().now() - begun).count()) / 1e6,
                          std::string(status.message())});
  }
  session.print(report);
  return outcomes.status();
}

Status hashkv(Session& session, const EndpointArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, client_for(session, arguments));
  pb::HashKVRequest request;
  request.set_revision(arguments.revision);
  Report report;
  Table& table = report.table("endpoints", {"endpoint", "hash", "revision", "compact_revision", "problem"});
  Outcomes outcomes;
  for (const std::string& endpoint : client->settings().endpoints) {
    const Result<pb::HashKVResponse> answer = client->ask<pb::HashKVResponse>(
        "/etcdserverpb.Maintenance/HashKV", request, remote::Effect::none, endpoint);
    outcomes.add(answer.status());
    if (answer.ok()) {
      table.rows.push_back({endpoint, std::uint64_t{answer->hash()}, answer->header().revision(),
                            answer->compact_revision(), Value()});
    } else {
      table.rows.push_back({endpoint, Value(), Value(), Value(), std::string(answer.status().message())});
    }
  }
  session.print(report);
  return outcomes.status();
}

}  // namespace

void add_endpoint_commands(Commands& commands) {
  CLI::App& endpoint = commands.group("endpoint", "ask each member by itself");
  const auto add = [&](const char* name, const char* help, const char* examples,
                       Status (*run)(Session&, const EndpointArguments&)) {
    auto arguments = std::make_shared<EndpointArguments>();
    CLI::App& command = commands.command(endpoint, name, help, examples, [arguments, run](Session& session) {
      return run(session, *arguments);
    });
    command.add_flag("--cluster", arguments->cluster, "every member of the cluster, not only --endpoints");
    if (std::string_view(name) == "hashkv")
      command.add_option("--rev", arguments->revision, "at this revision; 0: the newest")
          ->check(CLI::NonNegativeNumber);
  };
  add("status", "version, size, leader and progress",
      "  lockstep endpoint status --cluster\n  lockstep endpoint status -o json\n", status);
  add("health", "whether each serves reads that a quorum agrees to",
      "  lockstep endpoint health\n  lockstep endpoint health --cluster -o ndjson\n", health);
  add("hashkv", "a hash of the keys: equal at one revision, or something is wrong",
      "  lockstep endpoint hashkv --cluster --rev 1000\n", hashkv);
}

}  // namespace lockstep::cli
