// What a submit asks for, as the document that is kept (service/transaction/machines.h).
//
// The same request makes the same document, whatever the order of its fields: that is what "the same again"
// means. Of the server's table of services only those go in that a definition names.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "env/http_client.h"
#include "gateway/v1/route.h"
#include "service/transaction/machine.h"

namespace lockstep::gateway::v1 {

// Addresses by the name that definitions use.
using ServiceTable = std::map<std::string, std::string, std::less<>>;

// The fields of a definition, of all modes together; which of them a mode takes its machine says.
Fields definition_fields();
std::string document_of(service::transaction::Mode mode, const Arguments& given, const ServiceTable& table);

// Everything in a document that may come to be called: texts that begin with http:// or https://, but for
// payloads and the like.
std::vector<std::string> addresses_in(std::string_view document);
// One whole value, and nothing behind it.
bool is_json(std::string_view text);

// What can be said about its addresses before they are called. `callouts` null: nothing.
std::optional<Problem> address_problem(const env::HttpClient* callouts, std::string_view document);

// Errors of a document, with the place in the request.
Problem definition_problem(const Status& status, const Arguments& given);
Problem branch_problem(const Status& status);

std::vector<std::string> mode_names();
std::vector<std::string> state_names();

}  // namespace lockstep::gateway::v1
