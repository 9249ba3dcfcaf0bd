// The wires of a simulated world: for each directed pair of endpoints, what happens to a message on its way.
//
// Endpoints are small indexes: members first, clients after them. The model only computes moments of
// delivery; the world owns the queue. All numbers come from one generator, so equal seeds give equal weather.
// Times are nanoseconds of true time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/prng.h"

namespace lockstep::sim {

using Endpoint = std::uint16_t;

// The weather everywhere; single links add to it. Shares are in parts per million.
struct LinkOptions {
  std::int64_t delay_min_ns = 50'000;
  std::int64_t jitter_ns = 150'000;  // added uniformly
  std::uint32_t spike_ppm = 1'000;   // messages that take up to `spike_ns` more
  std::int64_t spike_ns = 20'000'000;
  std::uint32_t loss_ppm = 0;
  std::uint32_t duplicate_ppm = 0;
  std::uint32_t reorder_ppm = 0;  // messages that may be overtaken; the others keep their order
  std::uint64_t bandwidth_bytes_per_s = 1'000'000'000;
  std::uint64_t queue_bytes_max = 64 * 1024 * 1024;  // what waits for bandwidth; above it, dropped

  [[nodiscard]] std::string to_string() const;
};

// What happened to the messages, for coverage and totals.
struct LinkCounters {
  std::uint64_t sent = 0;
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t cut = 0;
  std::uint64_t clogged = 0;
  std::uint64_t queue_full = 0;
  std::uint64_t bytes = 0;
};

class Links {
 public:
  Links(std::size_t endpoints, Prng prng, LinkOptions options);

  // Moments of delivery: none (lost), one, or two (duplicated).
  struct Delivery {
    std::size_t count = 0;
    std::array<std::int64_t, 2> times{};
  };
  Delivery send(Endpoint from, Endpoint to, std::size_t bytes, std::int64_t now);

  void set_options(const LinkOptions& options) { options_ = options; }
  [[nodiscard]] const LinkOptions& options() const { return options_; }

  // One direction only; a partition is made of many.
  void cut(Endpoint from, Endpoint to) { link(from, to).cut = true; }
  void mend(Endpoint from, Endpoint to) { link(from, to).cut = false; }
  [[nodiscard]] bool is_cut(Endpoint from, Endpoint to) const { return link(from, to).cut; }
  // Nothing arrives before `until`; what is sent meanwhile arrives after it.
  void clog(Endpoint from, Endpoint to, std::int64_t until);
  // Loss on one direction, on top of the weather.
  void set_loss(Endpoint from, Endpoint to, std::uint32_t loss_ppm) { link(from, to).loss_ppm = loss_ppm; }
  // Multiplies the delay of one direction.
  void set_slowness(Endpoint from, Endpoint to, std::uint32_t factor) { link(from, to).slowness = factor; }
  // Ends every cut, clog, loss and slowness, and the weather's loss, duplication, reordering and spikes.
  void heal();

  [[nodiscard]] const LinkCounters& counters() const { return counters_; }
  [[nodiscard]] std::size_t endpoints() const { return endpoints_; }

 private:
  struct Link {
    bool cut = false;
    std::uint32_t loss_ppm = 0;
    std::uint32_t slowness = 1;
    std::int64_t clogged_until = 0;
    std::int64_t busy_until = 0;     // bandwidth: when the last byte accepted has left
    std::int64_t last_delivery = 0;  // what keeps order
  };
  [[nodiscard]] Link& link(Endpoint from, Endpoint to) { return links_[from * endpoints_ + to]; }
  [[nodiscard]] const Link& link(Endpoint from, Endpoint to) const { return links_[from * endpoints_ + to]; }
  std::int64_t delay(const Link& link);

  std::size_t endpoints_;
  Prng prng_;
  LinkOptions options_;
  std::vector<Link> links_;
  LinkCounters counters_;
};

}  // namespace lockstep::sim
