// Replays the golden scripts in testdata/, one test each: the six guarantees by their names, and what else a
// watch does. With --rewrite the files get what happens now: review the difference, it is the specification.
//
// A script is blocks of commands, "----", what they print, and an empty line. Commands, one a line:
//   put k v [k v …] · del k… · batch <put …|del …> ; <…>   one revision each; a batch is one block of several
//   compact N · many COUNT PREFIX                          COUNT puts to PREFIX0…9, a revision and block each
//   watch NAME KEY [END] [from=N] [prev] [progress] [no_put] [no_delete] [fragment]   END "*": every key from
//   KEY on resume NEW OLD                                         the same watch from its last bookmark on,
//   as NEW listen NAME · next NAME [BYTES] · drain NAME [BYTES] · count NAME · ask NAME · end NAME turn · run
//   · advance SECONDS · metrics
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "watch/test_store.h"

namespace lockstep::watch::testing {
namespace {

bool rewrite = false;

class Script {
 public:
  Script() : store_(options()) {}
  // Runs one line and returns what it prints.
  std::string run(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    std::vector<std::string> arguments;
    for (std::string word; words >> word;) arguments.push_back(word);
    output_.clear();
    if (!change(command, arguments) && !watch(command, arguments) && !time(command, arguments))
      output_ = "unknown command\n";
    return output_;
  }

 private:
  struct Named {
    store::WatchRequest request;
    Revision bookmark;
    std::unique_ptr<store::Subscription> subscription;
  };
  static WatchHubOptions options() {
    WatchHubOptions options;
    options.progress_interval = 600s;
    options.slice_effects_max = 100;
    return options;
  }
  static Changes changes(const std::vector<std::string>& words) {
    Changes result;
    if (words.at(0) == "put") {
      for (std::size_t i = 1; i + 1 < words.size(); i += 2) result.push_back({true, words[i], words[i + 1]});
    } else {
      for (std::size_t i = 1; i < words.size(); ++i) result.push_back({false, words[i], {}});
    }
    return result;
  }
  bool change(const std::string& command, std::vector<std::string> arguments) {
    if (command == "put" || command == "del") {
      arguments.insert(arguments.begin(), command);
      store_.apply({changes(arguments)});
    } else if (command == "batch") {
      std::vector<Changes> revisions;
      std::vector<std::string> words;
      arguments.emplace_back(";");
      for (const std::string& word : arguments) {
        if (word != ";") {
          words.push_back(word);
          continue;
        }
        revisions.push_back(changes(std::exchange(words, {})));
      }
      store_.apply(revisions);
    } else if (command == "many") {
      const int count = std::stoi(arguments.at(0));
      for (int number = 0; number < count; ++number)
        store_.put(arguments.at(1) + std::to_string(number % 10), std::to_string(number));
    } else if (command == "compact") {
      store_.compact(Revision(std::stoll(arguments.at(0))));
    } else {
      return false;
    }
    return true;
  }
  void open(const std::string& name, store::WatchRequest request) {
    Named named;
    named.request = request;
    auto opened = store_.hub->watch(std::move(request));
    if (!opened.ok()) {
      output_ += opened.status().to_string() + "\n";
      return;
    }
    named.subscription = *std::move(opened);
    named_.insert_or_assign(name, std::move(named));
  }
  static store::WatchRequest request_of(const std::vector<std::string>& arguments) {
    store::WatchRequest request;
    request.key = arguments.at(1) == "-" ? "" : arguments.at(1);
    for (std::size_t i = 2; i < arguments.size(); ++i) {
      const std::string& word = arguments[i];
      if (word.starts_with("from="))
        request.start_revision = Revision(std::stoll(word.substr(5)));
      else if (word == "prev")
        request.prev_kv = true;
      else if (word == "progress")
        request.progress_notify = true;
      else if (word == "no_put")
        request.no_put = true;
      else if (word == "no_delete")
        request.no_delete = true;
      else if (word == "fragment")
        request.fragment = true;
      else
        request.range_end = word == "*" ? std::string(1, '\0') : word;
    }
    return request;
  }
  // An answer printed, or counted only.
  bool take(const std::string& name, std::size_t bytes, std::size_t* events) {
    Named& named = named_.at(name);
    const auto answer = named.subscription->next(bytes);
    if (!answer.has_value()) return false;
    if (!answer->canceled && !answer->fragment) named.bookmark = answer->header.revision;
    if (events == nullptr) output_ += to_string(*answer);
    if (events != nullptr) *events += answer->events.size();
    if (events != nullptr && answer->canceled) output_ += to_string(*answer);
    return true;
  }
  bool watch(const std::string& command, const std::vector<std::string>& arguments) {
    const std::size_t bytes = arguments.size() > 1 && command != "watch" && command != "resume"
                                  ? std::stoul(arguments[1])
                                  : std::size_t{1} << 30;
    if (command == "watch") {
      open(arguments.at(0), request_of(arguments));
    } else if (command == "resume") {
      store::WatchRequest request = named_.at(arguments.at(1)).request;
      request.start_revision = named_.at(arguments.at(1)).bookmark.next();
      open(arguments.at(0), std::move(request));
    } else if (command == "listen") {
      named_.at(arguments.at(0)).subscription->notify_when_ready([this, name = arguments.at(0)] {
        output_ += name + " is ready\n";
      });
    } else if (command == "next") {
      if (!take(arguments.at(0), bytes, nullptr)) output_ += "nothing\n";
    } else if (command == "drain") {
      while (take(arguments.at(0), bytes, nullptr)) {
      }
    } else if (command == "count") {
      std::size_t events = 0;
      do {
        while (take(arguments.at(0), bytes, &events)) {
        }
      } while (store_.strand.turn());
      output_ += std::to_string(events) + " events, up to " +
                 std::to_string(named_.at(arguments.at(0)).bookmark.value()) + "\n";
    } else if (command == "ask") {
      named_.at(arguments.at(0)).subscription->request_progress();
    } else if (command == "end") {
      named_.erase(arguments.at(0));
    } else {
      return false;
    }
    return true;
  }
  bool time(const std::string& command, const std::vector<std::string>& arguments) {
    if (command == "turn") {
      if (!store_.strand.turn()) output_ += "idle\n";
    } else if (command == "run") {
      store_.strand.run();
    } else if (command == "advance") {
      store_.strand.advance(std::chrono::seconds(std::stoi(arguments.at(0))));
      store_.strand.run();
    } else if (command == "metrics") {
      const WatchMetrics metrics = store_.hub->metrics();
      output_ += std::to_string(metrics.watchers) + " watchers, " + std::to_string(metrics.watchers_lagging) +
                 " lagging, " + std::to_string(metrics.watchers_parked) + " parked, " +
                 std::to_string(metrics.effects_scanned) + " effects scanned\n";
    } else {
      return false;
    }
    return true;
  }

