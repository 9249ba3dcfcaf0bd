#include "server/settings.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "platform/call_policy.h"
#include "server/text_values.h"

namespace lockstep::server {
namespace {

// How a member of ServerOptions is read and shown, by its type.
Status read_into(std::string& into, std::string_view text) {
  into = text;
  return {};
}
Status read_into(bool& into, std::string_view text) {
  LS_ASSIGN_OR_RETURN(into, parse_flag(text));
  return {};
}
Status read_into(Duration& into, std::string_view text) {
  LS_ASSIGN_OR_RETURN(into, parse_duration(text));
  return {};
}
Status read_into(std::vector<std::string>& into, std::string_view text) {
  LS_ASSIGN_OR_RETURN(into, parse_addresses(text));
  return {};
}
Status read_into(std::vector<NamedAddress>& into, std::string_view text) {
  LS_ASSIGN_OR_RETURN(into, parse_named_addresses(text));
  return {};
}
using Services = std::map<std::string, std::string, std::less<>>;
Status read_into(Services& into, std::string_view text) {
  into.clear();
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    const std::size_t equals = one.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return {Code::invalid_argument, fmt::format("'{}' is not like name=http://host:port", one)};
    const std::string_view url = one.substr(equals + 1);
    if (!url.starts_with("http://") && !url.starts_with("https://"))
      return {Code::invalid_argument, fmt::format("'{}' is no http:// or https:// address", url)};
    if (!into.emplace(one.substr(0, equals), url).second)
      return {Code::invalid_argument, fmt::format("'{}' is named twice", one.substr(0, equals))};
  }
  return {};
}

constexpr std::array<std::pair<std::string_view, LogLevel>, 4> levels = {{{"debug", LogLevel::debug},
                                                                          {"info", LogLevel::info},
                                                                          {"warning", LogLevel::warning},
                                                                          {"error", LogLevel::error}}};
constexpr std::array<std::pair<std::string_view, LogFormat>, 2> formats = {
    {{"text", LogFormat::text}, {"json", LogFormat::json}}};

template <class Value, std::size_t size>
Status read_name(Value& into, std::string_view text,
                 const std::array<std::pair<std::string_view, Value>, size>& names) {
  std::string known;
  for (const auto& [name, value] : names) {
    if (name == text) {
      into = value;
      return {};
    }
    known += known.empty() ? name : fmt::format(", {}", name);
  }
  return {Code::invalid_argument, fmt::format("'{}' is none of {}", text, known)};
}
template <class Value, std::size_t size>
std::string show_name(Value value, const std::array<std::pair<std::string_view, Value>, size>& names) {
  return std::string(std::ranges::find(names, value, &std::pair<std::string_view, Value>::second)->first);
}
Status read_into(LogLevel& into, std::string_view text) {
  return read_name(into, text, levels);
}
Status read_into(LogFormat& into, std::string_view text) {
  return read_name(into, text, formats);
}

std::string shown(const std::string& value) {
  return value;
}
std::string shown(bool value) {
  return value ? "true" : "false";
}
std::string shown(Duration value) {
  return show_duration(value);
}
std::string shown(LogLevel value) {
  return show_name(value, levels);
}
std::string shown(LogFormat value) {
  return show_name(value, formats);
}
std::string shown(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : ",") + value;
  return text;
}
std::string shown(const Services& services) {
  std::string text;
  for (const auto& [name, url] : services) text += (text.empty() ? "" : ",") + name + "=" + url;
  return text;
}
std::string shown(const std::vector<NamedAddress>& values) {
  std::string text;
  for (const NamedAddress& value : values)
    text += (text.empty() ? "" : ",") + value.name + "=" + value.address;
  return text;
}

template <auto member>
constexpr Setting setting(std::string_view name, std::string_view metavar, std::string_view help) {
  return {name, metavar, help,
          [](ServerOptions& options, std::string_view text) { return read_into(options.*member, text); },
          [](const ServerOptions& options) { return shown(options.*member); }};
}

template <auto member>
constexpr Setting address_setting(std::string_view name, std::string_view help) {
  return {name, "HOST:PORT", help,
          [](ServerOptions& options, std::string_view text) -> Status {
            LS_ASSIGN_OR_RETURN(options.*member,
                                text.empty() ? Result<std::string>(std::string()) : parse_address(text));
            return {};
          },
          [](const ServerOptions& options) { return options.*member; }};
}

