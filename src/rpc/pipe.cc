#include "rpc/pipe.h"

#include <utility>

#include "base/assert.h"
#include "base/limits.h"

namespace lockstep::rpc {
namespace {

// An idle connection holds the least; one that fills its buffer gets the most.
constexpr std::size_t input_bytes_min = 4 * limits::kibibyte;
constexpr std::size_t input_bytes_max = 256 * limits::kibibyte;
// So many reads in a row that would have fitted the small buffer give the large one back.
constexpr int small_reads_max = 64;
// What is framed ahead of one write.
constexpr std::size_t output_bytes = 256 * limits::kibibyte;
constexpr std::size_t output_bytes_kept = 16 * limits::kibibyte;
// What is written before the turn ends: two sides that only took turns would each sleep while the other one
// works. Fewer cost more system calls and smaller groups in the log than they win (PERFORMANCE.md).
constexpr int messages_per_write = 16;
constexpr int calls_per_write = 24;
// Of a turn, written before its end: who goes on until so much is unsent must come to an end.
constexpr std::size_t early_bytes_max = 64 * limits::kibibyte;

}  // namespace

Pipe::Pipe(PipeUser& user, std::unique_ptr<env::Stream> stream)
    : user_(&user), stream_(std::move(stream)), input_(input_bytes_min) {
  LS_MUST(stream_ != nullptr);
}

void Pipe::read_more() {
  if (closed() || !wants_reading_ || std::exchange(reading_, true)) return;
  stream_->async_read_some(input_, [self = shared_from_this()](std::error_code error, std::size_t bytes) {
    if (!self->closed()) self->on_read(error, bytes);
  });
}

void Pipe::set_reading(bool reading) {
  wants_reading_ = reading;
  read_more();
}

void Pipe::on_read(std::error_code error, std::size_t bytes) {
  if (error) return lose(error);
  LS_MUST(bytes <= input_.size());
  used_ = true;
  user_->on_bytes({input_.data(), bytes});
  if (closed()) return;
  fit_input(bytes);
  reading_ = false;
  read_more();
}

void Pipe::fit_input(std::size_t bytes) {
  if (bytes >= input_bytes_min) small_reads_ = 0;
  if (bytes == input_.size() && input_.size() < input_bytes_max) {
    input_ = std::vector<char>(input_bytes_max);
  } else if (bytes < input_bytes_min && input_.size() > input_bytes_min &&
             ++small_reads_ == small_reads_max) {
    input_ = std::vector<char>(input_bytes_min);
    small_reads_ = 0;
  }
}

void Pipe::flush() {
  early_bytes_ = 0;
  if (closed() || writing_) return;
  if (!framed_) {
    output_.clear();
    outputs_ = 0;
    producing_ = true;
    user_->produce(output_, output_bytes);
    producing_ = false;
    if (closed()) return;
    if (output_.empty()) return user_->on_nothing_to_write();
  }
  framed_ = stream_->held();
  if (framed_) return user_->on_held();
  write_output();
}

void Pipe::on_output(Output kind) {
  if (kind == Output::control || closed() || writing_ || producing_ || framed_) return;
  if (early_bytes_ > early_bytes_max || stream_->held()) return;
  if (++outputs_ < (kind == Output::message ? messages_per_write : calls_per_write)) return;
  output_.clear();
  if (!user_->produce_early(output_, early_bytes_max)) return;
  LS_MUST(!closed());
  outputs_ = 0;
  early_bytes_ += output_.size();
  if (!output_.empty()) write_output();
}

void Pipe::write_output() {
  used_ = true;
  written_ = stream_->write_now(output_);
  LS_MUST(written_ <= output_.size());
  written_bytes_ += written_;
  if (written_ == output_.size()) return user_->on_written();
  writing_ = true;
  write_rest();
}

void Pipe::write_rest() {
  const std::string_view rest = std::string_view(output_).substr(written_);
  stream_->async_write_some({&rest, 1},
                            [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                              if (!self->closed()) self->on_write(error, bytes);
                            });
}

void Pipe::on_write(std::error_code error, std::size_t bytes) {
  if (error) return lose(error);
  written_ += bytes;
  written_bytes_ += bytes;
  LS_MUST(written_ <= output_.size());
  if (written_ < output_.size()) return write_rest();
  writing_ = false;
  user_->on_written();
}

void Pipe::lose(std::error_code error) {
  PipeUser* user = user_;
  close();
  user->on_lost(error);
}

void Pipe::end_writes() {
  if (!closed()) stream_->end_writes();
}

void Pipe::close() {
  if (std::exchange(user_, nullptr) == nullptr) return;
  stream_->close();
}

void Pipe::trim() {
  if (std::exchange(used_, false) || writing_ || framed_) return;
  if (output_.capacity() > output_bytes_kept) std::string().swap(output_);
}

}  // namespace lockstep::rpc
