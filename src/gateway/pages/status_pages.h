// What operators and their tools ask over plain HTTP:
//
//   /version   {"etcdserver":"3.5.13","etcdcluster":"3.5.0","lockstep":"0.2.0"}
//   /health    {"health":"true","reason":""}: may clients write and read here? 503 if not. ?serializable=true
//   asks this
//              member alone; ?exclude=NOSPACE overlooks that alarm
//   /livez     is this process alive? Needs no quorum
//   /readyz    should clients be sent here? Also no once the server stops. ?verbose names each check,
//   ?exclude=CHECK
//              leaves one out; failing ones are always named
//   /metrics   for Prometheus: etcd's names where etcd has them, ours begin with lockstep_
//
// They tell nothing of what is stored and ask for no login, as etcd's. Strand: the core's. What it is given
// outlives it; it outlives the router's handlers and the store's callbacks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "env/clock.h"
#include "gateway/etcd/cluster_face.h"
#include "gateway/http.h"
#include "gateway/http1/http_server.h"
#include "gateway/pages/metrics_text.h"
#include "rpc/server.h"
#include "store/store.h"

namespace lockstep::gateway {

class StatusPages {
 public:
  StatusPages(store::Store& store, ClusterFace& cluster, env::Clock& clock);
  StatusPages(const StatusPages&) = delete;
  StatusPages& operator=(const StatusPages&) = delete;

  void register_with(HttpRouter& router);
  // No from when the server begins to stop.
  void set_serving(bool serving) { serving_ = serving; }
  // Called for each /metrics, after the cluster's own.
  void add_metrics(std::function<void(MetricsText&)> write) { metrics_.push_back(std::move(write)); }

 private:
  enum class Check : std::uint8_t { serving, data_corruption, serializable_read, linearizable_read };
  struct Probe;

  static void version(const HttpResponderPtr& responder);
  void health(const HttpResponderPtr& responder, const HttpRequest& request);
  void checks(const HttpResponderPtr& responder, const HttpRequest& request, std::string_view name,
              std::vector<Check> wanted);
  void metrics(const HttpResponderPtr& responder) const;
  void read(bool serializable, std::move_only_function<void(Status)> done);
  void run(Check check, std::move_only_function<void(Status)> done);
  static std::string_view name_of(Check check);

  store::Store& store_;
  ClusterFace& cluster_;
  env::Clock& clock_;
  bool serving_ = true;
  std::vector<std::function<void(MetricsText&)>> metrics_;
};

void write_metrics(const rpc::Server& server, MetricsText* text);
void write_metrics(const HttpMetrics& metrics, MetricsText* text);

}  // namespace lockstep::gateway
