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

Tensor RecordingOps::linear(Tensor x, const Linear& weight) {
  if (&weight == target_) {
    (*use_)(x);
    throw Captured{};
  }
  return inner_.linear(x, weight);
}

}  // namespace paro::calib