  std::string output_;
  TestStore store_;
  std::map<std::string, Named> named_;
};

// The same script with the present output.
std::string run_script(const std::string& text) {
  Script script;
  std::istringstream lines(text);
  std::string result;
  std::string output;
  bool in_output = false;
  for (std::string line; std::getline(lines, line);) {
    if (in_output) {
      in_output = !line.empty();
      if (!in_output) result += '\n';
      continue;
    }
    result += line + '\n';
    if (line == "----") {
      result += std::exchange(output, {});
      in_output = true;
    } else if (!line.empty() && !line.starts_with('#')) {
      output += script.run(line);
    }
  }
  return result;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

class WatchScript : public ::testing::TestWithParam<std::string> {};

TEST_P(WatchScript, DoesWhatItSays) {
  const std::filesystem::path path = "src/watch/testdata/" + GetParam() + ".txt";
  const std::string expected = read_file(path);
  ASSERT_FALSE(expected.empty()) << path << ": run in the source folder";
  const std::string actual = run_script(expected);
  if (rewrite && actual != expected) {
    std::ofstream(path) << actual;
    return;
  }
  EXPECT_EQ(actual, expected) << path;
}

std::string name_of(const ::testing::TestParamInfo<std::string>& info) {
  return info.param;
}

INSTANTIATE_TEST_SUITE_P(Guarantee, WatchScript,
                         ::testing::Values("ordered", "unique", "complete", "atomic", "resumable",
                                           "bookmarkable"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Story, WatchScript,
                         ::testing::Values("ranges_and_filters", "previous_values", "compaction", "progress",
                                           "slow_subscriber", "fair_catch_up", "bad_requests",
                                           "notification"),
                         name_of);

}  // namespace
}  // namespace lockstep::watch::testing

int main(int count, char** arguments) {
  ::testing::InitGoogleTest(&count, arguments);
  lockstep::watch::testing::rewrite = count > 1 && std::string(arguments[1]) == "--rewrite";
  return RUN_ALL_TESTS();
}
