// Arrays of 16-bit floats to f32 and back: embedding rows, vectors of a checkpoint. Scalar conversions: base/dtype.h.
#pragma once

#include <cstdint>
#include <span>

#include "base/cpu.h"

namespace paro {

struct ConvertKernels {
  Isa isa;
  /// Exact. `n` elements; nothing needs more alignment than its element.
  void (*f16_to_f32)(const uint16_t* from, int64_t n, float* to);
  void (*bf16_to_f32)(const uint16_t* from, int64_t n, float* to);
  /// Round to nearest even; beyond 65504 (rounded) infinity.
  void (*f32_to_f16)(const float* from, int64_t n, uint16_t* to);
};

extern const ConvertKernels convert_reference, convert_avx2, convert_avx512, convert_neon;
std::span<const ConvertKernels> convert_variants();

}  // namespace paro
