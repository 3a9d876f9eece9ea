#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "kernels/attention/attention.h"

namespace paro {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

uint16_t finite_f16(float value) { return f32_to_f16(std::clamp(value, -65504.0f, 65504.0f)); }

void store_position(const KvHead& cache, int64_t position, const float* k, const float* v) {
  uint16_t* keys = cache.k + position / kKeyBlock * kKeyBlock * cache.head_dim + position % kKeyBlock;
  uint16_t* values = cache.v + position * padded_head_dim(cache.head_dim);
  for (int64_t d = 0; d < cache.head_dim; ++d) {
    keys[d * kKeyBlock] = finite_f16(k[d]);
    values[d] = finite_f16(v[d]);
  }
}

float score(const KvHead& cache, const float* q, int64_t position) {
  const uint16_t* keys = cache.k + position / kKeyBlock * kKeyBlock * cache.head_dim + position % kKeyBlock;
  float sum = 0.0f;
  for (int64_t d = 0; d < cache.head_dim; ++d) sum += q[d] * f16_to_f32(keys[d * kKeyBlock]);
  return sum;
}

void attend_chunk(const AttentionChunk& chunk) {
  const int64_t stride = padded_head_dim(chunk.cache.head_dim);
  for (int64_t i = 0; i < chunk.queries; ++i) {
    const int64_t begin = std::max(chunk.begin, chunk.first[i]);
    const int64_t end = std::min(chunk.end, chunk.last[i] + 1);
    float* out = chunk.out + i * stride;
    std::fill_n(out, stride, 0.0f);
    float max = kNone;
    float sum = 0.0f;
    for (int64_t p = begin; p < end; ++p) {
      chunk.scores[p - chunk.begin] = score(chunk.cache, chunk.q + i * chunk.cache.head_dim, p);
      max = std::max(max, chunk.scores[p - chunk.begin]);
    }
    for (int64_t p = begin; p < end; ++p) {
      const float weight = std::exp(chunk.scores[p - chunk.begin] - max);
      sum += weight;
      for (int64_t d = 0; d < stride; ++d) out[d] += weight * f16_to_f32(chunk.cache.v[p * stride + d]);
    }
    chunk.max[i] = max;
    chunk.sum[i] = sum;
  }
}

void attend_rows(const AttentionRows& rows) {
  const int64_t head_dim = rows.cache.head_dim;
  const int64_t stride = padded_head_dim(head_dim);
  for (int64_t i = 0; i < rows.rows; ++i) {
    float* out = rows.out[i];
    std::fill_n(out, head_dim, 0.0f);
    float max = kNone;
    float sum = 0.0f;
    for (int64_t p = rows.first[i]; p <= rows.last[i]; ++p) {
      const float s = score(rows.cache, rows.q + i * head_dim, p);
      const float new_max = std::max(max, s);
      const float correction = std::exp(max - new_max);
      const float weight = std::exp(s - new_max);
      max = new_max;
      sum = sum * correction + weight;
      for (int64_t d = 0; d < head_dim; ++d)
        out[d] = out[d] * correction + weight * f16_to_f32(rows.cache.v[p * stride + d]);
    }
    for (int64_t d = 0; d < head_dim; ++d) out[d] /= sum;
  }
}

}  // namespace

constinit const AttentionKernels attention_reference{Isa::kReference, store_position, attend_chunk, attend_rows};

}  // namespace paro
