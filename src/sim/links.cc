#include "sim/links.h"

#include <algorithm>

#include "base/assert.h"

namespace lockstep::sim {

namespace {
constexpr std::uint64_t million = 1'000'000;
constexpr std::uint64_t second_ns = 1'000'000'000;
}  // namespace

std::string LinkOptions::to_string() const {
  return "delay_min_us=" + std::to_string(delay_min_ns / 1000) +
         " jitter_us=" + std::to_string(jitter_ns / 1000) + " spike_ppm=" + std::to_string(spike_ppm) +
         " spike_ms=" + std::to_string(spike_ns / 1'000'000) + " loss_ppm=" + std::to_string(loss_ppm) +
         " duplicate_ppm=" + std::to_string(duplicate_ppm) + " reorder_ppm=" + std::to_string(reorder_ppm) +
         " bandwidth_bytes_per_s=" + std::to_string(bandwidth_bytes_per_s) +
         " queue_bytes_max=" + std::to_string(queue_bytes_max);
}

Links::Links(std::size_t endpoints, Prng prng, LinkOptions options)
    : endpoints_(endpoints), prng_(prng), options_(options), links_(endpoints * endpoints) {
  LS_MUST(endpoints > 0);
  LS_MUST(options.bandwidth_bytes_per_s > 0);
}

std::int64_t Links::delay(const Link& link) {
  std::int64_t delay = options_.delay_min_ns;
  if (options_.jitter_ns > 0) {
    delay += static_cast<std::int64_t>(prng_.below(static_cast<std::uint64_t>(options_.jitter_ns)));
  }
  if (options_.spike_ppm > 0 && prng_.below(million) < options_.spike_ppm) {
    delay += static_cast<std::int64_t>(prng_.below(static_cast<std::uint64_t>(options_.spike_ns) + 1));
  }
  return delay * link.slowness;
}

Links::Delivery Links::send(Endpoint from, Endpoint to, std::size_t bytes, std::int64_t now) {
  LS_MUST(from < endpoints_);
  LS_MUST(to < endpoints_);
  Link& wire = link(from, to);
  ++counters_.sent;
  counters_.bytes += bytes;
  if (wire.cut) {
    ++counters_.cut;
    return {};
  }
  const std::uint64_t loss_ppm = std::uint64_t{options_.loss_ppm} + wire.loss_ppm;
  if (loss_ppm > 0 && prng_.below(million) < loss_ppm) {
    ++counters_.lost;
    return {};
  }
  const std::int64_t start = std::max(now, wire.busy_until);
  const auto queued_bytes =
      static_cast<std::uint64_t>(start - now) * options_.bandwidth_bytes_per_s / second_ns;
  // An empty queue takes any message, as a real one does: the largest frame must be able to pass.
  if (queued_bytes > 0 && queued_bytes + bytes > options_.queue_bytes_max) {
    ++counters_.queue_full;
    return {};
  }
  wire.busy_until = start + static_cast<std::int64_t>(bytes * second_ns / options_.bandwidth_bytes_per_s);

  Delivery delivery;
  delivery.count = 1;
  std::int64_t time = wire.busy_until + delay(wire);
  if (wire.clogged_until > time) {
    ++counters_.clogged;
    time = wire.clogged_until;
  }
  const bool overtakable = options_.reorder_ppm > 0 && prng_.below(million) < options_.reorder_ppm;
  if (overtakable) {
    // The message itself is held up; the order of the others is unchanged.
    time += static_cast<std::int64_t>(
        prng_.below(static_cast<std::uint64_t>(options_.jitter_ns) * 4 + 1'000'000));
    ++counters_.reordered;
  } else {
    time = std::max(time, wire.last_delivery);
    wire.last_delivery = time;
  }
  delivery.times[0] = time;
  if (options_.duplicate_ppm > 0 && prng_.below(million) < options_.duplicate_ppm) {
    ++counters_.duplicated;
    delivery.count = 2;
    delivery.times[1] = time + delay(wire);
  }
  return delivery;
}

void Links::clog(Endpoint from, Endpoint to, std::int64_t until) {
  Link& wire = link(from, to);
  wire.clogged_until = std::max(wire.clogged_until, until);
}

void Links::heal() {
  for (Link& wire : links_) {
    wire.cut = false;
    wire.loss_ppm = 0;
    wire.slowness = 1;
    wire.clogged_until = 0;
    wire.busy_until = 0;
    wire.last_delivery = 0;  // what is still under way may be overtaken: the port allows it
  }
  options_.loss_ppm = 0;
  options_.duplicate_ppm = 0;
  options_.reorder_ppm = 0;
  options_.spike_ppm = 0;
}

}  // namespace lockstep::sim
