// /v1/latches and /v1/barriers: waiting for others.
#include <utility>

#include "gateway/v1/coordination.h"
#include "gateway/v1/seat.h"
#include "service/barrier/barriers.h"
#include "service/latch/latches.h"
#include "service/names.h"
#include "service/waiting.h"

namespace lockstep::gateway::v1 {
namespace {

// ---- latches

Outcome latch_answer(const Result<service::LatchState>& state) {
  if (state.status() == service::errors::wait_deadline_over())
    return make_problem("not_yet", "not all had counted within wait_ms");
  if (!state.ok()) return state.status();
  JsonText json;
  return std::move(json.bytes("name", state->name).number("count", state->count).number("of", state->of));
}

Task<Outcome> make(Coordination* recipes, Call call) {
  co_return latch_answer(co_await service::make_latch(recipes->context, call.arguments.text("name"),
                                                      call.arguments.integer("of"), call.options));
}

Task<Outcome> count_down(Coordination* recipes, Call call) {
  co_return latch_answer(co_await service::count_down(recipes->context, call.arguments.text("name"),
                                                      call.arguments.text("party"), call.options));
}

Task<Outcome> await(Coordination* recipes, Call call) {
  store::CallOptions waiting = waiting_options(*recipes, call);
  co_return latch_answer(
      co_await service::await_latch(recipes->context, call.arguments.text("name"), std::move(waiting)));
}

Task<Outcome> show_latch(Coordination* recipes, Call call) {
  co_return latch_answer(
      co_await service::show_latch(recipes->context, call.arguments.text("name"), call.options));
}

Task<Outcome> remove_latch(Coordination* recipes, Call call) {
  const Status done =
      co_await service::remove_latch(recipes->context, call.arguments.text("name"), call.options);
  if (!done.ok()) co_return done;
  JsonText json;
  co_return std::move(json.bytes("name", call.arguments.text("name")));
}

// ---- barriers

Task<Outcome> enter(Coordination* recipes, Call call) {
  const Result<LeaseId> named = session_of(call);
  if (!named.ok()) co_return wrong_field("session", named.status().message());
  const Result<Seat> seat = co_await seat_of(recipes, &call, *named);
  if (!seat.ok()) co_return seat.status();
  store::CallOptions waiting = waiting_options(*recipes, call);
  const Result<service::BarrierPassed> passed =
      co_await service::enter_barrier(recipes->context, seat->session, call.arguments.text("name"),
                                      call.arguments.integer("parties"), std::move(waiting));
  const Status ready = passed.ok() ? co_await hand_over(*seat, &call) : passed.status();
  if (!ready.ok()) {
    // Nothing to take back: who passed has passed.
    const Status given_up = co_await give_up(recipes, *seat, call.options, {}, ready);
    if (given_up == service::errors::wait_deadline_over())
      co_return make_problem("not_yet", "not all had come within wait_ms");
    co_return given_up;
  }
  JsonText json;
  json.bytes("name", passed->name).number("generation", passed->generation);
  json.number("token", passed->token.value());
  add_session(*recipes, &json, *seat);
  co_return std::move(json);
}

Task<Outcome> leave(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  const Result<Seat> seat = co_await seat_of(recipes, &call, *id);
  if (!seat.ok()) co_return seat.status();
  store::CallOptions waiting = waiting_options(*recipes, call);
  const Status left =
      co_await service::leave_barrier(recipes->context, seat->session, call.arguments.text("name"),
                                      call.arguments.integer("generation"), std::move(waiting));
  if (left == service::errors::wait_deadline_over())
    co_return make_problem("not_yet", "it has left; not all others had within wait_ms");
  if (!left.ok()) co_return left;
  JsonText json;
  co_return std::move(json.bytes("name", call.arguments.text("name")));
}

Task<Outcome> show_barrier(Coordination* recipes, Call call) {
  const Result<service::BarrierState> state =
      co_await service::show_barrier(recipes->context, call.arguments.text("name"), call.options);
  if (!state.ok()) co_return state.status();
  JsonText json;
  json.bytes("name", state->name).number("parties", state->parties).number("there", state->there);
  co_return std::move(json.number("generation", state->generation));
}

Task<Outcome> remove_barrier(Coordination* recipes, Call call) {
  const Status done =
      co_await service::remove_barrier(recipes->context, call.arguments.text("name"), call.options);
  if (!done.ok()) co_return done;
  JsonText json;
  co_return std::move(json.bytes("name", call.arguments.text("name")));
}

}  // namespace

Routes latch_routes(Coordination& recipes) {
  const Field name = name_field("the latch's name");
  const Fields state = {name, integer_field("count", "still to come; 0: open").required(),
                        integer_field("of", "that it waits for").required()};
  Route making =
      post(recipes, "/v1/latches/make", "Makes a latch that opens when so many have counted", make);
  making.request = {name, integer_field("of", "how many").required().between(1, service::latch_parties_max)};
  making.answer = state;
  making.problems = {"latch_differs"};
  Route counting = post(recipes, "/v1/latches/count-down", "One has come", count_down);
  counting.request = {name, bytes_field("party", "counts once, however often it says so; absent: a new one")
                                .between(1, service::name_bytes_max)};
  counting.answer = state;
  counting.problems = {"latch_not_found"};
  Route awaiting = post(recipes, "/v1/latches/await", "Waits until it is open", await);
  awaiting.request = {name, wait_field()};
  awaiting.answer = state;
  awaiting.problems = {"latch_not_found", "not_yet"};
  awaiting.mutates = false;
  Route showing = get(recipes, "/v1/latches/show", "How many are still to come", show_latch);
  showing.request = {name};
  showing.answer = state;
  showing.problems = {"latch_not_found"};
  Route removing = post(recipes, "/v1/latches/remove", "Removes a latch", remove_latch);
  removing.request = {name};
  removing.answer = {name};
  return {std::move(making), std::move(counting), std::move(awaiting), std::move(showing),
          std::move(removing)};
}

Routes barrier_routes(Coordination& recipes) {
  const Field name = name_field("the barrier's name");
  Route entering =
      post(recipes, "/v1/barriers/enter", "Waits until so many are there, then all go on", enter);
  entering.request = seat_fields(name);
  entering.request.push_back(integer_field("parties", "how many; the first to come decides")
                                 .required()
                                 .between(1, service::barrier_parties_max));
  entering.answer = with_session({name, integer_field("generation", "of the barrier; for leave").required(),
                                  integer_field("token", "smaller ones came earlier").required()});
  entering.problems = {"not_yet", "barrier_differs", "session_not_found", "session_lost"};
  Route leaving = post(recipes, "/v1/barriers/leave", "Waits until all of the generation have left", leave);
  leaving.request = seat_fields(name);
  leaving.request.push_back(
      integer_field("generation", "as enter answered").required().between(1, INT64_MAX));
  leaving.answer = {name};
  leaving.problems = {"not_yet", "barrier_not_entered", "session_not_found", "session_lost"};
  Route showing = get(recipes, "/v1/barriers/show", "How many wait", show_barrier);
  showing.request = {name};
  showing.answer = {name, integer_field("parties", "that it waits for; 0: no such barrier").required(),
                    integer_field("there", "that wait").required(),
                    integer_field("generation", "that gathers now").required()};
  Route removing =
      post(recipes, "/v1/barriers/remove", "Removes a barrier that nobody waits at", remove_barrier);
  removing.request = {name};
  removing.answer = {name};
  removing.problems = {"barrier_in_use"};
  return {std::move(entering), std::move(leaving), std::move(showing), std::move(removing)};
}

}  // namespace lockstep::gateway::v1
