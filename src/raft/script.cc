#include "raft/script.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "base/assert.h"
#include "raft/script_words.h"
#include "raft/test_cluster.h"

namespace lockstep::raft {
namespace {

struct Halted {
  std::string why;
};

void halt(const char* condition, const char* hint, const char*, int) {
  throw Halted{*hint != 0 ? hint : condition};
}

std::string number(auto id) {
  return std::to_string(id.value());
}

std::string place(LogIndex index, Term term) {
  return number(index) + "@" + number(term);
}

Options script_options() {
  Options options;
  options.election_timeout = 1000ms;
  options.heartbeat_interval = 100ms;
  options.commit_notice_delay = {};
  options.trace = true;
  return options;
}

class Script {
 public:
  // One command; what happens goes to `out`.
  void run(const std::string& line, std::string& out) {
    out_ = &out;
    Words words(line);
    const std::string command = words.word();
    try {
      if (!setup(command, words) && !act(command, words) && !network_command(command, words) &&
          !trouble(command, words) && !show(command, words)) {
        say("unknown command " + command);
      }
    } catch (const std::exception& error) {
      say("error: " + std::string(error.what()));
    }
  }

 private:
  struct Filter {
    std::optional<MessageKind> kind;
    NodeId from;
    NodeId to;
    std::size_t count = SIZE_MAX;

    [[nodiscard]] bool accepts(const Message& message) const {
      return (!kind.has_value() || message.kind == *kind) && (from == NodeId{} || message.from == from) &&
             (to == NodeId{} || message.to == to);
    }
  };

  void say(const std::string& line) {
    if (!quiet_) *out_ += line + "\n";
  }

  TestCluster& cluster() {
    if (cluster_.has_value()) return *cluster_;
    cluster_.emplace(options_, 1);
    cluster_->hooks.trace = [this](NodeId id, const std::string& line) {
      say("  " + number(id) + " " + line);
    };
    cluster_->hooks.applied = [this](NodeId id, const Entry& entry) {
      std::string what(entry.kind == EntryKind::normal ? entry.payload.view() : to_string(entry.kind));
      if (what.size() > 20) what = what.substr(0, 20) + "…";
      say("  " + number(id) + " applies " + place(entry.index, entry.term) + " " + what);
    };
    cluster_->hooks.read = [this](NodeId id, const ReadResult& read) {
      say("  " + number(id) + " read " + number(read.id) +
          (read.ok ? " is good at " + number(read.index) : " has failed"));
    };
    cluster_->hooks.installed = [this](NodeId id, LogIndex index, std::uint64_t) {
      say("  " + number(id) + " installs the state at " + number(index));
    };
    return *cluster_;
  }

  // An assertion ends the member, as it ends a process.
  template <class Action>
  void guarded(NodeId id, Action&& action) {
    const TestMember& member = cluster().member(id);
    if (!member.up()) return say("  " + number(id) + " is down");
    try {
      action();
      cluster().pump(id);
    } catch (const Halted& halted) {
      say("  " + number(id) + " HALTS: " + halted.why);
      cluster().crash(id, 0);
    }
  }

  bool setup(const std::string& command, Words& words) {
    if (command == "option") {
      set_option(words.word(), words.number());
    } else if (command == "add") {
      Configuration configuration;
      configuration.voters = words.nodes();
      if (words.take("learners")) configuration.learners = words.nodes();
      for (const NodeId id : configuration.members()) cluster().add(id, configuration);
    } else if (command == "add-log") {
      add_log(words);
    } else if (command == "join") {
      cluster().add(words.node(), {}, {}, {}, false);
    } else if (command == "eager") {
      const NodeId id = words.node();
      cluster().member(id).eager = words.word() == "on";
    } else if (command == "quiet") {
      quiet_ = words.word() == "on";
    } else if (command == "auto-persist") {
      cluster().auto_persist = words.word() == "on";
    } else {
      return false;
    }
    return true;
  }

