// A session that is in line already: by another call, perhaps in another process.
#include <utility>

#include "base/assert.h"
#include "service/line_contender.h"
#include "service/store_requests.h"
#include "store/awaitable.h"

namespace lockstep::service {

using Stage = Line::Contender::Stage;

// Our key is not what we wrote, or gone, or the line is not what we believed.
Task<void> Line::Core::on_not_ours(ContenderPtr contender, store::TxnResponse answer) {
  const store::RangeResponse* own = range_at(answer, 0);
  if (own == nullptr) {
    refuse(*contender, Status(Code::internal, "lockstep: an answer to another question"));
    co_return;
  }
  const bool is_there = !own->kvs.empty() && own->kvs[0].create_revision == contender->token;
  if (is_there && !is_as_required(contender->request, range_at(answer, 1))) {
    if (contender->stage == Stage::found) contender->stage = Stage::outside;  // another call's
    refuse(*contender, errors::line_not_set_up());
  } else if (is_there) {
    contender->stage = Stage::found;
    contender->was_inside = true;
    contender->own = own->kvs[0];
  } else if (contender->stage == Stage::found) {
    contender->stage = Stage::outside;  // it was released meanwhile
    contender->was_inside = false;
  } else {
    co_await check_session(contender);
  }
}

// The session's own key gets a new value, so that whoever wrote the old one neither removes it nor takes it
// for its own. False: it has been written by others, or is gone.
Task<bool> Line::Core::write_again(ContenderPtr contender, bool served) {
  LS_MUST(contender->request.again, "a session that comes twice must be expected");
  const std::string value = contender->request.again(contender->own, served);
  for (bool maybe_written = false;;) {
    store::TxnRequest txn;
    txn.compare.push_back(modified_at(contender->request.key, contender->own.mod_revision));
    // Whoever wrote it has not been served either, or has written it once more to be (see tell_next).
    if (!served && !serves_several(contender->request))
      txn.compare.push_back(created_at(*contender->ahead.begin(), contender->ahead_created));
    txn.success.push_back(operation(put_of(contender->request.key, value, contender->session->id())));
    txn.failure.push_back(operation(one_key(contender->request.key)));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context_.store, std::move(txn), call(*contender));
    if (answer.ok()) co_return on_written_again(*contender, *answer, value, served, maybe_written);
    // Until it is certain, also if nobody wants it any more: what was written must be known to be undone.
    maybe_written = maybe_written || is_unknown(answer.status());
    co_await endure(contender, answer.status());
    if (closed_ || contender->lease_is_gone || contender->stage == Stage::outside) co_return false;
    if (const Status why = unwanted(*contender); !why.ok()) refuse(*contender, why);
    if (contender->result.has_value() && !contender->result->ok() && !maybe_written) co_return false;
  }
}

bool Line::Core::on_written_again(Contender& contender, const store::TxnResponse& answer,
                                  const std::string& value, bool served, bool maybe_written) {
  Revision written = answer.header.revision;
  contender.session->saw(written);
  bool is_certain = true;
  if (!answer.succeeded) {
    const store::RangeResponse* own = range_at(answer, 0);
    if (!maybe_written || own == nullptr || own->kvs.empty() || own->kvs[0].value != value) {
      contender.stage = Stage::outside;  // from the beginning
      contender.was_inside = false;
      contender.uncounted = false;
      return false;
    }
    written = own->kvs[0].mod_revision;
    is_certain = value != contender.own.value;  // else others may have written the same
  }
  contender.own.value = value;
  contender.own.mod_revision = written;
  contender.modified = written;
  contender.counted = served;
  contender.uncounted = !served;
  contender.keeps_place = served || !is_certain;
  if (served) contender.must_tell_next = false;  // this has
  return true;
}

}  // namespace lockstep::service
