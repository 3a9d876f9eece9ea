#include "calib/recording_ops.h"

#include "base/error.h"

namespace paro::calib {
namespace {

/// Unwinds the block once its target's input has been used.
struct Captured {};

}  // namespace

void RecordingOps::capture(const Linear& target, const std::function<void()>& block,
                           const std::function<void(Tensor)>& use) {
  target_ = &target;
  use_ = &use;
  bool caught = false;
  try {
    block();
  } catch (const Captured&) {
    caught = true;
  } catch (...) {
    target_ = nullptr;
    throw;
  }
  target_ = nullptr;
  PARO_CHECK(caught);
}

void RecordingOps::watch(std::span<const Linear* const> targets, const std::function<void()>& block,
                         const std::function<void(size_t target, Tensor x)>& use) {
  watched_ = targets;
  see_ = &use;
  try {
    block();
  } catch (...) {
    watched_ = {};
    throw;
  }
  watched_ = {};
}

Tensor RecordingOps::linear(Tensor x, const Linear& weight) {
  if (&weight == target_) {
    (*use_)(x);
    throw Captured{};
  }
  for (size_t i = 0; i < watched_.size(); ++i)
    if (&weight == watched_[i]) (*see_)(i, x);
  return inner_.linear(x, weight);
}

}  // namespace paro::calib
