// What the strand does while its disk writes: nobody hears of it before the disk has confirmed.
#include <filesystem>
#include <future>
#include <string>
#include <unistd.h>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "platform/disk.h"
#include "platform/tcp_streams.h"
#include "platform/test_support.h"

namespace lockstep::platform {
namespace {

class HeldTest : public testing::Test {
 protected:
  HeldTest() {
    std::promise<void> accepted;
    strand.on([&] {
      listener = *streams.listen("127.0.0.1:0", [&](std::unique_ptr<env::Stream> made) {
        stream = std::move(made);
        accepted.set_value();
      });
    });
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(strand.on([&] { return listener->port(); }));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patient{.tv_sec = patience.count(), .tv_usec = 0};
    EXPECT_EQ(::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patient, sizeof patient), 0);
    EXPECT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    accepted.get_future().wait();
  }
  ~HeldTest() override {
    strand.on([&] {
      listener.reset();
      stream.reset();
      file.reset();
    });
    ::close(client);
  }
  void open(const std::string& device) {
    if (device.empty()) {
      file = *disk->open("log", env::OpenMode::create_new);
    } else {
      std::filesystem::create_symlink(device, directory.path() + "/log");
      file = *disk->open("log", env::OpenMode::read_write);
    }
  }
  // What is there to be read now: within a machine it is there when the write returns.
  std::string heard() {
    std::string buffer(100, '?');
    const ssize_t got = ::recv(client, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_PEEK);
    return got < 0 ? "" : buffer.substr(0, static_cast<std::size_t>(got));
  }
  std::string hear(std::size_t bytes) {
    std::string buffer(bytes, '?');
    EXPECT_EQ(::recv(client, buffer.data(), bytes, MSG_WAITALL), static_cast<ssize_t>(bytes));
    return buffer;
  }
  // Answers meanwhile, twice: at once, and at what it takes for the end of the turn.
  Status write_and_answer(bool small) {
    std::promise<Status> finished;
    strand.on([&] {
      file->write_and_sync(
          {{.offset = 0, .bytes = SharedBytes("bytes")}}, small,
          [&] {
            order.emplace_back("meanwhile");
            held = stream->held();
            if (held) EXPECT_EQ(stream->write_now("answer"), 0u);
            stream->async_write_some({&answer, 1}, [](std::error_code, std::size_t) {});
            strand.executor.at_turn_end([&] { order.emplace_back(stream->held() ? "held" : "told"); });
          },
          [&](Status status) {
            order.emplace_back("done");
            heard_when_done = heard();
            finished.set_value(std::move(status));
          });
    });
    return finished.get_future().get();
  }

  void write_while_a_question_waits() {
    std::promise<Status> finished;
    std::promise<void> heard;
    std::string buffer(10, '?');
    ASSERT_EQ(::send(client, "question", 8, 0), 8);
    strand.on([&] {
      file->write_and_sync(
          {{.offset = 0, .bytes = SharedBytes("bytes")}}, true,
          [&] {
            stream->async_read_some(buffer, [&](std::error_code, std::size_t bytes) {
              order.push_back(buffer.substr(0, bytes) + (stream->held() ? ", held" : ""));
              heard.set_value();
            });
          },
          [&](Status status) {
            order.emplace_back("done");
            finished.set_value(std::move(status));
          });
    });
    const Status written = finished.get_future().get();
    ASSERT_TRUE(written.ok()) << written.to_string();
    heard.get_future().wait();
  }

  const std::string_view answer = "answer";
  TemporaryDirectory directory;
  StrandThread strand;
  TcpStreams streams{strand.executor};
  std::unique_ptr<env::Listener> listener;
  std::unique_ptr<env::Stream> stream;
  int client = -1;
  std::unique_ptr<FileDisk> disk = *FileDisk::open(directory.path(), strand.executor);
  std::unique_ptr<env::File> file;
  std::vector<std::string> order;
  std::string heard_when_done;
  bool held = false;
};

TEST_F(HeldTest, AnAnswerGivenWhileTheDiskWorksLeavesWhenItHasConfirmed) {
  open("");
  EXPECT_TRUE(write_and_answer(true).ok());
  EXPECT_EQ(order, (std::vector<std::string>{"meanwhile", "held", "done"}));
  EXPECT_TRUE(held);
  EXPECT_EQ(heard_when_done, "");
  EXPECT_EQ(hear(answer.size()), answer);
  EXPECT_FALSE(strand.on([&] { return stream->held(); }));
}

TEST_F(HeldTest, AWriteByTheOtherThreadHoldsNothing) {
  open("");
  EXPECT_TRUE(write_and_answer(false).ok());
  EXPECT_EQ(hear(answer.size()), answer);
  strand.on([] {});
  EXPECT_EQ(order, (std::vector<std::string>{"meanwhile", "done", "told"}));
  EXPECT_FALSE(held);
}

// To a device that takes everything and can sync nothing.
TEST_F(HeldTest, AfterAFailedSyncNobodyHearsAnythingAnyMore) {
  open("/dev/null");
  EXPECT_FALSE(write_and_answer(true).ok());
  EXPECT_EQ(order, (std::vector<std::string>{"meanwhile", "held", "done"}));
  strand.on([&] { EXPECT_EQ(stream->write_now("later"), 0u); });
  for (int turn = 0; turn < 5; ++turn) strand.on([] {});
  EXPECT_EQ(heard(), "");
}

// To a device that is always full.
TEST_F(HeldTest, NothingIsDoneMeanwhileIfTheWriteFails) {
  open("/dev/full");
  EXPECT_EQ(write_and_answer(true).code(), Code::resource_exhausted);
  EXPECT_EQ(order, (std::vector<std::string>{"done"}));
  EXPECT_FALSE(strand.on([&] { return stream->held(); }));
}

// The strand works for some 30 us, and a machine with other things to do may take all of them: then what came
// in is read afterwards. So of many tries one must do.
TEST_F(HeldTest, WhatCameInMeanwhileIsReadMeanwhile) {
  open("");
  const std::vector<std::string> meanwhile{"question, held", "done"};
  const std::vector<std::string> too_late{"done", "question"};
  for (int tries = 0; tries < 200; ++tries) {
    order.clear();
    ASSERT_NO_FATAL_FAILURE(write_while_a_question_waits());
    if (order == meanwhile) return;
    ASSERT_EQ(order, too_late);
  }
  FAIL() << "never read before the disk had confirmed";
}

}  // namespace
}  // namespace lockstep::platform
