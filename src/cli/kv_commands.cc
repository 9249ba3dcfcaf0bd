// lockstep kv get, put, del.
#include <array>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/kv_report.h"
#include "cli/range_arguments.h"

namespace lockstep::cli {
namespace {

struct GetArguments {
  RangeArguments range;
  std::int64_t limit = 0;
  std::int64_t revision = 0;
  store::SortOrder order = store::SortOrder::none;
  store::SortTarget sort_by = store::SortTarget::key;
  bool serializable = false;
  bool keys_only = false;
  bool count_only = false;
};

Status get(Session& session, const GetArguments& arguments) {
  store::RangeRequest request;
  LS_RETURN_IF_ERROR(arguments.range.resolve(&request.key, &request.range_end));
  request.limit = arguments.limit;
  request.revision = Revision(arguments.revision);
  request.sort_order = arguments.order;
  request.sort_target = arguments.sort_by;
  request.serializable = arguments.serializable;
  request.keys_only = arguments.keys_only;
  request.count_only = arguments.count_only;
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const store::RangeResponse response,
                      client->wait_store<store::RangeResponse>([&](auto done) {
                        client->store().range(request, client->options(), std::move(done));
                      }));
  Report report;
  report.detail("revision", response.header.revision.value());
  if (arguments.count_only) {
    report.fact("count", response.count);
  } else {
    report.detail("count", response.count).detail("more", response.more);
    add_kvs(report, response.kvs, arguments.keys_only);
  }
  session.print(report);
  if (arguments.range.is_point() && response.count == 0) return {Code::not_found, "no such key"};
  if (response.more)
    Session::warn(
        fmt::format("{} of {} keys shown: --limit was reached", response.kvs.size(), response.count));
  return {};
}

void add_get(Commands& commands, CLI::App& kv) {
  auto arguments = std::make_shared<GetArguments>();
  CLI::App& command = commands.command(kv, "get", "read a key or a range",
                                       "  lockstep kv get greeting\n"
                                       "  lockstep kv get --prefix config/ --keys-only\n"
                                       "  lockstep kv get counter -o raw --rev 17\n",
                                       [arguments](Session& session) { return get(session, *arguments); });
  add_range_options(command, arguments->range);
  command.add_option("--limit", arguments->limit, "at most so many keys")->check(CLI::NonNegativeNumber);
  command.add_option("--rev", arguments->revision, "as of this revision; 0: the newest")
      ->check(CLI::NonNegativeNumber);
  const std::map<std::string, store::SortOrder> orders = {{"none", store::SortOrder::none},
                                                          {"ascend", store::SortOrder::ascend},
                                                          {"descend", store::SortOrder::descend}};
  command.add_option("--order", arguments->order, "none, ascend or descend")
      ->transform(CLI::CheckedTransformer(orders));
  const std::map<std::string, store::SortTarget> targets = {{"key", store::SortTarget::key},
                                                            {"version", store::SortTarget::version},
                                                            {"create", store::SortTarget::create_revision},
                                                            {"modify", store::SortTarget::mod_revision},
                                                            {"value", store::SortTarget::value}};
  command.add_option("--sort-by", arguments->sort_by, "key, version, create, modify or value")
      ->transform(CLI::CheckedTransformer(targets));
  command.add_flag("--serializable", arguments->serializable,
                   "let any member answer from what it has, perhaps not the newest");
  command.add_flag("--keys-only", arguments->keys_only, "leave the values out");
  command.add_flag("--count-only", arguments->count_only, "only how many");
}

struct PutArguments {
  std::string key;
  std::optional<std::string> value;
  std::string lease;
  bool escaped = false;
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;
};

Status put(Session& session, const PutArguments& arguments) {
  store::PutRequest request;
  LS_ASSIGN_OR_RETURN(request.key, bytes_of(arguments.key, arguments.escaped));
  if (arguments.value.has_value()) {
    LS_ASSIGN_OR_RETURN(request.value, bytes_of(*arguments.value, arguments.escaped));
  } else if (!arguments.ignore_value) {
    LS_ASSIGN_OR_RETURN(request.value, Session::standard_input());
  }
  if (!arguments.lease.empty()) {
    LS_ASSIGN_OR_RETURN(request.lease, lease_of(arguments.lease));
  }
  request.prev_kv = arguments.prev_kv;
  request.ignore_value = arguments.ignore_value;
  request.ignore_lease = arguments.ignore_lease;
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const store::PutResponse response,
                      client->wait_store<store::PutResponse>([&](auto done) {
                        client->store().put(std::move(request), client->options(), std::move(done));
                      }));
  Report report;
  report.fact("revision", response.header.revision.value());
  if (response.prev_kv) add_kvs(report, {*response.prev_kv}, false, "previous");
  session.print(report);
  return {};
}