  void set_option(const std::string& name, std::uint64_t value) {
    if (name == "pre-vote") options_.pre_vote = value != 0;
    if (name == "check-quorum") options_.check_quorum = value != 0;
    if (name == "inflight-messages") options_.inflight_messages_max = value;
    if (name == "inflight-bytes") options_.inflight_bytes_max = value;
    if (name == "message-bytes") options_.message_entries_bytes_max = value;
    if (name == "commit-notice-ms") options_.commit_notice_delay = std::chrono::milliseconds(value);
    if (name == "uncommitted-bytes") options_.uncommitted_bytes_max = value;
    cluster().set_options(options_);
  }

  // A member whose log has entries of these terms.
  void add_log(Words& words) {
    const NodeId id = words.node();
    Configuration configuration;
    if (words.take("of")) configuration.voters = words.nodes();
    std::vector<Entry> entries;
    HardState hard_state;
    if (words.take("terms")) {
      while (words.number_follows()) {
        const Term term(words.number());
        const LogIndex index(entries.size() + 1);
        entries.push_back({term, index, EntryKind::normal, SharedBytes("e" + place(index, term))});
        hard_state.term = term;
      }
    }
    if (words.take("term")) hard_state.term = Term(words.number());
    if (words.take("vote")) hard_state.vote = words.node();
    if (words.take("commit")) hard_state.commit = LogIndex(words.number());
    cluster().add(id, configuration, entries, hard_state);
  }

  bool act(const std::string& command, Words& words) {
    static const std::set<std::string> commands{"campaign", "propose",  "read",    "transfer",
                                                "lost",     "snapshot", "install", "refuse",
                                                "persist",  "change",   "leave",   "context"};
    if (!commands.contains(command)) return false;
    const NodeId id = words.node();
    guarded(id, [&] { act_at(id, command, words); });
    return true;
  }

  void act_at(NodeId id, const std::string& command, Words& words) {
    Raft& raft = cluster().raft(id);
    const TimePoint now = cluster().now();
    if (command == "campaign") {
      raft.campaign(now);
    } else if (command == "propose") {
      std::vector<SharedBytes> payloads;
      while (!words.empty()) payloads.emplace_back(words.word());
      refused(raft.propose(now, payloads).status());
    } else if (command == "read") {
      while (!words.empty()) raft.read_index(now, ReadId(words.number()));
    } else if (command == "transfer") {
      refused(raft.transfer_leadership(now, words.node()));
    } else if (command == "lost") {
      raft.report_peer_lost(now, words.node());
    } else if (command == "snapshot") {
      cluster().snapshot(id, words.number_follows() ? words.number() : 0);
      say("  " + number(id) + " keeps entries after " + number(raft.log().base_index()));
    } else if (command == "install") {
      cluster().install(id);
    } else if (command == "refuse") {
      cluster().refuse(id);
    } else if (command == "persist") {
      cluster().persist(id, words.number_follows() ? words.number() : SIZE_MAX);
    } else if (command == "change") {
      refused(raft.propose_configuration(now, change(words)).status());
    } else if (command == "context") {
      ConfigurationChange only_context;
      only_context.context = words.word();
      refused(raft.propose_configuration(now, only_context).status());
    } else if (command == "leave") {
      refused(raft.propose_configuration(now, {}).status());
    }
  }

  void refused(const Status& status) {
    if (!status.ok()) say("  refused: " + status.to_string());
  }

  static ConfigurationChange change(Words& words) {
    ConfigurationChange change;
    while (!words.empty()) {
      const std::string what = words.word();
      if (what == "stay") {
        change.auto_leave = false;
        continue;
      }
      MemberChangeKind kind = MemberChangeKind::add_learner;
      if (what == "promote") kind = MemberChangeKind::promote;
      if (what == "demote") kind = MemberChangeKind::demote;
      if (what == "remove") kind = MemberChangeKind::remove;
      change.changes.push_back({kind, words.node()});
    }
    return change;
  }

  bool network_command(const std::string& command, Words& words) {
    if (command == "deliver") {
      const bool once = words.take("once");
      deliver(filter(words), once);
    } else if (command == "drop") {
      const Filter which = filter(words);
      std::size_t left = which.count;
      std::erase_if(cluster().network(), [&](const Message& message) {
        if (left == 0 || !which.accepts(message)) return false;
        say("lost " + to_string(message));
        --left;
        return true;
      });
    } else if (command == "double") {
      const Filter which = filter(words);
      const std::vector<Message> messages = cluster().network();
      for (const Message& message : messages) {
        if (which.accepts(message)) cluster().network().push_back(message);
      }
    } else if (command == "inject") {
      inject(words);
    } else if (command == "stabilize") {
      stabilize();
    } else {
      return false;
    }
    return true;
  }

