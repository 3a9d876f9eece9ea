// For tests and benches: random 4-bit weights.
#pragma once

#include <random>
#include <vector>

#include "base/dtype.h"
#include "kernels/int4/int4.h"

namespace paro {

inline PackedInt4 random_int4(int64_t out, int64_t in, int64_t group_size, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> scale(0.001f, 0.1f);
  std::vector<uint8_t> codes(static_cast<size_t>(out * in));
  std::vector<uint8_t> zeros(static_cast<size_t>(out * in / group_size));
  std::vector<float> scales(zeros.size());
  for (uint8_t& code : codes) code = static_cast<uint8_t>(engine() >> 28);
  for (uint8_t& zero : zeros) zero = static_cast<uint8_t>(engine() >> 28);
  for (float& value : scales) value = f16_to_f32(f32_to_f16(scale(engine)));
  return pack_int4(codes.data(), zeros.data(), scales.data(), out, in, group_size);
}

}  // namespace paro
