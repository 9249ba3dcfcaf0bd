// lockstep kv txn.
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/txn_text.h"

namespace lockstep::cli {
namespace {

struct TxnArguments {
  bool expect_success = false;
};

std::vector<Value> row_of(std::string place, std::string kind, const store::KeyValue* kv, Value count) {
  std::vector<Value> row = {std::move(place), std::move(kind)};
  if (kv == nullptr) {
    row.insert(row.end(), {Value(), Value(), Value()});
  } else {
    row.insert(row.end(), {Value(Bytes{kv->key}), Value(Bytes{kv->value}), Value(kv->mod_revision.value())});
  }
  row.push_back(std::move(count));
  return row;
}

// Nested transactions are numbered like chapters: 2.1 is the first operation of the second one's.
void add_responses(Table& table, const store::TxnResponse& txn, const std::string& prefix) {
  for (std::size_t i = 0; i < txn.responses.size(); ++i) {
    const std::string place = prefix + std::to_string(i + 1);
    const auto& response = txn.responses[i].response;
    if (const auto* range = std::get_if<store::RangeResponse>(&response)) {
      if (range->kvs.empty()) table.rows.push_back(row_of(place, "get", nullptr, range->count));
      for (const store::KeyValue& kv : range->kvs)
        table.rows.push_back(row_of(place, "get", &kv, range->count));
    } else if (const auto* put = std::get_if<store::PutResponse>(&response)) {
      table.rows.push_back(row_of(place, "put", put->prev_kv ? &*put->prev_kv : nullptr, Value()));
    } else if (const auto* removal = std::get_if<store::DeleteRangeResponse>(&response)) {
      if (removal->prev_kvs.empty()) table.rows.push_back(row_of(place, "del", nullptr, removal->deleted));
      for (const store::KeyValue& kv : removal->prev_kvs)
        table.rows.push_back(row_of(place, "del", &kv, removal->deleted));
    } else if (const auto* nested = std::get_if<store::TxnResponse>(&response)) {
      table.rows.push_back(
          row_of(place, nested->succeeded ? "txn: success" : "txn: failure", nullptr, Value()));
      add_responses(table, *nested, place + ".");
    }
  }
}

Status txn(Session& session, const TxnArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const std::string input, Session::standard_input());
  LS_ASSIGN_OR_RETURN(store::TxnRequest request, parse_txn(input));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const store::TxnResponse response,
                      client->wait_store<store::TxnResponse>([&](auto done) {
                        client->store().txn(std::move(request), client->options(), std::move(done));
                      }));
  Report report;
  report.fact("succeeded", response.succeeded).detail("revision", response.header.revision.value());
  Table& table = report.table("responses", {"operation", "kind", "key", "value", "mod_revision", "count"});
  add_responses(table, response, "");
  session.print(report);
  if (arguments.expect_success && !response.succeeded)
    return {Code::already_exists, "a comparison did not hold"};
  return {};
}

}  // namespace

void add_txn_command(Commands& commands, CLI::App& kv) {
  auto arguments = std::make_shared<TxnArguments>();
  CLI::App& command = commands.command(
      kv, "txn", "compare, then do one of two lists of operations, as one",
      "  printf 'ver(\"leader\") = \"0\"\\n\\nput leader me\\n\\nget leader\\n' | lockstep kv txn\n"
      "  lockstep kv txn --expect-success < change.txt\n"
      "  echo '{\"success\":[{\"put\":{\"key\":\"a\",\"value\":\"1\"}},{\"del\":{\"key\":\"b\"}}]}' | "
      "lockstep kv txn -o json\n\n"
      "Standard input holds three parts with empty lines between them: comparisons, what to do if all hold, "
      "and what\n"
      "to do otherwise (etcdctl's format); or a JSON object with \"compare\", \"success\" and \"failure\".\n",
      [arguments](Session& session) { return txn(session, *arguments); });
  command.add_flag("--expect-success", arguments->expect_success,
                   "exit with 7 if a comparison does not hold");
}

}  // namespace lockstep::cli
