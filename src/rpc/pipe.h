// A stream with the buffers of a session: reads into one, gathers output in the other.
//
// Invariants: 1. one write at a time, of everything there was when it began, up to a bound, at the turn's end
// or when it has become much (docs/decisions/0028); 2. an idle pipe holds little memory. Outstanding
// operations share ownership; after close() the user is not called any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "env/stream.h"

namespace lockstep::rpc {

// What was queued for being written.
enum class Output : std::uint8_t {
  control,  // leaves with what else there is
  message,  // of a stream, or the answer to what this turn read
  call,     // a request, or the answer to what waited: the other side would rather have many of them
};

class PipeUser {
 public:
  virtual ~PipeUser() = default;
  virtual void on_bytes(std::string_view bytes) = 0;
  // Appends about so much of what is to be written; nothing if there is nothing.
  virtual void produce(std::string& out, std::size_t bytes) = 0;
  // The same from the middle of a turn, calling nobody. False: that cannot be now.
  virtual bool produce_early(std::string& /*out*/, std::size_t /*bytes*/) { return false; }
  // What was produced may not leave yet (Stream::held()): flush() is wanted at the turn's end.
  virtual void on_held() = 0;
  // A write ended, all of what was produced.
  virtual void on_written() = 0;
  // Nothing was there to be written.
  virtual void on_nothing_to_write() = 0;
  // The connection is over. The pipe was closed.
  virtual void on_lost(std::error_code error) = 0;
};

class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  Pipe(PipeUser& user, std::unique_ptr<env::Stream> stream);

  void start() { read_more(); }
  // False: no further read begins until true.
  void set_reading(bool reading);
  // Writes what the user produces, unless a write is under way.
  void flush();
  // The user has something more, and wants flush() at the turn's end. After many the first of them are
  // written at once, so that the other side can begin with them.
  void on_output(Output kind);
  void end_writes();
  void close();
  // Called now and then: a pipe that was idle since gives memory back.
  void trim();
  [[nodiscard]] bool writing() const { return writing_; }
  [[nodiscard]] bool closed() const { return user_ == nullptr; }
  [[nodiscard]] std::uint64_t written_bytes() const { return written_bytes_; }
  [[nodiscard]] const env::Stream& stream() const { return *stream_; }

 private:
  void read_more();
  void write_output();
  void write_rest();
  void on_read(std::error_code error, std::size_t bytes);
  void on_write(std::error_code error, std::size_t bytes);
  void lose(std::error_code error);
  void fit_input(std::size_t bytes);

  PipeUser* user_;  // null: closed
  std::unique_ptr<env::Stream> stream_;
  std::vector<char> input_;
  std::string output_;
  std::size_t written_ = 0;  // of output_
  std::uint64_t written_bytes_ = 0;
  int small_reads_ = 0;
  int outputs_ = 0;              // since something was written
  std::size_t early_bytes_ = 0;  // written since flush() was called last
  bool producing_ = false;       // for flush(): output_ is in use
  bool framed_ = false;          // by a flush() that was held
  bool reading_ = false;         // a read is under way
  bool wants_reading_ = true;
  bool writing_ = false;
  bool used_ = false;  // since trim()
};

}  // namespace lockstep::rpc
