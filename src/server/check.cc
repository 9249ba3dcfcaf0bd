// What settings mean together.
#include <algorithm>

#include <fmt/format.h>

#include "server/settings.h"
#include "server/text_values.h"
#include "service/compaction/auto_compaction.h"

namespace lockstep::server {
namespace {

Status refuse(std::string message) {
  return {Code::invalid_argument, std::move(message)};
}

Status check_pair(const std::string& certificate, const std::string& key, std::string_view prefix) {
  if (certificate.empty() == key.empty()) return {};
  return refuse(fmt::format("--{0}-certificate and --{0}-key belong together: give both", prefix));
}

Status check_cluster(const ServerOptions& options) {
  if (!options.initial_cluster.empty() && !options.join.empty())
    return refuse("--initial-cluster forms a new cluster and --join enters a running one: give one of them");
  if (options.name.empty() || options.name.find_first_of("=, ") != std::string::npos)
    return refuse(fmt::format("--name '{}' must not be empty or contain '=', ',' or a space", options.name));
  for (const NamedAddress& member : options.initial_cluster) {
    if (std::ranges::count(options.initial_cluster, member.name, &NamedAddress::name) > 1)
      return refuse(fmt::format("--initial-cluster names '{}' twice", member.name));
    if (std::ranges::count(options.initial_cluster, member.address, &NamedAddress::address) > 1)
      return refuse(fmt::format("--initial-cluster has the address {} twice", member.address));
  }
  if (!options.join.empty() && options.peer_listen.empty())
    return refuse("--join needs --peer-listen HOST:PORT, the address under which this member was added");
  return {};
}

// A server on somebody else's cluster is no member, and has no users.
Status check_store(const ServerOptions& options) {
  if (options.store.empty()) {
    if (options.store_user.empty() && options.store_password_file.empty() && options.store_tls_ca.empty() &&
        options.store_tls_certificate.empty() && options.store_tls_key.empty())
      return {};
    return refuse("--store-user, --store-password-file and --store-tls-* belong to --store etcd://host:port");
  }
  if (!options.peer_listen.empty() || !options.initial_cluster.empty() || !options.join.empty())
    return refuse(
        "--store serves on a cluster that exists: --initial-cluster, --join and --peer-listen make "
        "a member of another one");
  if (!options.root_password_file.empty())
    return refuse("--root-password-file is for a cluster of one's own, and --store has none");
  if (options.store_user.empty() != options.store_password_file.empty())
    return refuse("--store-user and --store-password-file belong together: give both");
  LS_RETURN_IF_ERROR(check_pair(options.store_tls_certificate, options.store_tls_key, "store-tls"));
  if (!options.store_tls_certificate.empty() && options.store_tls_ca.empty())
    return refuse("--store-tls-certificate needs --store-tls-ca");
  return {};
}

Status check_exposure(const ServerOptions& options) {
  if (!is_loopback(options.listen)) {
    if (options.tls_certificate.empty())
      return refuse(fmt::format(
          "--listen {} can be reached from other machines, and has no TLS. Make certificates with "
          "`lockstepd init` and give --tls-certificate and --tls-key, or listen on 127.0.0.1",
          options.listen));
    if (!options.store.empty() && options.tls_client_ca.empty())
      return refuse(
          fmt::format("--listen {} can be reached from other machines, and asks nobody who they are. "
                      "Give --tls-client-ca (client certificates), or listen on 127.0.0.1",
                      options.listen));
    if (options.tls_client_ca.empty() && options.root_password_file.empty())
      return refuse(
          fmt::format("--listen {} can be reached from other machines, and asks nobody who they are. Give "
                      "--root-password-file (users and roles) or --tls-client-ca (client certificates), or "
                      "listen on 127.0.0.1",
                      options.listen));
  }
  if (!options.peer_listen.empty() && !is_loopback(options.peer_listen) && options.peer_tls_ca.empty())
    return refuse(
        fmt::format("--peer-listen {} can be reached from other machines, and has no TLS. Make certificates "
                    "with `lockstepd init` and give --peer-tls-certificate, --peer-tls-key and --peer-tls-ca",
                    options.peer_listen));
  return {};
}

}  // namespace

Status complete(ServerOptions& options) {
  if (!options.initial_cluster.empty()) {
    const auto self = std::ranges::find(options.initial_cluster, options.name, &NamedAddress::name);
    if (self == options.initial_cluster.end())
      return refuse(
          fmt::format("--initial-cluster does not name this member, '{}': add {}=host:port or change --name",
                      options.name, options.name));
    if (options.peer_advertise.empty()) options.peer_advertise = self->address;
    if (options.peer_advertise != self->address)
      return refuse(fmt::format("--peer-advertise {} is not the address of '{}' in --initial-cluster ({})",
                                options.peer_advertise, options.name, self->address));
    if (options.peer_listen.empty()) options.peer_listen = self->address;
  }
  if (options.peer_advertise.empty()) options.peer_advertise = options.peer_listen;
  if (options.advertise.empty()) options.advertise = options.listen;
  return {};
}

Status check(const ServerOptions& options) {
  LS_RETURN_IF_ERROR(check_cluster(options));
  if (options.election_timeout < 3 * options.heartbeat_interval ||
      options.heartbeat_interval <= Duration::zero())
    return refuse(
        fmt::format("--election-timeout {} must be at least three times --heartbeat-interval {}, which must "
                    "not be 0",
                    show_duration(options.election_timeout), show_duration(options.heartbeat_interval)));
  if (options.lease_ttl_min <= options.election_timeout / 16)
    return refuse("--lease-ttl-min is too short for a lease to survive an election");
  if (options.connections_max == 0) return refuse("--connections-max must not be 0");
  if (const Status rule =
          service::parse_compaction_rule(options.auto_compaction_mode, options.auto_compaction_retention)
              .status();
      !rule.ok())
    return refuse(fmt::format("--auto-compaction-mode {}, --auto-compaction-retention {}: {}",
                              options.auto_compaction_mode, options.auto_compaction_retention,
                              rule.message()));
  LS_RETURN_IF_ERROR(check_pair(options.tls_certificate, options.tls_key, "tls"));
  LS_RETURN_IF_ERROR(check_pair(options.peer_tls_certificate, options.peer_tls_key, "peer-tls"));
  if (!options.tls_client_ca.empty() && options.tls_certificate.empty())
    return refuse("--tls-client-ca needs --tls-certificate and --tls-key");
  if (options.peer_tls_ca.empty() != options.peer_tls_certificate.empty())
    return refuse(
        "--peer-tls-ca, --peer-tls-certificate and --peer-tls-key belong together: members prove to each "
        "other who they are");
  LS_RETURN_IF_ERROR(check_store(options));
  return check_exposure(options);
}

}  // namespace lockstep::server