  static Filter filter(Words& words) {
    Filter filter;
    while (!words.empty()) {
      const std::string word = words.word();
      if (word == "from") {
        filter.from = words.node();
      } else if (word == "to") {
        filter.to = words.node();
      } else if (word == "count") {
        filter.count = words.number();
      } else {
        filter.kind = kind_of(word);
      }
    }
    return filter;
  }

  void deliver(const Filter& which, bool once) {
    std::size_t left = once ? std::min(which.count, cluster().network().size()) : which.count;
    std::size_t looked_at = once ? cluster().network().size() : SIZE_MAX;
    std::size_t at = 0;
    for (int guard = 0; guard < 2000 && left > 0; ++guard) {
      std::vector<Message>& network = cluster().network();
      while (at < network.size() && at < looked_at && !which.accepts(network[at])) ++at;
      if (at >= network.size() || at >= looked_at) return;
      const Message message = network[at];
      network.erase(network.begin() + static_cast<std::ptrdiff_t>(at));
      if (once) --looked_at;
      --left;
      deliver_one(message);
    }
  }

  void deliver_one(const Message& message) {
    if (blocked_.contains({message.from, message.to})) return say("lost " + to_string(message));
    say(to_string(message));
    if (!cluster().members().contains(message.to)) return say("  nobody is there");
    guarded(message.to, [&] { cluster().deliver(message); });
  }

  void inject(Words& words) {
    Message message;
    message.kind = kind_of(words.word());
    message.from = words.node();
    message.to = words.node();
    message.term = Term(words.number());
    message.boot = BootId(99);
    while (!words.empty()) {
      const std::string field = words.word();
      if (field == "reject") {
        message.reject = true;
      } else if (field == "index") {
        message.index = LogIndex(words.number());
      } else if (field == "log-term") {
        message.log_term = Term(words.number());
      } else if (field == "commit") {
        message.commit = LogIndex(words.number());
      } else if (field == "round") {
        message.round = Round(words.number());
      } else if (field == "entry") {
        const LogIndex index(words.number());
        message.entries.push_back({Term(words.number()), index, EntryKind::normal, SharedBytes("x")});
      }
    }
    say(to_string(message));
    guarded(message.to, [&] { cluster().raft(message.to).receive(cluster().now(), message.from, message); });
  }

  void stabilize() {
    for (int guard = 0; guard < 200; ++guard) {
      for (auto& [id, member] : cluster().members()) {
        if (!member.up()) continue;
        guarded(id, [&, node = id] {
          cluster().persist(node);
          cluster().pump(node);
          cluster().install(node);
          cluster().persist(node);
        });
      }
      if (cluster().network().empty()) return;
      deliver({}, false);
    }
    say("does not become stable");
  }

  bool trouble(const std::string& command, Words& words) {
    if (command == "time") {
      pass_time(words.number());
    } else if (command == "run") {
      for (std::uint64_t left = words.number(); left > 0;) {
        const std::uint64_t step = std::min<std::uint64_t>(left, 10);
        pass_time(step);
        stabilize();
        left -= step;
      }
    } else if (command == "partition") {
      partition(words);
    } else if (command == "isolate") {
      const NodeId id = words.node();
      for (auto& [other, member] : cluster().members()) {
        blocked_.insert({id, other});
        blocked_.insert({other, id});
      }
    } else if (command == "heal") {
      blocked_.clear();
    } else if (command == "crash") {
      const NodeId id = words.node();
      cluster().crash(id, words.number_follows() ? words.number() : 0);
    } else if (command == "restart") {
      cluster().restart(words.node());
    } else if (command == "wipe") {
      const NodeId id = words.node();
      cluster().wipe(id);
      cluster().restart(id);
    } else if (command == "save") {
      const NodeId id = words.node();
      saved_[id] = cluster().member(id).disk;
    } else if (command == "rollback") {
      const NodeId id = words.node();
      cluster().crash(id, 0);
      cluster().member(id).disk = saved_.at(id);
      cluster().restart(id);
    } else {
      return false;
    }
    return true;
  }

