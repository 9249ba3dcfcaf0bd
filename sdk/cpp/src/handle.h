// Handle<T>: held by the program on any thread, what it names lives on the client's strand and is destroyed
// there: when the handle is destroyed, or when the client is closed.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "runtime.h"

namespace lockstep::v1::detail {

template <class T>
class Handle {
 public:
  // On the strand.
  Handle(std::shared_ptr<Runtime> runtime, std::shared_ptr<T> thing)
      : runtime_(std::move(runtime)), number_(runtime_->keep(std::move(thing))) {}
  Handle(Handle&&) noexcept = default;
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (runtime_ == nullptr) return;
    runtime_->post([runtime = runtime_, number = number_] { runtime->drop(number); });
  }

  // On the strand. Null: the client is closed.
  [[nodiscard]] std::shared_ptr<T> here() const {
    return std::static_pointer_cast<T>(runtime_->kept(number_));
  }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] const std::shared_ptr<Runtime>& runtime() const { return runtime_; }

 private:
  std::shared_ptr<Runtime> runtime_;
  std::uint64_t number_;
};

}  // namespace lockstep::v1::detail
