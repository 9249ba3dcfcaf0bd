#include "platform/signals.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <string>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace lockstep::platform {
namespace {

TEST(Signals, AreClosuresOnTheStrandWhileSomebodyWantsThem) {
  RealClock clock;
  AsioExecutor executor(clock);
  std::vector<int> seen;
  const std::array wanted = {SIGUSR1, SIGUSR2};
  const Signals signals(executor, wanted, [&](int signal) {
    EXPECT_TRUE(executor.on_strand());
    seen.push_back(signal);
    if (signal == SIGUSR2) return executor.stop();
    std::raise(SIGUSR2);
  });
  executor.post([] { std::raise(SIGUSR1); });
  executor.run();
  EXPECT_THAT(seen, testing::ElementsAre(SIGUSR1, SIGUSR2));
}

TEST(ServiceManager, HearsOfAStateChange) {
  const std::string path = testing::TempDir() + "notify.socket";
  ::unlink(path.c_str());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  notify_service_manager("READY=1");
  std::array<char, 64> buffer{};
  EXPECT_EQ(::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT), 7);
  EXPECT_STREQ(buffer.data(), "READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  notify_service_manager("READY=1");  // nobody is told, nothing fails
  ::close(socket);
}

TEST(ServiceManager, AsksForALifeSignAtHalfTheTimeItAllows) {
  ::setenv("WATCHDOG_USEC", "3000000", 1);
  EXPECT_EQ(watchdog_interval(), 1500ms);
  ::unsetenv("WATCHDOG_USEC");
  EXPECT_EQ(watchdog_interval(), 0s);
}

}  // namespace
}  // namespace lockstep::platform
