#include "events.h"

#include <chrono>

#include <lockstep/outbox_topics.h>
#include <nlohmann/json.hpp>

namespace shop {

namespace {

constexpr const char* topic_name = "shop/orders";
constexpr std::chrono::milliseconds pause(100);
constexpr std::chrono::milliseconds pause_max(1000);

}  // namespace

void add_event(lockstep::SqlSession& session, const std::string& order, const std::string& state) {
  lockstep::Outbox::add(session, topic_name, order,
                        nlohmann::json{{"order", order}, {"state", state}}.dump());
}

lockstep::Topic event_topic(lockstep::Client& client) {
  const lockstep::Topic topic = client.topic(topic_name);
  while (!topic.create().wait()) std::this_thread::sleep_for(pause);
  return topic;
}

EventRelay::EventRelay(lockstep::SqlSessions& sessions, lockstep::Client& client)
    : thread_([&sessions, &client](const std::stop_token& stop) {
        (void)event_topic(client);
        lockstep::OutboxRelay relay(sessions, lockstep::publish_to_topics(client, "/shop/orders"));
        relay.retry_after(pause, pause_max).run(stop);
      }) {}

}  // namespace shop
