#include <algorithm>
#include <cmath>

#include "kernels/elementwise/elementwise.h"

namespace paro {
namespace {

void add(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void silu_mul(const float* gate, const float* up, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    out[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up[i]);
  }
}

void exponential(const float* x, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = x[i] < -87.3f ? 0.0f : static_cast<float>(std::exp(std::min(static_cast<double>(x[i]), 88.0)));
}

}  // namespace

constinit const ElementKernels elementwise_reference{Isa::kReference, add, silu_mul, exponential};

}  // namespace paro
