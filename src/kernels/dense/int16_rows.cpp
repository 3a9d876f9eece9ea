#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/dense/dense.h"

namespace paro {

void round_to_int16(const float* x, int64_t rows, int64_t in, int16_t* q, float* scales) {
  const auto limit =
      static_cast<float>(std::clamp<int64_t>(std::numeric_limits<int32_t>::max() / (127 * in) - 1, 1, 32767));
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * in;
    float largest = 0.0f;
    bool finite = true;
    for (int64_t i = 0; i < in; ++i) {
      largest = std::max(largest, std::abs(row[i]));
      finite = finite && std::abs(row[i]) <= std::numeric_limits<float>::max();
    }
    // Rows so small that the reciprocal would overflow are zeros.
    const float inverse = finite && largest > 0x1p-100f ? limit / largest : 0.0f;
    for (int64_t i = 0; i < in; ++i)
      q[r * in + i] = finite ? static_cast<int16_t>(std::nearbyint(row[i] * inverse)) : int16_t{0};
    scales[r] = finite ? largest / limit : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace paro
