// How one server is set up, after defaults, file, environment and flags were put together (settings.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/text_values.h"
#include "base/time.h"

namespace lockstep::server {

enum class LogLevel : std::uint8_t { debug, info, warning, error };
enum class LogFormat : std::uint8_t { text, json };

struct ServerOptions {
  bool dev = false;
  std::string name = "default";
  std::string data_directory = "./lockstep-data";
  std::string listen = "127.0.0.1:2379";
  std::string advertise;    // what clients are told; empty: `listen`
  std::string peer_listen;  // empty: a member on its own
  std::string peer_advertise;
  std::vector<NamedAddress> initial_cluster;
  std::vector<std::string> join;  // peer addresses of members of a running cluster
  std::string cluster_token = "lockstep";

  // Followers wait once to twice as long after they last heard of the leader; with two of them the first is
  // done after four thirds of it on average, so that a frozen leader costs less than a second.
  Duration election_timeout = 600ms;
  Duration heartbeat_interval = 100ms;
  Duration request_timeout = 7s;
  Duration lease_ttl_min = 2s;                    // as etcd's at its default election timeout
  std::string auto_compaction_mode = "periodic";  // service/compaction/auto_compaction.h
  std::string auto_compaction_retention = "1h";
  std::uint64_t quota_bytes = 0;
  std::uint64_t connections_max = 10'000;
  // Under which HTTP clients ask, besides localhost and addresses. Empty: any.
  std::vector<std::string> http_hosts;
  Duration shutdown_timeout = 10s;

  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;  // set: every client shows a certificate of it
  std::string peer_tls_certificate;
  std::string peer_tls_key;
  std::string peer_tls_ca;
  std::string root_password_file;
  Duration token_ttl = 300s;

  std::vector<std::string> store;  // of another cluster, instead of one's own: "host:port"
  std::string store_user;
  std::string store_password_file;
  std::string store_tls_ca;
  std::string store_tls_certificate;
  std::string store_tls_key;

  // Calls to other people's HTTP services (platform/call_policy.h).
  std::vector<std::string> callouts_allow;      // hosts, addresses and ranges; empty: any that is fit
  std::optional<bool> callouts_allow_loopback;  // not said: as `dev`
  std::string callouts_ca_file;
  std::map<std::string, std::string, std::less<>> services;  // address by the name that sagas use

  LogLevel log_level = LogLevel::info;
  LogFormat log_format = LogFormat::text;
};

}  // namespace lockstep::server
