// Root-mean-square norm of one row, alone or after a residual sum, in two steps: what reads the normalised row may do
// the second one itself, piece by piece.
#pragma once

#include <cstdint>
#include <span>

#include "base/cpu.h"

namespace paro {

struct NormKernels {
  Isa isa;
  /// 1 / sqrt(mean(x^2) + eps), x [dim]. Squares are summed in f32 lanes and the lanes in double: single activations
  /// 10^5 times the others lose nothing.
  float (*factor)(const float* x, float eps, int64_t dim);
  /// x += y, then the factor of x.
  float (*add_factor)(float* x, const float* y, float eps, int64_t dim);
  /// out = x * factor * weight, all [n]; out may be x.
  void (*scale)(const float* x, float factor, const float* weight, int64_t n, float* out);

  /// out = x / sqrt(mean(x^2) + eps) * weight, all [dim]; out may be x.
  void rms_norm(const float* x, const float* weight, float eps, int64_t dim, float* out) const {
    scale(x, factor(x, eps, dim), weight, dim, out);
  }
};

extern const NormKernels norm_reference, norm_avx2, norm_avx512, norm_neon;
std::span<const NormKernels> norm_variants();

}  // namespace paro
