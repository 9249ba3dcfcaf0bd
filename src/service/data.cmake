# Recipes on shared data: their sources, in the order of the alphabet, and their tests.
find_package(nlohmann_json REQUIRED)
foreach(twin IN ITEMS lockstep_service lockstep_service_planted)
  target_link_libraries(${twin} PRIVATE nlohmann_json::nlohmann_json)
  target_sources(${twin} PRIVATE
    combiner/combiner.cc combiner/commit.cc combiner/shared_leases.cc
    compaction/auto_compaction.cc
    counter/counter.cc
    idempotency/idempotency.cc
    ids/generator.cc ids/ids.cc
    limiter/limit_state.cc limiter/limiter.cc
    record/record.cc)
endforeach()
lockstep_test(service_data_test
  SOURCES compaction/auto_compaction_test.cc counter/counter_test.cc idempotency/idempotency_test.cc ids/ids_test.cc limiter/limiter_test.cc
  DEPENDS lockstep::service lockstep::replica)

# Timers know time zones: whoever uses none of them does not need the library for that.
find_package(date REQUIRED)
lockstep_library(timer PLANTED
  SOURCES
    timer/callback_runner.cc timer/claim.cc timer/clock_view.cc timer/cron.cc timer/due_window.cc timer/http_callbacks.cc timer/settle.cc timer/target.cc timer/timer_driver.cc timer/timers.cc timer/timers_core.cc
    timer/values.cc timer/zone.cc
  DEPENDS lockstep::service
  PRIVATE_DEPENDS date::date-tz nlohmann_json::nlohmann_json)
lockstep_test(timer_test
  SOURCES timer/callback_runner_test.cc timer/cron_test.cc timer/due_window_test.cc timer/http_callbacks_test.cc timer/timers_others_test.cc timer/timers_test.cc timer/timers_world_test.cc
  DEPENDS lockstep::timer lockstep::replica)

lockstep_library(topic PLANTED
  SOURCES topic/claim.cc topic/publish.cc topic/read.cc topic/settle.cc topic/topics.cc topic/values.cc
  DEPENDS lockstep::service)
lockstep_test(topic_test
  SOURCES topic/topics_test.cc
  DEPENDS lockstep::topic lockstep::replica)
