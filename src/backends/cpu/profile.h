// Time and bytes of each operation, cheap when off.
#pragma once

#include <chrono>
#include <string_view>
#include <vector>

#include "backends/cpu/cpu_ops.h"

namespace paro {

class Profiler {
 public:
  explicit Profiler(bool on) : on_(on) {}

  /// Counts from its making to its end.
  class Timer {
   public:
    Timer(Profiler& profiler, std::string_view name, int64_t bytes)
        : profiler_(profiler.on_ ? &profiler : nullptr), name_(name), bytes_(bytes) {
      if (profiler_ != nullptr) start_ = std::chrono::steady_clock::now();
    }
    ~Timer() {
      if (profiler_ != nullptr) profiler_->record(name_, bytes_, std::chrono::steady_clock::now() - start_);
    }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

   private:
    Profiler* profiler_;
    std::string_view name_;
    int64_t bytes_;
    std::chrono::steady_clock::time_point start_;
  };

  bool on() const { return on_; }
  const std::vector<OpProfile>& operations() const { return operations_; }
  void reset() { operations_.clear(); }

 private:
  void record(std::string_view name, int64_t bytes, std::chrono::duration<double> time) {
    for (OpProfile& operation : operations_) {
      if (operation.name != name) continue;
      operation.calls += 1;
      operation.seconds += time.count();
      operation.bytes += bytes;
      return;
    }
    operations_.push_back({std::string(name), 1, time.count(), bytes});
  }

  bool on_;
  std::vector<OpProfile> operations_;
};

}  // namespace paro
