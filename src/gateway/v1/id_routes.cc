// /v1/ids: unique numbers in the order of time.
#include <utility>

#include "gateway/v1/coordination.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr std::int64_t ids_at_once_max = 1000;

// As text: many languages have no whole numbers of 64 bits.
Task<Outcome> next(Coordination* recipes, Call call) {
  const auto count = static_cast<std::size_t>(call.arguments.integer("count", 1));
  std::string name = call.arguments.text("name");
  const Result<std::vector<std::uint64_t>> ids =
      co_await recipes->ids.next(name, count, std::move(call.options));
  if (!ids.ok()) co_return ids.status();
  JsonText json;
  json.bytes("name", name).begin_list("ids");
  for (const std::uint64_t id : *ids) json.element(std::to_string(id));
  co_return std::move(json.end_list());
}

}  // namespace

Routes id_routes(Coordination& recipes) {
  Route drawing = post(recipes, "/v1/ids/next", "Unique numbers of 64 bits, in the order of time", next);
  drawing.repeatable = true;  // numbers that nobody got are nobody's
  drawing.request = {name_field("what they are for: unique among those of one name"),
                     integer_field("count", "how many; 1 if absent").between(1, ids_at_once_max)};
  drawing.answer = {
      name_field("what they are for"),
      bytes_list_field("ids", "decimal numbers below 2^63, each larger than the one before").required()};
  return {std::move(drawing)};
}

}  // namespace lockstep::gateway::v1
