// /v1/locks, seen from outside: who holds and waits, taking away, and writing what a lock protects.
#include <utility>

#include "gateway/v1/coordination.h"
#include "gateway/v1/follow.h"
#include "service/lock/guard.h"
#include "service/lock/lock_states.h"
#include "service/names.h"

namespace lockstep::gateway::v1 {
namespace {

using service::LockContender;
using service::LockState;

constexpr std::int64_t writes_max = 100;
// A stream keeps what it said last.
constexpr std::size_t contenders_watched_max = 100;
constexpr std::int64_t page_key_bytes_max = 4096;

JsonText to_json(const LockContender& contender) {
  const service::HolderValue& value = contender.value;
  JsonText json;
  json.text("session", session_text(contender.session)).text("mode", lock_mode_text(contender.mode));
  json.number("token", contender.token.value()).boolean("holds", contender.holds);
  json.bytes("key", contender.key).number("count", value.count).number("since_ms", value.since_ms);
  json.text("holder", value.description.holder).text("host", value.description.host);
  return std::move(json.text("reason", value.description.reason).number("pid", value.description.pid));
}

JsonText to_json(const LockState& state) {
  JsonText json;
  json.bytes("name", state.name);
  json.boolean("held", !state.contenders.empty() && state.contenders[0].holds);
  json.begin_list("contenders");
  for (const LockContender& contender : state.contenders) json.element(to_json(contender));
  return std::move(json.end_list().boolean("more", state.more));
}

Task<Outcome> show(Coordination* recipes, Call call) {
  const Result<LockState> state =
      co_await service::show_lock(recipes->context, call.arguments.text("name"), std::move(call.options));
  if (!state.ok()) co_return state.status();
  co_return to_json(*state);
}

Task<Outcome> list(Coordination* recipes, Call call) {
  service::LockListRequest request;
  request.prefix = call.arguments.text("prefix");
  request.from = call.arguments.text("from");
  const Result<service::LockList> page =
      co_await service::list_locks(recipes->context, std::move(request), std::move(call.options));
  if (!page.ok()) co_return page.status();
  JsonText json;
  json.begin_list("locks");
  for (const LockState& state : page->locks) json.element(to_json(state));
  json.end_list();
  if (!page->next.empty()) json.bytes("next", page->next);
  co_return std::move(json);
}

Task<Result<State>> read_lock(Coordination* recipes, std::string name, store::CallOptions options) {
  const Result<LockState> state =
      co_await service::show_lock(recipes->context, name, std::move(options), contenders_watched_max);
  if (!state.ok()) co_return state.status();
  co_return State{"lock", to_json(*state), state->revision};
}

Task<Status> watch(Coordination* recipes, Call call, EventSink* sink) {
  const std::string name = call.arguments.text("name");
  Following what;
  what.key = name + "/";
  what.range_end = service::prefix_end(what.key);
  what.read = [recipes, name](store::CallOptions options) {
    return read_lock(recipes, name, std::move(options));
  };
  return follow(recipes, std::move(what), std::move(call.options), sink);
}

Task<Outcome> force_release(Coordination* recipes, Call call) {
  service::ForceRelease request;
  request.name = call.arguments.text("name");
  request.token = Revision(call.arguments.integer("token"));
  request.by = call.arguments.text("by");
  request.reason = call.arguments.text("reason");
  const Result<service::ForcedRelease> released =
      co_await service::force_release(recipes->context, std::move(request), std::move(call.options));
  if (!released.ok()) co_return released.status();
  JsonText json;
  json.bytes("name", call.arguments.text("name"));
  co_return std::move(json.bytes("audit_key", released->audit_key));
}

store::TxnRequest writes_of(const Call& call) {
  store::TxnRequest txn;
  for (const Arguments& one : call.arguments.objects("put")) {
    store::PutRequest put;
    put.key = one.text("key");
    put.value = one.text("value");
    txn.success.push_back({std::move(put)});
  }
  for (const Arguments& one : call.arguments.objects("delete")) {
    store::DeleteRangeRequest remove;
    remove.key = one.text("key");
    txn.success.push_back({std::move(remove)});
  }
  return txn;
}

// Who waits has a key and a token, too. Nobody is before an exclusive holder, no writer before a shared one:
// there are only later writers, or none at all, which compares as one of revision 0.
store::TxnRequest if_served(store::TxnRequest txn, const std::string& name, service::LockMode mode,
                            Revision token) {
  const bool shared = mode == service::LockMode::shared;
  store::Compare later;
  later.key = name + "/";
  later.range_end = shared ? later.key + "r/" : service::prefix_end(later.key);
  later.target = store::CompareTarget::create_revision;
  later.result = store::CompareResult::greater;
  later.number = token.value() - 1;
  store::TxnRequest served;
  served.compare.push_back(later);
  served.success = txn.success;
  if (!shared) return served;
  store::Compare none = std::move(later);
  none.result = store::CompareResult::equal;
  none.number = 0;
  txn.compare.push_back(std::move(none));
  served.failure.push_back({std::move(txn)});
  return served;
}

bool was_written(const store::TxnResponse& answer) {
  if (answer.succeeded || answer.responses.empty()) return answer.succeeded;
  const auto* nested = std::get_if<store::TxnResponse>(&answer.responses[0].response);
  return nested != nullptr && nested->succeeded;
}

// Under the lock that is held, or under a token that the resource compares with the highest it has seen.
Task<Outcome> write(Coordination* recipes, Call call) {
  const bool held = call.arguments.has("name") && call.arguments.has("session");
  if (held == call.arguments.has("resource"))
    co_return wrong_field("resource", "either a lock's name and session, or a resource must be given");
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  store::TxnRequest txn = writes_of(call);
  if (txn.success.empty()) co_return wrong_field("put", "there is nothing to write");
  const Revision token(call.arguments.integer("token"));
  service::Fence fence;
  fence.token = token;
  if (held) fence.key = lock_key_of(call, *id);
  if (held) txn = if_served(std::move(txn), call.arguments.text("name"), lock_mode_of(call), token);
  const Result<store::TxnResponse> done =
      held ? co_await service::guarded(recipes->context, std::move(txn), std::move(fence), call.options)
           : co_await service::fenced(recipes->context, std::move(txn), call.arguments.text("resource"),
                                      token, call.options);
  if (!done.ok()) co_return done.status();
  if (!was_written(*done)) co_return service::errors::not_holder();
  JsonText json;
  co_return std::move(json.number("revision", done->header.revision.value()));
}

// ---- the table

Fields contender_fields() {
  return {session_field("whose it is").required(),
          lock_mode_field().required(),
          integer_field("token", "its place in line; of a holder, what resources compare").required(),
          boolean_field("holds", "or waits").required(),
          bytes_field("key", "in the store").required(),
          integer_field("count", "how often it is held").required(),
          integer_field("since_ms", "since 1970, by its own clock; 0: not said").required(),
          text_field("holder", "who, by its own words").required(),
          text_field("host", "where").required(),
          text_field("reason", "why").required(),
          integer_field("pid", "of which process").required()};
}

Fields state_fields() {
  return {lock_name_field(), boolean_field("held", "somebody holds it").required(),
          object_list_field("contenders", "holders first, then who waits, in the order of service",
                            contender_fields())
              .required(),
          boolean_field("more", "there are more contenders than are shown").required()};
}

Route write_route(Coordination& recipes) {
  const auto key = [] {
    return bytes_field("key", "to be written").required().between(1, page_key_bytes_max).not_reserved();
  };
  Route writing =
      post(recipes, "/v1/locks/write", "Writes what a lock protects, unless the token is stale", write);
  writing.request = {
      bytes_field("name", "of the lock, if it must still be held")
          .between(1, service::name_bytes_max)
          .not_reserved(),
      lock_mode_field(),
      session_field("whose lock it is"),
      bytes_field("resource", "instead of name and session: what remembers the highest token it saw")
          .between(1, service::name_bytes_max),
      integer_field("token", "as acquire answered").required().between(1, INT64_MAX),
      object_list_field("put", "keys to be written",
                        {key(), bytes_field("value", "its new value").required()})
          .between(1, writes_max),
      object_list_field("delete", "keys to be removed", {key()}).between(1, writes_max)};
  writing.answer = {integer_field("revision", "at which all of it was written").required()};
  writing.problems = {"stale_token", "not_holder"};
  return writing;
}

}  // namespace

Routes lock_state_routes(Coordination& recipes) {
  Route showing = get(recipes, "/v1/locks/show", "Who holds a lock, and who waits for it", show);
  showing.request = {lock_name_field()};
  showing.answer = state_fields();
  Route listing = get(recipes, "/v1/locks/list",
                      "Locks that somebody holds or waits for, page by page, with the first ten "
                      "contenders of each",
                      list);
  listing.request = {
      bytes_field("prefix", "of the names; all if absent").between(0, service::name_bytes_max).not_reserved(),
      bytes_field("from", "next, of the page before").between(0, page_key_bytes_max).not_reserved()};
  listing.answer = {object_list_field("locks", "in the order of their names", state_fields()).required(),
                    bytes_field("next", "where the next page begins; absent: this was the last")};
  Route watching = stream(recipes, "/v1/locks/watch",
                          "Who holds a lock and who waits, the first hundred, as it changes", watch);
  watching.request = {lock_name_field()};
  watching.events = {{"lock", "as it is now; states in between may be left out", state_fields()},
                     restarted_event()};
  Route forcing = post(recipes, "/v1/locks/force-release", "Takes a lock away from its holder, on the record",
                       force_release);
  const auto text = [](const char* name, const char* meaning) {
    return text_field(name, meaning).required().between(1, service::description_text_bytes_max);
  };
  forcing.request = {lock_name_field(),
                     integer_field("token", "whose, as show answers").required().between(1, INT64_MAX),
                     text("by", "who does it, for the record"), text("reason", "why, for the record")};
  forcing.answer = {lock_name_field(), bytes_field("audit_key", "where the record stands").required()};
  forcing.problems = {"not_holder"};
  return {std::move(showing), std::move(listing), std::move(watching), std::move(forcing),
          write_route(recipes)};
}

}  // namespace lockstep::gateway::v1
