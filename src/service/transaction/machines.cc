#include "service/transaction/machines.h"

#include "service/transaction/saga/saga.h"

namespace lockstep::service::transaction {

Result<std::unique_ptr<Machine>> make_machine(Mode mode, std::string_view document,
                                              const std::vector<std::string>& registered,
                                              std::string_view gid, Rules rules) {
  switch (mode) {
    case Mode::tcc:
    case Mode::xa:
      return make_two_phase(mode, document, registered, rules);
    case Mode::message:
      return make_message(document, rules);
    case Mode::notification:
      return make_notification(document, rules);
    case Mode::saga:
      return make_saga(document, gid, rules);
  }
  return errors::entry_does_not_fit();
}

}  // namespace lockstep::service::transaction
