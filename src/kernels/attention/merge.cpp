#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/attention/layout.h"

namespace paro {

int64_t attention_scratch(int64_t rows, int64_t head_dim) { return RowsScratch::floats(rows, head_dim); }

void merge_chunks(float* max, const float* sum, const float* partial, int64_t chunks, int64_t queries, int64_t head_dim,
                  float* const* out) {
  const int64_t stride = padded_head_dim(head_dim);
  for (int64_t i = 0; i < queries; ++i) {
    float largest = -std::numeric_limits<float>::infinity();
    for (int64_t c = 0; c < chunks; ++c) largest = std::max(largest, max[c * queries + i]);
    float total = 0.0f;
    for (int64_t c = 0; c < chunks; ++c) {
      float& weight = max[c * queries + i];
      weight = std::exp(weight - largest);
      total += weight * sum[c * queries + i];
    }
    const float factor = 1.0f / total;
    // Sixteen channels stay in registers while the chunks go by.
    for (int64_t begin = 0; begin < head_dim; begin += 16) {
      float sums[16] = {};
      for (int64_t c = 0; c < chunks; ++c) {
        const float weight = max[c * queries + i];
        const float* from = partial + (c * queries + i) * stride + begin;
        for (int64_t d = 0; d < 16; ++d) sums[d] += weight * from[d];
      }
      for (int64_t d = 0; d < std::min<int64_t>(16, head_dim - begin); ++d) out[i][begin + d] = sums[d] * factor;
    }
  }
}

}  // namespace paro
