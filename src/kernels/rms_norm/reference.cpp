#include <cmath>

#include "kernels/rms_norm/rms_norm.h"

namespace paro {
namespace {

float factor(const float* x, float eps, int64_t dim) {
  double sum = 0.0;
  for (int64_t i = 0; i < dim; ++i) sum += static_cast<double>(x[i]) * x[i];
  return static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(dim) + eps));
}

float add_factor(float* x, const float* y, float eps, int64_t dim) {
  for (int64_t i = 0; i < dim; ++i) x[i] += y[i];
  return factor(x, eps, dim);
}

void scale(const float* x, float row_factor, const float* weight, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * row_factor * weight[i];
}

}  // namespace

constinit const NormKernels norm_reference{Isa::kReference, factor, add_factor, scale};

}  // namespace paro
