#include <cmath>

#include "kernels/rms_norm/rms_norm.h"

namespace paro {
namespace {

void rms_norm(const float* x, const float* weight, float eps, int64_t dim, float* out) {
  double sum = 0.0;
  for (int64_t i = 0; i < dim; ++i) sum += static_cast<double>(x[i]) * x[i];
  const double factor = 1.0 / std::sqrt(sum / static_cast<double>(dim) + eps);
  for (int64_t i = 0; i < dim; ++i) out[i] = static_cast<float>(x[i] * factor * weight[i]);
}

void add_rms_norm(float* x, const float* y, const float* weight, float eps, int64_t dim, float* out) {
  for (int64_t i = 0; i < dim; ++i) x[i] += y[i];
  rms_norm(x, weight, eps, dim, out);
}

}  // namespace

constinit const NormKernels norm_reference{Isa::kReference, rms_norm, add_rms_norm};

}  // namespace paro
