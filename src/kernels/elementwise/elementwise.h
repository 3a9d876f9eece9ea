// Operations on each element: sum, gated activation, exponential.
#pragma once

#include <cstdint>
#include <span>

#include "base/cpu.h"

namespace paro {

struct ElementKernels {
  Isa isa;
  /// x += y.
  void (*add)(float* x, const float* y, int64_t n);
  /// out = gate / (1 + exp(-gate)) * up; out may be gate or up. Relative error below 6e-7 where gate >= -87.
  void (*silu_mul)(const float* gate, const float* up, float* out, int64_t n);
  /// out = exp(x): relative error below 2e-7 for -87.3 <= x <= 88; 0 below, exp(88) above; NaN stays.
  void (*exp)(const float* x, float* out, int64_t n);
};

extern const ElementKernels elementwise_reference, elementwise_avx2, elementwise_avx512, elementwise_neon;
std::span<const ElementKernels> elementwise_variants();

}  // namespace paro
