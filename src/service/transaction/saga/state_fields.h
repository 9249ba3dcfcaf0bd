// Fields of Seata's tasks: input and output, Status, Retry and the exceptions they speak of.
//
// Exceptions, since an HTTP call has no classes of them: Refused (409), GaveUp (attempts used up),
// InvalidInput (Input could not be made); Java's Throwable, Exception and RuntimeException stand for all of
// them, the names of its network exceptions for GaveUp. Any other name is refused: it would never be met.
//
// Internal to this folder. Problems are told to the reader's.
#pragma once

#include <optional>
#include <string>

#include "service/transaction/saga/definition.h"

namespace lockstep::service::transaction::saga {

std::optional<Expression> read_condition(const std::string& text, const std::string& path,
                                         Problems* problems);
ExceptionSet read_exceptions(ObjectReader* reader);
void read_input(ObjectReader* reader, Target* target);
void read_outputs(ObjectReader* reader, State* state);
void read_statuses(ObjectReader* reader, Target* target);
// The first rule that is about calls without an outcome; a 409 is final.
void read_retries(ObjectReader* reader, RetryRule* rule);

}  // namespace lockstep::service::transaction::saga
