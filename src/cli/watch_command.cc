// lockstep kv watch.
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/range_arguments.h"

namespace lockstep::cli {
namespace {

constexpr std::size_t answer_bytes = 1 << 20;

struct WatchArguments {
  RangeArguments range;
  std::int64_t revision = 0;
  bool prev_kv = false;
  bool progress_notify = false;
  bool no_put = false;
  bool no_delete = false;
  std::uint64_t events = 0;
};

class Watch {
 public:
  Watch(Session& session, Client& client, std::uint64_t events_max)
      : session_(session), client_(client), events_max_(events_max) {
    table_.name = "events";
    table_.columns = {"type",         "key",     "value", "create_revision",
                      "mod_revision", "version", "lease", "previous"};
    table_.raw_columns = {0, 1, 2};
    table_.detail_columns = {3, 5, 6, 7};
  }

  Status run(store::WatchRequest request) {
    if (request.prev_kv) table_.detail_columns.pop_back();
    LS_ASSIGN_OR_RETURN(subscription_, client_.store().watch(std::move(request)));
    take();
    while (!over_) client_.run();
    subscription_.reset();
    return outcome_;
  }

 private:
  void take() {
    while (!over_) {
      std::optional<store::WatchResponse> response = subscription_->next(answer_bytes);
      if (!response) break;
      show(*response);
    }
    Session::flush();
    if (over_) return client_.stop();
    subscription_->notify_when_ready([this] { client_.executor().post([this] { take(); }); });
  }

  void show(const store::WatchResponse& response) {
    if (response.canceled) {
      over_ = true;
      outcome_ = cancelled(response);
      return;
    }
    if (response.events.empty())
      return print({std::string("progress"), Value(), Value(), Value(), response.header.revision.value(),
                    Value(), Value(), Value()});
    for (const store::Event& event : response.events) {
      const store::KeyValue& kv = event.kv;
      const bool removed = event.kind == store::EventKind::remove;
      print({std::string(removed ? "delete" : "put"), Bytes{kv.key},
             removed ? Value() : Value(Bytes{kv.value}), kv.create_revision.value(), kv.mod_revision.value(),
             kv.version, show_lease(kv.lease), event.prev_kv ? Value(Bytes{event.prev_kv->value}) : Value()});
      over_ = ++events_ == events_max_;
      if (over_) return;
    }
  }

  void print(const std::vector<Value>& row) {
    Session::write(render_row(table_, row, session_.settings().output, first_));
    first_ = false;
  }

  static Status cancelled(const store::WatchResponse& response) {
    if (response.compact_revision != Revision{})
      return {Code::out_of_range, "the revisions asked for are compacted; the oldest that is there is " +
                                      std::to_string(response.compact_revision.value())};
    return {Code::unavailable,
            response.cancel_reason.empty() ? "the server ended the watch" : response.cancel_reason};
  }

  Session& session_;
  Client& client_;
  std::uint64_t events_max_;
  std::uint64_t events_ = 0;
  Table table_;
  std::unique_ptr<store::Subscription> subscription_;
  bool first_ = true;
  bool over_ = false;
  Status outcome_;
};

Status watch(Session& session, const WatchArguments& arguments) {
  store::WatchRequest request;
  LS_RETURN_IF_ERROR(arguments.range.resolve(&request.key, &request.range_end));
  request.start_revision = Revision(arguments.revision);
  request.prev_kv = arguments.prev_kv;
  request.progress_notify = arguments.progress_notify;
  request.no_put = arguments.no_put;
  request.no_delete = arguments.no_delete;
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  return Watch(session, *client, arguments.events).run(std::move(request));
}

}  // namespace

void add_watch_command(Commands& commands, CLI::App& kv) {
  auto arguments = std::make_shared<WatchArguments>();
  CLI::App& command = commands.command(kv, "watch", "print changes as they happen, until interrupted",
                                       "  lockstep kv watch --prefix config/\n"
                                       "  lockstep kv watch greeting --rev 1 --events 3\n"
                                       "  lockstep kv watch --prefix \"\" -o ndjson\n",
                                       [arguments](Session& session) { return watch(session, *arguments); });
  add_range_options(command, arguments->range);
  command
      .add_option("--rev", arguments->revision, "begin with the changes of this revision; 0: with the next")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--events", arguments->events, "end after so many");
  command.add_flag("--prev-kv", arguments->prev_kv, "show what was there before");
  command.add_flag("--progress-notify", arguments->progress_notify, "say from time to time how far it got");
  command.add_flag("--no-put", arguments->no_put, "leave puts out");
  command.add_flag("--no-delete", arguments->no_delete, "leave removals out");
}

}  // namespace lockstep::cli
