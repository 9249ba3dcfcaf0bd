#include "service/ids/ids.h"

#include <charconv>
#include <map>
#include <utility>

#include "service/ids/generator.h"
#include "service/names.h"

namespace lockstep::service {

namespace errors {
Status ids_count_wrong() {
  return {Code::invalid_argument, "ids: 1 to 10000 at once"};
}
Status ids_no_worker() {
  return {Code::resource_exhausted, "ids: all 1024 worker numbers of this name are held"};
}
Status ids_time_over() {
  return {Code::out_of_range, "ids: the clock shows a time whose milliseconds do not fit into 41 bits"};
}
Status ids_floor_damaged() {
  return {Code::failed_precondition, "ids: the key of a floor does not hold milliseconds"};
}
Status ids_closed() {
  return {Code::cancelled, "ids: closed before it was done"};
}
}  // namespace errors

IdParts split_id(std::uint64_t id) {
  IdParts parts;
  parts.sequence = id & (ids_per_millisecond - 1);
  parts.worker = id >> ids_sequence_bits & (ids_workers_max - 1);
  parts.wall = ids_epoch + std::chrono::milliseconds(id >> (ids_worker_bits + ids_sequence_bits));
  return parts;
}

Result<std::int64_t> parse_ids_floor(std::string_view value) {
  std::int64_t floor = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), floor);
  const bool good = error == std::errc() && end == value.data() + value.size() && floor >= 0;
  if (!good || floor >= std::int64_t{1} << 41) return errors::ids_floor_damaged();
  return floor;
}

class Ids::State {
 public:
  explicit State(const Context& context) : context_(context) {}

  std::shared_ptr<Generator> generator(const std::string& name, store::Principal principal) {
    Entry& entry = generators_[{principal, name}];
    entry.used = ++uses_;
    if (entry.generator != nullptr) return entry.generator;
    entry.generator = std::make_shared<Generator>(context_, name, principal);
    std::shared_ptr<Generator> made = entry.generator;
    if (generators_.size() > ids_generators_max) drop_oldest();
    return made;
  }
  void close() {
    for (auto& [key, entry] : generators_) entry.generator->close();
  }

 private:
  struct Entry {
    std::shared_ptr<Generator> generator;
    std::uint64_t used = 0;
  };

  // Whoever waits for it keeps it alive.
  void drop_oldest() {
    auto oldest = generators_.begin();
    for (auto entry = generators_.begin(); entry != generators_.end(); ++entry) {
      if (entry->second.used < oldest->second.used) oldest = entry;
    }
    generators_.erase(oldest);
  }

  Context context_;
  std::map<std::pair<store::Principal, std::string>, Entry> generators_;
  std::uint64_t uses_ = 0;
};

Ids::Ids(const Context& context) : state_(std::make_shared<State>(context)) {}

Ids::~Ids() {
  state_->close();
}

Task<Result<std::vector<std::uint64_t>>> Ids::next(std::string name, std::size_t count,
                                                   store::CallOptions options) {
  if (Status named = check_name(name); !named.ok()) co_return named;
  if (count < 1 || count > ids_at_once_max) co_return errors::ids_count_wrong();
  const std::shared_ptr<Generator> generator = state_->generator(name, options.principal);
  co_return co_await Generator::take(generator, count, std::move(options));
}

}  // namespace lockstep::service