// Sizes and counts are both plain numbers; only sizes take units.
template <auto member>
constexpr Setting size_setting(std::string_view name, std::string_view help) {
  return {name, "SIZE", help,
          [](ServerOptions& options, std::string_view text) -> Status {
            LS_ASSIGN_OR_RETURN(options.*member, parse_bytes(text));
            return {};
          },
          [](const ServerOptions& options) { return show_bytes(options.*member); }};
}
template <auto member>
constexpr Setting count_setting(std::string_view name, std::string_view help) {
  return {name, "N", help,
          [](ServerOptions& options, std::string_view text) -> Status {
            LS_ASSIGN_OR_RETURN(options.*member, parse_number(text));
            return {};
          },
          [](const ServerOptions& options) { return std::to_string(options.*member); }};
}

using Options = ServerOptions;

constexpr std::string_view store_scheme = "etcd://";

Status read_store(ServerOptions& options, std::string_view text) {
  options.store.clear();
  if (text.empty()) return {};
  if (!text.starts_with(store_scheme))
    return {Code::invalid_argument, fmt::format("'{}' is not like etcd://host:port,host:port", text)};
  LS_ASSIGN_OR_RETURN(options.store, parse_addresses(text.substr(store_scheme.size())));
  if (!options.store.empty()) return {};
  return {Code::invalid_argument, "no address stands behind etcd://"};
}

Status read_http_hosts(ServerOptions& options, std::string_view text) {
  options.http_hosts.clear();
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    if (end == 0) return {Code::invalid_argument, "a name is empty"};
    options.http_hosts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

std::string show_http_hosts(const ServerOptions& options) {
  return shown(options.http_hosts);
}

std::string show_store(const ServerOptions& options) {
  return options.store.empty() ? std::string() : std::string(store_scheme) + shown(options.store);
}

// "a, b": what platform/call_policy.h reads.
Status read_allowed(ServerOptions& options, std::string_view text) {
  options.callouts_allow.clear();
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view entry = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    while (entry.ends_with(' ')) entry.remove_suffix(1);
    options.callouts_allow.emplace_back(entry);
  }
  return platform::CallPolicy::create(options.callouts_allow, false).status();
}

Status read_allow_loopback(ServerOptions& options, std::string_view text) {
  LS_ASSIGN_OR_RETURN(options.callouts_allow_loopback, parse_flag(text));
  return {};
}