  // In steps, so that members act close to their deadlines.
  void pass_time(std::uint64_t milliseconds) {
    const TimePoint end = cluster().now() + std::chrono::milliseconds(milliseconds);
    while (true) {
      TimePoint next = end;
      for (auto& [id, member] : cluster().members()) {
        if (member.up()) next = std::min(next, member.raft->next_deadline());
      }
      if (next > cluster().now()) cluster().advance(next - cluster().now());
      for (auto& [id, member] : cluster().members()) {
        if (member.up() && member.raft->next_deadline() <= cluster().now()) cluster().tick(id);
      }
      if (cluster().now() >= end) return;
    }
  }

  void partition(Words& words) {
    std::vector<std::vector<NodeId>> sides;
    do sides.push_back(words.nodes());
    while (words.take("/"));
    for (const auto& side : sides) {
      for (const auto& other : sides) {
        if (&side == &other) continue;
        for (const NodeId a : side) {
          for (const NodeId b : other) blocked_.insert({a, b});
        }
      }
    }
  }

  bool show(const std::string& command, Words& words) {
    if (command == "state") {
      std::vector<NodeId> nodes = words.nodes();
      if (nodes.empty()) {
        for (auto& [id, member] : cluster().members()) nodes.push_back(id);
      }
      for (const NodeId id : nodes) show_state(id);
    } else if (command == "log") {
      show_log(words.node());
    } else if (command == "peers") {
      for (const auto& [id, peer] : cluster().raft(words.node()).peers()) {
        say("  " + number(id) + " " + std::string(to_string(peer.state)) + " match " + number(peer.match) +
            " next " + number(peer.next) + " in-flight " + std::to_string(peer.in_flight.messages()) +
            (peer.in_doubt ? " in-doubt" : ""));
      }
    } else if (command == "network") {
      for (const Message& message : cluster().network()) say("  " + to_string(message));
    } else {
      return false;
    }
    return true;
  }

  void show_state(NodeId id) {
    const TestMember& member = cluster().member(id);
    if (!member.up()) return say("  " + number(id) + " is down");
    const Raft& raft = *member.raft;
    say("  " + number(id) + " " + std::string(to_string(raft.role())) + " term " + number(raft.term()) +
        " vote " + number(raft.vote()) + " leader " + number(raft.leader()) + " log " +
        place(raft.log().last_index(), raft.log().last_term()) + " commit " + number(raft.commit_index()) +
        (raft.may_vote() ? "" : " in-doubt") + "; " + to_string(raft.configuration()));
  }

  void show_log(NodeId id) {
    const RaftLog& log = cluster().raft(id).log();
    std::string line = "  " + number(id) + " after " + place(log.base_index(), log.base_term()) + ":";
    for (LogIndex index = log.first_index(); index <= log.last_index(); ++index) {
      const Entry& entry = log.at(index);
      line += " " + place(index, entry.term);
      if (entry.kind != EntryKind::normal) line += "(" + std::string(to_string(entry.kind)) + ")";
    }
    say(line);
  }

  Options options_ = script_options();
  std::optional<TestCluster> cluster_;
  std::set<std::pair<NodeId, NodeId>> blocked_;
  std::map<NodeId, TestDisk> saved_;
  bool quiet_ = false;
  std::string* out_ = nullptr;
};

}  // namespace

std::string run_script(const std::string& script) {
  set_assertion_hook(halt);
  Script interpreter;
  std::string result;
  std::string block_output;
  bool in_output = false;
  std::istringstream lines(script);
  for (std::string line; std::getline(lines, line);) {
    if (in_output) {
      in_output = !line.empty();
      if (!in_output) result += "\n";
      continue;
    }
    result += line + "\n";
    if (line == "----") {
      result += block_output.empty() ? "ok\n" : block_output;
      block_output.clear();
      in_output = true;
    } else if (!line.empty() && line.front() != '#') {
      interpreter.run(line, block_output);
    }
  }
  set_assertion_hook(nullptr);
  return result;
}

}  // namespace lockstep::raft
