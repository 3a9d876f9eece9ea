// Root-mean-square norm of one row, alone or after a residual sum.
#pragma once

#include <cstdint>
#include <span>

#include "base/cpu.h"

namespace paro {

struct NormKernels {
  Isa isa;
  /// out = x / sqrt(mean(x^2) + eps) * weight, all [dim]; out may be x. Squares are summed in f32 lanes and the lanes
  /// in double: single activations 10^5 times the others lose nothing.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t dim, float* out);
  /// x += y, then rms_norm of x.
  void (*add_rms_norm)(float* x, const float* y, const float* weight, float eps, int64_t dim, float* out);
};

extern const NormKernels norm_reference, norm_avx2, norm_avx512;
std::span<const NormKernels> norm_variants();

}  // namespace paro