constexpr std::array all_settings = {
    setting<&Options::dev>("dev", "", "one member for trying things out: loopback, no TLS, short timeouts"),
    setting<&Options::name>("name", "NAME", "what this member is called, in lists and in --initial-cluster"),
    setting<&Options::data_directory>("data-dir", "DIR",
                                      "where everything is stored; one process a directory"),
    address_setting<&Options::listen>("listen", "where clients connect"),
    address_setting<&Options::advertise>("advertise",
                                         "what clients are told to connect to, if it is another address"),
    address_setting<&Options::peer_listen>("peer-listen", "where the other members connect"),
    address_setting<&Options::peer_advertise>("peer-advertise",
                                              "where the others reach this member, if it is another address"),
    setting<&Options::initial_cluster>(
        "initial-cluster", "LIST",
        "who forms the new cluster, the same at each: n1=host:port,n2=host:port,..."),
    setting<&Options::join>("join", "LIST", "join a running cluster: peer addresses of some of its members"),
    setting<&Options::cluster_token>("cluster-token", "TEXT",
                                     "tells clusters on one network apart; the same at each member"),
    setting<&Options::election_timeout>("election-timeout", "TIME",
                                        "silence after which a leader is given up"),
    setting<&Options::heartbeat_interval>("heartbeat-interval", "TIME",
                                          "how often a leader is heard at least"),
    setting<&Options::request_timeout>("request-timeout", "TIME",
                                       "a request without a deadline of its own gets this one"),
    setting<&Options::lease_ttl_min>("lease-ttl-min", "TIME", "shorter leases are made this long"),
    setting<&Options::auto_compaction_mode>(
        "auto-compaction-mode", "MODE",
        "periodic: history older than a time goes; revision: all but the last ones"),
    setting<&Options::auto_compaction_retention>(
        "auto-compaction-retention", "RETENTION",
        "what stays: a time or a number of hours, or with revision a number of revisions; 0: all"),
    size_setting<&Options::quota_bytes>("quota",
                                        "size of the data above which writes are refused; 0: no limit"),
    count_setting<&Options::connections_max>("connections-max", "connections of clients; more are refused"),
    Setting{"http-hosts", "LIST",
            "names under which HTTP is asked, besides localhost and addresses; others are refused: name,name",
            read_http_hosts, show_http_hosts},
    setting<&Options::shutdown_timeout>("shutdown-timeout", "TIME",
                                        "how long running requests may take after SIGTERM"),
    setting<&Options::tls_certificate>("tls-certificate", "FILE", "PEM; clients then need TLS"),
    setting<&Options::tls_key>("tls-key", "FILE", "PEM, of --tls-certificate"),
    setting<&Options::tls_client_ca>("tls-client-ca", "FILE", "PEM; clients must show a certificate of it"),
    setting<&Options::peer_tls_certificate>("peer-tls-certificate", "FILE",
                                            "PEM, for both ends of connections between members"),
    setting<&Options::peer_tls_key>("peer-tls-key", "FILE", "PEM, of --peer-tls-certificate"),
    setting<&Options::peer_tls_ca>("peer-tls-ca", "FILE", "PEM; members must show a certificate of it"),
    setting<&Options::root_password_file>(
        "root-password-file", "FILE",
        "a new cluster starts with authentication on and this password for root"),
    setting<&Options::token_ttl>("token-ttl", "TIME", "how long a login lasts"),
    Setting{"store", "URL", "serve on an etcd cluster that exists, keep nothing: etcd://host:port,...",
            read_store, show_store},
    setting<&Options::store_user>("store-user", "NAME", "who this server is to that cluster"),
    setting<&Options::store_password_file>("store-password-file", "FILE", "the password of --store-user"),
    setting<&Options::store_tls_ca>("store-tls-ca", "FILE",
                                    "PEM; that cluster speaks TLS, with certificates of it"),
    setting<&Options::store_tls_certificate>("store-tls-certificate", "FILE", "PEM, shown to that cluster"),
    setting<&Options::store_tls_key>("store-tls-key", "FILE", "PEM, of --store-tls-certificate"),
    Setting{"callouts-allow", "LIST",
            "what this server may call (callbacks of timers, participants): hosts, *.domains, addresses, "
            "ranges; empty: any that is neither link-local nor multicast",
            read_allowed, [](const ServerOptions& options) { return shown(options.callouts_allow); }},
    Setting{"callouts-allow-loopback", "BOOL", "whether it may call this machine; with --dev it may",
            read_allow_loopback,
            [](const ServerOptions& options) {
              return shown(options.callouts_allow_loopback.value_or(options.dev));
            }},
    setting<&Options::callouts_ca_file>("callouts-ca-file", "FILE",
                                        "PEM; whom to trust when calling https; empty: as the system does"),
    setting<&Options::services>("services", "LIST",
                                "what sagas call by name: orders=http://host:port,...; in the file a table"),
    setting<&Options::log_level>("log-level", "LEVEL", "debug, info, warning or error"),
    setting<&Options::log_format>("log-format", "FORMAT", "text or json"),
};

}  // namespace

std::span<const Setting> settings() {
  return all_settings;
}

const Setting* find_setting(std::string_view name) {
  const auto found = std::ranges::find(all_settings, name, &Setting::name);
  return found == all_settings.end() ? nullptr : &*found;
}

std::string key_of(const Setting& setting) {
  std::string key(setting.name);
  std::ranges::replace(key, '-', '_');
  return key;
}

std::string variable_of(const Setting& setting) {
  std::string variable = "LOCKSTEP_" + key_of(setting);
  std::ranges::transform(variable, variable.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return variable;
}

std::string suggestion_for(std::string_view name) {
  std::string wanted(name);
  std::ranges::replace(wanted, '_', '-');
  std::vector<std::string> names;
  for (const Setting& known : all_settings) names.emplace_back(known.name);
  return nearest(wanted, names);
}

GivenSettings read_environment(const std::function<const char*(const std::string& name)>& variable) {
  GivenSettings given;
  for (const Setting& setting : all_settings) {
    const std::string name = variable_of(setting);
    if (const char* text = variable(name)) given[std::string(setting.name)] = {text, name};
  }
  return given;
}

Result<Resolved> resolve(std::span<const GivenSettings> layers) {
  Resolved resolved;
  for (const GivenSettings& layer : layers) {
    for (const auto& [name, given] : layer) {
      const Setting* setting = find_setting(name);
      LS_MUST(setting != nullptr, "the readers of layers refuse unknown names");
      if (const Status status = setting->set(resolved.options, given.text); !status.ok())
        return Status(status.code(), fmt::format("{}: {}", given.origin, status.message()));
      resolved.origins[name] = given.origin;
    }
  }
  LS_RETURN_IF_ERROR(complete(resolved.options));
  LS_RETURN_IF_ERROR(check(resolved.options));
  return resolved;
}

}  // namespace lockstep::server
