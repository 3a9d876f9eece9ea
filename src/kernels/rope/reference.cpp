#include "kernels/rope/rope.h"

namespace paro {
namespace {

void rotate(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const double a = x[i];
    const double b = x[i + half];
    x[i] = static_cast<float>(a * cos[i] - b * sin[i]);
    x[i + half] = static_cast<float>(b * cos[i] + a * sin[i]);
  }
}

}  // namespace

constinit const RopeKernels rope_reference{Isa::kReference, rotate};

}  // namespace paro
