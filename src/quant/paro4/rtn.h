// Round-to-nearest quantization into the ParoQuant layout: the baseline, and what tests quantize with.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/threads.h"
#include "quant/paro4/format.h"

namespace paro {

/// Scale (rounded to f16, at least 2^-24, the smallest) and zero point 0..15 of values in [min, max]; the range is
/// widened to contain 0: s = (max - min) / 15, z = clamp(round(-min / s), 0, 15).
std::pair<float, uint8_t> rtn_scale_zero(float min, float max);

/// w [out, in] f32 in the original basis: rotated, then rounded half to even per row and group.
/// Throws Error{kInput} when a value is not finite or a scale leaves f16.
Paro4Weight quantize_rtn(const float* w, int64_t out, int64_t in, int64_t group_size,
                         std::shared_ptr<const PairRotation> rotation, ThreadPool* pool = nullptr);

}  // namespace paro
