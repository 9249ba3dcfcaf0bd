// lockstep lease grant, revoke, keep-alive, timetolive, list.
#include <CLI/CLI.hpp>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/range_arguments.h"
#include "cli/text.h"

namespace lockstep::cli {
namespace {

double seconds(Duration duration) {
  return static_cast<double>(duration.count()) / 1e9;
}

// Above what any store takes, and short of what a Duration holds.
constexpr std::uint64_t ttl_s_max = limits::lease_ttl_s_max + 1;

// A number alone means seconds, as etcd's users write it.
Result<Duration> ttl_of(const std::string& text) {
  if (const Result<std::uint64_t> whole = parse_number(text); whole.ok())
    return Duration(std::chrono::seconds(static_cast<std::int64_t>(std::min(*whole, ttl_s_max))));
  return parse_duration(text);
}

struct GrantArguments {
  std::string ttl;
  std::string id;
};

Status grant(Session& session, const GrantArguments& arguments) {
  store::LeaseGrantRequest request;
  LS_ASSIGN_OR_RETURN(request.ttl, ttl_of(arguments.ttl));
  if (!arguments.id.empty()) {
    LS_ASSIGN_OR_RETURN(request.id, lease_of(arguments.id));
  }
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const store::LeaseGrantResponse response,
                      client->wait_store<store::LeaseGrantResponse>([&](auto done) {
                        client->store().lease_grant(request, client->options(), std::move(done));
                      }));
  Report report;
  report.fact("lease", show_lease(response.id)).fact("ttl_seconds", seconds(response.ttl));
  session.print(report);
  return {};
}

Status revoke(Session& session, const std::string& id) {
  store::LeaseRevokeRequest request;
  LS_ASSIGN_OR_RETURN(request.id, lease_of(id));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const store::LeaseRevokeResponse response,
                      client->wait_store<store::LeaseRevokeResponse>([&](auto done) {
                        client->store().lease_revoke(request, client->options(), std::move(done));
                      }));
  Report report;
  report.fact("revoked", show_lease(request.id)).detail("revision", response.header.revision.value());
  session.print(report);
  return {};
}

struct KeepAliveArguments {
  std::string id;
  bool once = false;
};

Status keep_alive(Session& session, const KeepAliveArguments& arguments) {
  store::LeaseKeepAliveRequest request;
  LS_ASSIGN_OR_RETURN(request.id, lease_of(arguments.id));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  Table table;
  table.columns = {"lease", "ttl_seconds"};
  for (bool first = true;; first = false) {
    LS_ASSIGN_OR_RETURN(const store::LeaseKeepAliveResponse response,
                        client->wait_store<store::LeaseKeepAliveResponse>([&](auto done) {
                          client->store().lease_keep_alive(request, client->options(), std::move(done));
                        }));
    if (response.ttl == Duration::zero()) return {Code::not_found, "the lease has ended"};
    Session::write(render_row(table, {show_lease(response.id), seconds(response.ttl)},
                              session.settings().output, first));
    Session::flush();
    if (arguments.once) return {};
    // A third of the time, so that two renewals may be lost.
    client->wait<bool>([&](auto done) {
      client->executor().schedule(client->clock().now() + response.ttl / 3,
                                  [done = std::move(done)]() mutable { done(true); });
    });
  }
}

struct TimeToLiveArguments {
  std::string id;
  bool keys = false;
};

Status time_to_live(Session& session, const TimeToLiveArguments& arguments) {
  store::LeaseTimeToLiveRequest request;
  LS_ASSIGN_OR_RETURN(request.id, lease_of(arguments.id));
  request.keys = arguments.keys;
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const store::LeaseTimeToLiveResponse response,
                      client->wait_store<store::LeaseTimeToLiveResponse>([&](auto done) {
                        client->store().lease_time_to_live(request, client->options(), std::move(done));
                      }));
  if (!response.found) return {Code::not_found, "the lease has ended, or never was"};
  Report report;
  report.fact("lease", show_lease(response.id))
      .fact("remaining_seconds", seconds(response.remaining))
      .fact("granted_seconds", seconds(response.granted_ttl));
  if (arguments.keys) {
    Table& table = report.table("keys", {"key"});
    for (const std::string& key : response.keys) table.rows.push_back({Bytes{key}});
  }
  session.print(report);
  return {};
}

Status list(Session& session) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const store::LeaseLeasesResponse response,
                      client->wait_store<store::LeaseLeasesResponse>([&](auto done) {
                        client->store().lease_leases(client->options(), std::move(done));
                      }));
  Report report;
  Table& table = report.table("leases", {"lease"});
  for (const LeaseId lease : response.leases) table.rows.push_back({show_lease(lease)});
  session.print(report);
  return {};
}

}  // namespace

void add_lease_commands(Commands& commands) {
  CLI::App& lease = commands.group("lease", "grant, renew and end leases");
  auto granting = std::make_shared<GrantArguments>();
  CLI::App& grant_command = commands.command(
      lease, "grant", "begin a lease: keys put with it end with it",
      "  lockstep lease grant 60\n  lockstep lease grant 1.5m -o raw\n  lockstep lease grant 10s --id 1f\n",
      [granting](Session& session) { return grant(session, *granting); });
  grant_command.add_option("ttl", granting->ttl, "how long it lives without renewal; a number means seconds")
      ->required();
  grant_command.add_option("--id", granting->id, "choose the id, in hexadecimal")->type_name("ID");

  auto revoked = std::make_shared<std::string>();
  commands
      .command(lease, "revoke", "end a lease and remove its keys",
               "  lockstep lease revoke 694d5765fc71500b\n  lockstep lease revoke 1f -o json\n",
               [revoked](Session& session) { return revoke(session, *revoked); })
      .add_option("id", *revoked, "the lease")
      ->required();

  auto renewing = std::make_shared<KeepAliveArguments>();
  CLI::App& keep_command = commands.command(
      lease, "keep-alive", "renew a lease until interrupted",
      "  lockstep lease keep-alive 694d5765fc71500b\n  lockstep lease keep-alive 1f --once\n",
      [renewing](Session& session) { return keep_alive(session, *renewing); });
  keep_command.add_option("id", renewing->id, "the lease")->required();
  keep_command.add_flag("--once", renewing->once, "renew once");

  auto asked = std::make_shared<TimeToLiveArguments>();
  CLI::App& ttl_command = commands.command(
      lease, "timetolive", "how long a lease has left",
      "  lockstep lease timetolive 694d5765fc71500b\n  lockstep lease timetolive 1f --keys -o json\n",
      [asked](Session& session) { return time_to_live(session, *asked); });
  ttl_command.add_option("id", asked->id, "the lease")->required();
  ttl_command.add_flag("--keys", asked->keys, "also the keys that end with it");

  commands.command(lease, "list", "all leases", "  lockstep lease list\n  lockstep lease list -o raw\n",
                   list);
}

}  // namespace lockstep::cli
