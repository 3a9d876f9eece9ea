// Time and work of each operation, cheap when off.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/cpu/cpu_ops.h"

namespace paro {

class Profiler {
 public:
  explicit Profiler(bool on) : on_(on) {}

  /// Counts from its making to its end.
  class Timer {
   public:
    /// `detail` tells apart operations of one name; both must live as long as the timer.
    Timer(Profiler& profiler, std::string_view name, const OpWork& work = {}, std::string_view detail = {})
        : profiler_(profiler.on_ ? &profiler : nullptr), name_(name), detail_(detail), work_(work) {
      if (profiler_ != nullptr) start_ = std::chrono::steady_clock::now();
    }
    ~Timer() {
      if (profiler_ != nullptr) profiler_->record(*this, std::chrono::steady_clock::now() - start_);
    }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

   private:
    friend class Profiler;
    Profiler* profiler_;
    std::string_view name_;
    std::string_view detail_;
    OpWork work_;
    std::chrono::steady_clock::time_point start_;
  };

  bool on() const { return on_; }
  const std::vector<OpProfile>& operations() const { return operations_; }
  void reset() { operations_.clear(); }

 private:
  static bool is_named(const std::string& name, const Timer& timer) {
    const std::string_view whole = name;
    if (timer.detail_.empty()) return whole == timer.name_;
    return whole.size() == timer.name_.size() + 1 + timer.detail_.size() && whole.starts_with(timer.name_) &&
           whole.ends_with(timer.detail_);
  }

  void record(const Timer& timer, std::chrono::duration<double> time) {
    auto place = std::find_if(operations_.begin(), operations_.end(),
                              [&](const OpProfile& operation) { return is_named(operation.name, timer); });
    if (place == operations_.end()) {
      std::string name(timer.name_);
      if (!timer.detail_.empty()) name.append(" ").append(timer.detail_);
      place = operations_.insert(place, {std::move(name), 0, 0.0, {}});
    }
    place->calls += 1;
    place->seconds += time.count();
    place->work.bytes += timer.work_.bytes;
    place->work.int8_macs += timer.work_.int8_macs;
    place->work.f32_macs += timer.work_.f32_macs;
  }

  bool on_;
  std::vector<OpProfile> operations_;
};

/// The part of a linear's name that says what it does in its layer: "q" of "model.layers.3.self_attn.q_proj"; "head" of
/// the output head and of the embedding that stands in for it.
inline std::string_view linear_role(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot != std::string_view::npos) name.remove_prefix(dot + 1);
  if (name == "lm_head" || name == "embed_tokens") return "head";
  if (name.ends_with("_proj")) name.remove_suffix(5);
  return name;
}

}  // namespace paro
