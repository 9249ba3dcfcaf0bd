#include "gateway/pages/status_pages.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/version.h"

namespace lockstep::gateway {
namespace {

// Longer than an election: a health check that is impatient takes a member away when it is needed most.
constexpr Duration read_timeout = 5s;

HttpResponse text_answer(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(body);
  return response;
}

// The values of a parameter of the query: none, or one for each time it stands there, perhaps empty.
std::vector<std::string_view> parameters(std::string_view query, std::string_view name) {
  std::vector<std::string_view> values;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    values.push_back(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1));
  }
  return values;
}

bool excludes(std::string_view query, std::string_view what) {
  return std::ranges::count(parameters(query, "exclude"), what) > 0;
}

void answer_health(HttpResponder& responder, const std::string& reason) {
  HttpResponse response;
  response.status = reason.empty() ? 200 : 503;
  response.body =
      R"({"health":")" + std::string(reason.empty() ? "true" : "false") + R"(","reason":")" + reason + "\"}";
  responder.respond(response);
}

}  // namespace

// One /livez or /readyz: its checks run one after the other.
struct StatusPages::Probe : std::enable_shared_from_this<StatusPages::Probe> {
  StatusPages* pages = nullptr;
  HttpResponderPtr responder;
  std::string name;
  bool verbose = false;
  std::vector<Check> left;  // the next one last
  std::string lines;
  bool failed = false;

  void go_on() {
    if (responder->ended()) return;
    if (left.empty()) return answer();
    const Check check = left.back();
    left.pop_back();
    pages->run(check, [self = shared_from_this(), check](const Status& status) {
      self->failed = self->failed || !status.ok();
      const std::string name(name_of(check));
      self->lines +=
          status.ok() ? "[+]" + name + " ok\n" : "[-]" + name + " failed: " + status.to_string() + "\n";
      self->go_on();
    });
  }
  void answer() const {
    if (failed) return responder->respond(text_answer(503, lines + name + " check failed\n"));
    responder->respond(text_answer(200, (verbose ? lines : "") + "ok\n"));
  }
};

StatusPages::StatusPages(store::Store& store, ClusterFace& cluster, env::Clock& clock)
    : store_(store), cluster_(cluster), clock_(clock) {}

void StatusPages::register_with(HttpRouter& router) {
  router.exact("GET", "/version",
               [](const HttpResponderPtr& responder, HttpRequest&) { version(responder); });
  router.exact("GET", "/health", [this](const HttpResponderPtr& responder, HttpRequest& request) {
    health(responder, request);
  });
  router.exact("GET", "/livez", [this](const HttpResponderPtr& responder, HttpRequest& request) {
    checks(responder, request, "livez", {Check::serializable_read});
  });
  router.exact("GET", "/readyz", [this](const HttpResponderPtr& responder, HttpRequest& request) {
    checks(responder, request, "readyz",
           {Check::serving, Check::data_corruption, Check::serializable_read, Check::linearizable_read});
  });
  router.exact("GET", "/metrics",
               [this](const HttpResponderPtr& responder, HttpRequest&) { metrics(responder); });
}

void StatusPages::version(const HttpResponderPtr& responder) {
  HttpResponse response;
  const std::string etcd(etcd_version);
  response.body = R"({"etcdserver":")" + etcd + R"(","etcdcluster":")" + etcd.substr(0, etcd.rfind('.')) +
                  R"(.0","lockstep":")" + std::string(lockstep::version) + "\"}";
  responder->respond(response);
}

void StatusPages::health(const HttpResponderPtr& responder, const HttpRequest& request) {
  for (const store::Alarm& alarm : cluster_.status().alarms) {
    const bool space = alarm.kind == store::AlarmKind::no_space;
    if (space && excludes(request.query, "NOSPACE")) continue;
    return answer_health(*responder, space ? "ALARM NOSPACE" : "ALARM CORRUPT");
  }
  const std::vector<std::string_view> serializable = parameters(request.query, "serializable");
  const bool here_only = !serializable.empty() && serializable.back() == "true";
  if (!here_only && !cluster_.has_leader()) return answer_health(*responder, "RAFT NO LEADER");
  read(here_only,
       [responder](const Status& status) { answer_health(*responder, status.ok() ? "" : "RANGE ERROR"); });
}

