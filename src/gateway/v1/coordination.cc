#include "gateway/v1/coordination.h"

#include <iterator>
#include <utility>

#include "service/names.h"

namespace lockstep::gateway::v1 {

Field name_field(std::string meaning) {
  return bytes_field("name", std::move(meaning)).required().between(1, service::name_bytes_max);
}

Routes Coordination::routes() {
  Routes all;
  for (const auto family : {simple_routes}) {
    Routes routes = family(*this);
    std::ranges::move(routes, std::back_inserter(all));
  }
  return all;
}

}  // namespace lockstep::gateway::v1
