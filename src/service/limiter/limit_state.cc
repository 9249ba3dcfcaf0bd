// What a limit holds, and its text.
#include <utility>

#include "service/limiter/limiter.h"
#include "service/record/record.h"

namespace lockstep::service {
namespace {

constexpr std::int64_t slices_of_a_period = 64;
constexpr std::string_view token_bucket = "token_bucket";
constexpr std::string_view sliding_window = "sliding_window";
constexpr std::size_t slice_numbers_max = 2 * 80;  // 64 slices of a period, some more at its ends

bool in_order(const LimitState& state) {
  const std::vector<std::int64_t>& slices = state.slices;
  const std::int64_t limit = state.rule.limit;
  const std::int64_t last_slice = state.time_us / limit_slice_us(state.rule);
  if (slices.size() % 2 != 0 || slices.size() > slice_numbers_max) return false;
  std::int64_t used = 0;
  for (std::size_t i = 0; i < slices.size(); i += 2) {
    if (slices[i] < 0 || slices[i] > last_slice || (i > 0 && slices[i] <= slices[i - 2])) return false;
    if (slices[i + 1] <= 0 || slices[i + 1] > limit) return false;
    used += slices[i + 1];
  }
  return used <= limit;
}

}  // namespace

namespace errors {
Status limit_wrong() {
  return {Code::invalid_argument,
          "limit: limit and burst are 1 to 1000000000, the period is 1 ms to 366 days"};
}
Status limit_cost_wrong() {
  return {Code::invalid_argument, "limit: the cost is negative, or more than is ever allowed at once"};
}
Status not_a_limit() {
  return {Code::failed_precondition, "limit: the key does not hold the state of a limit"};
}
}  // namespace errors

std::int64_t limit_slice_us(const LimitRule& rule) {
  return (rule.period / 1us + slices_of_a_period - 1) / slices_of_a_period;
}

std::string limit_key(const std::string& name) {
  return "lockstep/limits/" + name;
}

std::string encode(const LimitState& state) {
  const bool bucket = state.rule.algorithm == LimitAlgorithm::token_bucket;
  RecordWriter line;
  line.text("algorithm", bucket ? token_bucket : sliding_window).number("limit", state.rule.limit);
  line.number("period_us", state.rule.period / 1us);
  if (bucket) line.number("burst", state.rule.burst);
  line.number("time_us", state.time_us);
  if (bucket) {
    line.number("tokens", state.tokens).number("fraction_us", state.fraction_us);
  } else {
    line.numbers("slices", state.slices);
  }
  return line.finish();
}

Result<LimitState> parse_limit(std::string_view value) {
  const Result<Record> line = Record::parse("limit", value);
  if (!line.ok()) return errors::not_a_limit();
  LimitState state;
  LS_ASSIGN_OR_RETURN(const std::string algorithm, line->text("algorithm"));
  LS_ASSIGN_OR_RETURN(state.rule.limit, line->number("limit"));
  LS_ASSIGN_OR_RETURN(const std::int64_t period_us, line->number("period_us"));
  LS_ASSIGN_OR_RETURN(state.time_us, line->number("time_us"));
  if (state.rule.limit < 1 || state.rule.limit > limit_max) return errors::not_a_limit();
  if (period_us < limit_period_min / 1us || period_us > limit_period_max / 1us) return errors::not_a_limit();
  // A time that adds to a period, and has a difference to any other, without leaving 64 bits.
  if (state.time_us < 0 || state.time_us > INT64_MAX / 4) return errors::not_a_limit();
  state.rule.period = std::chrono::microseconds(period_us);
  if (algorithm == sliding_window) {
    state.rule.algorithm = LimitAlgorithm::sliding_window;
    state.rule.burst = state.rule.limit;
    LS_ASSIGN_OR_RETURN(state.slices, line->numbers("slices"));
    if (!in_order(state)) return errors::not_a_limit();
    return state;
  }
  if (algorithm != token_bucket) return errors::not_a_limit();
  LS_ASSIGN_OR_RETURN(state.rule.burst, line->number("burst"));
  LS_ASSIGN_OR_RETURN(state.tokens, line->number("tokens"));
  LS_ASSIGN_OR_RETURN(state.fraction_us, line->number("fraction_us"));
  if (state.rule.burst < 1 || state.rule.burst > limit_max) return errors::not_a_limit();
  if (state.tokens < 0 || state.tokens > state.rule.burst) return errors::not_a_limit();
  if (state.fraction_us < 0 || state.fraction_us >= period_us) return errors::not_a_limit();
  return state;
}

}  // namespace lockstep::service
