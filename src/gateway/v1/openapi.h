// The OpenAPI 3.1 document of a table of routes. Pure.
#pragma once

#include <string>

#include "gateway/v1/route.h"

namespace lockstep::gateway::v1 {

std::string openapi_document(const Routes& routes);

}  // namespace lockstep::gateway::v1
