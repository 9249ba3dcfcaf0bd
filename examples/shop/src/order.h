// An order: what buyers ask for, and what every call of a transaction carries.
#pragma once

#include <cstdint>
#include <string>

#include <lockstep/participant/participant.h>
#include <nlohmann/json.hpp>

namespace shop {

struct Order {
  std::string id;
  std::string buyer;
  std::string item;
  std::int64_t quantity = 0;
  std::int64_t cents = 0;
  std::string state;  // the order service's own; not told to others
};

nlohmann::json to_json(const Order& order);
// What the payload of a call says. Throws nlohmann::json::exception.
Order order_of(const lockstep::BranchCall& call);

}  // namespace shop
