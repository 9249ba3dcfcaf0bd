#include "lockstep/participant/participant.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

#include "participant/barrier_rows.h"
#include "participant/xa_resource.h"

namespace lockstep::v1 {
namespace {

constexpr int status_bad_request = 400;
constexpr int status_failed = 500;
constexpr int status_no_handler = 501;

// A transaction that loses races for longer than that is answered 500, and comes again later.
constexpr auto race_time_max = std::chrono::seconds(5);

// JSON, whatever the text has in it.
std::string problem(std::string_view code, std::string_view detail) {
  std::string text = R"({"code":")" + std::string(code) + R"(","detail":")";
  for (const char c : detail) {
    if (c == '"' || c == '\\') text += '\\';
    text += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return text + "\"}";
}

bool is_worth_another(const SqlError& error) {
  // A connection that broke in a commit, too: the barrier tells whether that was done.
  return error.kind() == SqlError::Kind::retry || error.kind() == SqlError::Kind::lost ||
         error.kind() == SqlError::Kind::no_table;
}

detail::XaName name_of(const BranchContext& context) {
  return {.transaction = context.transaction(), .branch = context.branch()};
}

}  // namespace

Participant::Participant(SqlSessions& sessions, ParticipantOptions options)
    : sessions_(&sessions), options_(std::move(options)) {
  detail::check_xa_prefix(options_.xa_prefix());
}

Participant& Participant::on(BranchOperation operation, Handler handler) {
  handlers_[operation] = std::move(handler);
  return *this;
}

BranchAnswer Participant::handle(const BranchContext::HeaderLookup& header, std::string_view body) {
  try {
    return handle(BranchContext::from_headers(header), body);
  } catch (const std::exception& error) {
    return BranchAnswer::of_status(status_bad_request, problem("bad_branch", error.what()));
  }
}

BranchAnswer Participant::handle(const BranchContext& context, std::string_view body) {
  const BranchOperation operation = context.operation();
  const bool is_ours = operation == BranchOperation::commit || operation == BranchOperation::rollback ||
                       operation == BranchOperation::check;
  if (!is_ours && !handlers_.contains(operation)) {
    return BranchAnswer::of_status(status_no_handler, problem("no_handler", to_string(operation)));
  }
  try {
    return run(context, body);
  } catch (const std::exception& error) {
    return BranchAnswer::of_status(status_failed, problem("failed", error.what()));
  } catch (...) {
    return BranchAnswer::of_status(status_failed, problem("failed", "an exception of an unknown type"));
  }
}

BranchAnswer Participant::run(const BranchContext& context, std::string_view body) {
  const auto began = std::chrono::steady_clock::now();
  for (int attempt = 1;; ++attempt) {
    bool create_table = false;
    try {
      const SqlSessions::Lent session = sessions_->take();
      return run_once(*session, context, body);
    } catch (const SqlError& error) {
      const bool is_late = std::chrono::steady_clock::now() - began > race_time_max;
      if (!is_worth_another(error) || attempt >= options_.attempts_max() || is_late) throw;
      if (error.kind() == SqlError::Kind::no_table && attempt > 1) throw;  // it is the handler's
      create_table = error.kind() == SqlError::Kind::no_table;
      if (error.kind() == SqlError::Kind::lost) sessions_->close_idle();
    }
    if (create_table) {
      BranchBarrier::create_table(*sessions_->take());
    } else if (attempt > 1) {  // the first loser goes again at once
      std::this_thread::sleep_for(std::chrono::milliseconds(1 << std::min(attempt, 6)));
    }
  }
}

BranchAnswer Participant::run_once(SqlSession& session, const BranchContext& context, std::string_view body) {
  if (context.operation() == BranchOperation::check && !handlers_.contains(BranchOperation::check)) {
    return MessageBarrier::check(session, context.transaction());
  }
  return context.mode() == BranchMode::xa ? run_xa(session, context, body)
                                          : run_handler(session, context, body);
}

BranchAnswer Participant::run_handler(SqlSession& session, const BranchContext& context,
                                      std::string_view body) {
  SqlTransaction transaction(session, options_.isolation());
  BranchBarrier::Entered entered = BranchBarrier::enter(session, context);
  if (entered.passage == BranchBarrier::Passage::duplicate ||
      entered.passage == BranchBarrier::Passage::suspended) {
    return entered.answer;
  }
  if (entered.passage == BranchBarrier::Passage::empty) {
    transaction.commit();
    return entered.answer;
  }
  BranchCall call(context, body, session);
  BranchAnswer answer = handlers_.at(context.operation())(call);
  if (answer.is_done()) {
    BranchBarrier::keep_answer(session, context, answer);
    transaction.commit();
    return answer;
  }
  session.rollback();
  if (!answer.is_refused() || !may_refuse(context.operation())) return answer;
  return BranchBarrier::keep_refusal(session, context, answer);
}

BranchAnswer Participant::run_xa(SqlSession& session, const BranchContext& context, std::string_view body) {
  detail::XaResource resource(session, options_.xa_prefix());
  const detail::XaName name = name_of(context);
  if (const auto reason = resource.refuses(name))
    return BranchAnswer::refused(problem("xa_impossible", *reason));
  if (context.operation() == BranchOperation::commit) return resource.commit(name);
  if (context.operation() == BranchOperation::rollback) return resource.rollback(name);
  if (resource.is_prepared(name)) return BranchAnswer::done();
  const std::string_view prepare = to_string(BranchOperation::prepare);
  const detail::BarrierKey key{name.transaction, name.branch, prepare};
  // Outside the rest: what another one holds under this name must not be abandoned.
  if (!resource.start(name, options_.isolation())) return BranchAnswer::ongoing();
  BranchAnswer answer = BranchAnswer::ongoing();
  try {
    switch (detail::insert_barrier_row_soon(session, key, prepare)) {
      case detail::Inserted::held:  // its like is running, or has just prepared
        resource.abandon(name);
        return BranchAnswer::ongoing();
      case detail::Inserted::present: {
        const auto row = detail::read_barrier_row(session, key);
        resource.abandon(name);
        if (!row) return BranchAnswer::ongoing();
        if (row->reason == prepare) return BranchAnswer::of_status(row->status, row->answer);
        return BranchAnswer::refused(problem("suspended", "it came after its rollback"));
      }
      case detail::Inserted::fresh:
        break;
    }
    BranchCall call(context, body, session);
    answer = handlers_.at(BranchOperation::prepare)(call);
    if (answer.is_done()) {
      resource.prepare(name);
      return answer;
    }
  } catch (...) {
    resource.abandon(name);
    throw;
  }
  resource.abandon(name);
  return answer.is_refused() ? BranchBarrier::keep_refusal(session, context, answer) : answer;
}

}  // namespace lockstep::v1
