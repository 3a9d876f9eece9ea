// Rotary position embedding of one head.
#pragma once

#include <cstdint>
#include <span>

#include "base/cpu.h"

namespace paro {

struct RopeKernels {
  Isa isa;
  /// x[i], x[i + half] = x[i] cos[i] - x[i + half] sin[i], x[i + half] cos[i] + x[i] sin[i] for i < half, in place.
  void (*rotate)(float* x, const float* cos, const float* sin, int64_t half);
};

extern const RopeKernels rope_reference, rope_avx2, rope_avx512, rope_neon;
std::span<const RopeKernels> rope_variants();

}  // namespace paro