void StatusPages::checks(const HttpResponderPtr& responder, const HttpRequest& request, std::string_view name,
                         std::vector<Check> wanted) {
  std::erase_if(wanted, [&](Check check) { return excludes(request.query, name_of(check)); });
  std::ranges::reverse(wanted);
  auto probe = std::make_shared<Probe>();
  probe->pages = this;
  probe->responder = responder;
  probe->name = name;
  probe->verbose = !parameters(request.query, "verbose").empty();
  probe->left = std::move(wanted);
  probe->go_on();
}

void StatusPages::run(Check check, std::move_only_function<void(Status)> done) {
  switch (check) {
    case Check::serving:
      return done(serving_ ? Status() : Status(Code::unavailable, "the server stops"));
    case Check::data_corruption:
      for (const store::Alarm& alarm : cluster_.status().alarms) {
        if (alarm.kind == store::AlarmKind::corrupt)
          return done(Status(Code::corruption, "alarm activated: CORRUPT"));
      }
      return done({});
    case Check::serializable_read:
      return read(true, std::move(done));
    case Check::linearizable_read:
      return read(false, std::move(done));
  }
}

std::string_view StatusPages::name_of(Check check) {
  switch (check) {
    case Check::serving:
      return "serving";
    case Check::data_corruption:
      return "data_corruption";
    case Check::serializable_read:
      return "serializable_read";
    case Check::linearizable_read:
      return "linearizable_read";
  }
  LS_UNREACHABLE("not a check");
}

void StatusPages::read(bool serializable, std::move_only_function<void(Status)> done) {
  store::RangeRequest request;
  request.key = "health";
  request.count_only = true;
  request.serializable = serializable;
  store::CallOptions options;
  options.deadline = clock_.now() + read_timeout;
  options.principal = store::Principal::cluster();  // the answer is only whether there is one
  store_.range(std::move(request), std::move(options),
               [done = std::move(done)](const Result<store::RangeResponse>& answer) mutable {
                 done(answer.status());
               });
}

void StatusPages::metrics(const HttpResponderPtr& responder) const {
  const ClusterStatus status = cluster_.status();
  const store::Header header = cluster_.header();
  MetricsText text;
  text.gauge("etcd_server_has_leader", "1 if a leader is known.", status.leader == NodeId() ? 0 : 1);
  text.gauge("etcd_server_is_leader", "1 if this member leads.", status.leader == header.member ? 1 : 0);
  text.gauge("etcd_server_is_learner", "1 if this member does not vote yet.", status.learner ? 1 : 0);
  text.gauge("etcd_server_proposals_committed_total", "Index of the newest committed entry.",
             status.commit.value());
  text.gauge("etcd_server_proposals_applied_total", "Index of the newest applied entry.",
             status.applied.value());
  text.gauge("etcd_server_quota_backend_bytes", "Bytes above which writes are refused; 0: no limit.",
             status.quota_bytes);
  text.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes on disk.", status.disk_bytes);
  text.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of keys, values and their kept history.",
             status.used_bytes);
  text.gauge("etcd_debugging_mvcc_current_revision", "The store's revision.",
             static_cast<std::uint64_t>(header.revision.value()));
  text.gauge("etcd_debugging_mvcc_compact_revision", "The oldest revision that can be read.",
             static_cast<std::uint64_t>(status.compacted.value()));
  text.gauge("lockstep_raft_term", "The Raft term.", status.term.value());
  text.gauge("lockstep_alarms", "Active alarms.", status.alarms.size());
  for (const auto& write : metrics_) write(text);
  HttpResponse response = text_answer(200, text.text());
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  responder->respond(response);
}

}  // namespace lockstep::gateway