void add_put(Commands& commands, CLI::App& kv) {
  auto arguments = std::make_shared<PutArguments>();
  CLI::App& command = commands.command(kv, "put", "write a key",
                                       "  lockstep kv put greeting hello\n"
                                       "  lockstep kv put certificate < server.crt\n"
                                       "  lockstep kv put --lease 694d5765fc71500b worker/1 alive\n",
                                       [arguments](Session& session) { return put(session, *arguments); });
  command.add_option("key", arguments->key, "the key")->required();
  command.add_option("value", arguments->value, "the value; left out: read from standard input");
  add_escaped_option(command, arguments->escaped);
  command.add_option("--lease", arguments->lease, "remove the key when this lease ends")->type_name("ID");
  command.add_flag("--prev-kv", arguments->prev_kv, "show what was there before");
  command.add_flag("--ignore-value", arguments->ignore_value, "keep the value; only the lease changes");
  command.add_flag("--ignore-lease", arguments->ignore_lease, "keep the lease");
}

struct DeleteArguments {
  RangeArguments range;
  bool prev_kv = false;
  bool dry_run = false;
  bool yes = false;
};

Result<std::int64_t> count(Client& client, const store::DeleteRangeRequest& request) {
  store::RangeRequest range;
  range.key = request.key;
  range.range_end = request.range_end;
  range.count_only = true;
  LS_ASSIGN_OR_RETURN(const store::RangeResponse response,
                      client.wait_store<store::RangeResponse>([&](auto done) {
                        client.store().range(range, client.options(), std::move(done));
                      }));
  return response.count;
}

Status remove(Session& session, const DeleteArguments& arguments) {
  store::DeleteRangeRequest request;
  LS_RETURN_IF_ERROR(arguments.range.resolve(&request.key, &request.range_end));
  request.prev_kv = arguments.prev_kv;
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  if (arguments.dry_run || (!arguments.range.is_point() && !arguments.yes)) {
    LS_ASSIGN_OR_RETURN(const std::int64_t keys, count(*client, request));
    if (arguments.dry_run) {
      Report report;
      report.fact("would_delete", keys);
      session.print(report);
      return {};
    }
    LS_RETURN_IF_ERROR(Session::confirm(fmt::format("This deletes {} keys", keys), false));
  }
  LS_ASSIGN_OR_RETURN(const store::DeleteRangeResponse response,
                      client->wait_store<store::DeleteRangeResponse>([&](auto done) {
                        client->store().delete_range(std::move(request), client->options(), std::move(done));
                      }));
  Report report;
  report.fact("deleted", response.deleted).detail("revision", response.header.revision.value());
  if (arguments.prev_kv) add_kvs(report, response.prev_kvs, false, "previous");
  session.print(report);
  return {};
}

void add_delete(Commands& commands, CLI::App& kv) {
  auto arguments = std::make_shared<DeleteArguments>();
  CLI::App& command = commands.command(kv, "del", "remove a key or a range",
                                       "  lockstep kv del greeting\n"
                                       "  lockstep kv del --prefix sessions/ --dry-run\n"
                                       "  lockstep kv del --prefix sessions/ --yes\n",
                                       [arguments](Session& session) { return remove(session, *arguments); });
  add_range_options(command, arguments->range);
  command.add_flag("--prev-kv", arguments->prev_kv, "show what was removed");
  command.add_flag("--dry-run", arguments->dry_run, "only count what would be removed");
  command.add_flag("--yes", arguments->yes, "do not ask before removing a range");
}

}  // namespace

void add_kvs(Report& report, const std::vector<store::KeyValue>& kvs, bool keys_only, std::string name) {
  std::vector<std::string> columns = {"key", "create_revision", "mod_revision", "version", "lease"};
  if (!keys_only) columns.insert(columns.begin() + 1, "value");
  Table& table = report.table(std::move(name), std::move(columns));
  table.raw_columns = {keys_only ? 0U : 1U};
  table.detail_columns = {keys_only ? 1U : 2U};
  for (const store::KeyValue& kv : kvs) {
    std::vector<Value>& row = table.rows.emplace_back();
    row.emplace_back(Bytes{kv.key});
    if (!keys_only) row.emplace_back(Bytes{kv.value});
    row.emplace_back(kv.create_revision.value());
    row.emplace_back(kv.mod_revision.value());
    row.emplace_back(kv.version);
    row.emplace_back(show_lease(kv.lease));
  }
}

void add_kv_commands(Commands& commands) {
  CLI::App& kv = commands.group("kv", "read and write keys");
  add_get(commands, kv);
  add_put(commands, kv);
  add_delete(commands, kv);
  add_txn_command(commands, kv);
  add_watch_command(commands, kv);
}

}  // namespace lockstep::cli
