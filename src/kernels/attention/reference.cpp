#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/layout.h"
#include "kernels/attention/variants.h"

namespace paro {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

float within_f16(float value) { return std::clamp(value, -65504.0f, 65504.0f); }

/// Channel d of the key and value at `position` of a chunk, and how they get there.
struct F16Format {
  static float key(const KvHead& cache, int64_t position, int64_t d) {
    const F16Chunk chunk(cache, position / kAttentionChunk);
    return f16_to_f32(chunk.keys[key_index(cache.head_dim, position % kAttentionChunk, d)]);
  }
  static float value(const KvHead& cache, int64_t position, int64_t d) {
    const F16Chunk chunk(cache, position / kAttentionChunk);
    return f16_to_f32(chunk.values[position % kAttentionChunk * padded_head_dim(cache.head_dim) + d]);
  }
  static void store_position(const KvHead& cache, int64_t position, const float* k, const float* v) {
    const F16Chunk chunk(cache, position / kAttentionChunk);
    const int64_t p = position % kAttentionChunk;
    for (int64_t d = 0; d < cache.head_dim; ++d) {
      chunk.keys[key_index(cache.head_dim, p, d)] = f32_to_f16(within_f16(k[d]));
      chunk.values[p * padded_head_dim(cache.head_dim) + d] = f32_to_f16(within_f16(v[d]));
    }
  }

 private:
  static int64_t key_index(int64_t head_dim, int64_t p, int64_t d) {
    return (p / kKeyBlock * head_dim + d) * kKeyBlock + p % kKeyBlock;
  }
};

struct Int8Format {
  static float key(const KvHead& cache, int64_t position, int64_t d) {
    const Int8Chunk chunk(cache, position / kAttentionChunk);
    const int64_t p = position % kAttentionChunk;
    return static_cast<float>(*chunk.key(p, d) - kByteZero) *
           f16_to_f32(chunk.key_scales[d / kKeyGroup * kAttentionChunk + p]);
  }
  static float value(const KvHead& cache, int64_t position, int64_t d) {
    const Int8Chunk chunk(cache, position / kAttentionChunk);
    const int64_t p = position % kAttentionChunk;
    return static_cast<float>(*chunk.value(p, d) - kByteZero) * f16_to_f32(chunk.value_scales[p]);
  }
  static void store_position(const KvHead& cache, int64_t position, const float* k, const float* v) {
    const Int8Chunk chunk(cache, position / kAttentionChunk);
    const int64_t p = position % kAttentionChunk;
    for (int64_t d = 0; d < cache.head_dim; d += kKeyGroup)
      chunk.key_scales[d / kKeyGroup * kAttentionChunk + p] =
          round(k + d, std::min(kKeyGroup, cache.head_dim - d), [&](int64_t i) { return chunk.key(p, d + i); });
    for (int64_t d = cache.head_dim; d < chunk.key_steps * kTileDepth; ++d) *chunk.key(p, d) = kByteZero;
    chunk.value_scales[p] = round(v, cache.head_dim, [&](int64_t d) { return chunk.value(p, d); });
  }

 private:
  template <typename ByteAt>
  static uint16_t round(const float* x, int64_t n, const ByteAt& byte_at) {
    float largest = 0.0f;
    for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(within_f16(x[i])));
    const uint16_t scale = f32_to_f16(largest / 127.0f);
    const float inverse = f16_to_f32(scale) > 0.0f ? 1.0f / f16_to_f32(scale) : 0.0f;
    for (int64_t i = 0; i < n; ++i) {
      const float steps = std::clamp(within_f16(x[i]) * inverse, -127.0f, 127.0f);
      *byte_at(i) = static_cast<uint8_t>(static_cast<int>(std::nearbyint(steps)) + kByteZero);
    }
    return scale;
  }
};

template <typename Format>
float score(const KvHead& cache, const float* q, int64_t position) {
  float sum = 0.0f;
  for (int64_t d = 0; d < cache.head_dim; ++d) sum += q[d] * Format::key(cache, position, d);
  return sum;
}

template <typename Format>
void attend_chunk(const AttentionChunk& chunk) {
  const int64_t head_dim = chunk.cache.head_dim;
  const int64_t stride = padded_head_dim(head_dim);
  for (int64_t i = 0; i < chunk.queries; ++i) {
    const int64_t begin = std::max(chunk.begin, chunk.first[i]);
    const int64_t end = std::min(chunk.end, chunk.last[i] + 1);
    float* out = chunk.out + i * stride;
    std::fill_n(out, stride, 0.0f);
    float max = kNone;
    float sum = 0.0f;
    for (int64_t p = begin; p < end; ++p) {
      chunk.scores[p - chunk.begin] = score<Format>(chunk.cache, chunk.q + i * head_dim, p);
      max = std::max(max, chunk.scores[p - chunk.begin]);
    }
    for (int64_t p = begin; p < end; ++p) {
      const float weight = std::exp(chunk.scores[p - chunk.begin] - max);
      sum += weight;
      for (int64_t d = 0; d < head_dim; ++d) out[d] += weight * Format::value(chunk.cache, p, d);
    }
    chunk.max[i] = max;
    chunk.sum[i] = sum;
  }
}

template <typename Format>
void attend_rows(const AttentionRows& rows) {
  const int64_t head_dim = rows.cache.head_dim;
  for (int64_t i = 0; i < rows.rows; ++i) {
    float* out = rows.out[i];
    std::fill_n(out, head_dim, 0.0f);
    float max = kNone;
    float sum = 0.0f;
    for (int64_t p = rows.first[i]; p <= rows.last[i]; ++p) {
      const float s = score<Format>(rows.cache, rows.q + i * head_dim, p);
      const float new_max = std::max(max, s);
      const float correction = std::exp(max - new_max);
      const float weight = std::exp(s - new_max);
      max = new_max;
      sum = sum * correction + weight;
      for (int64_t d = 0; d < head_dim; ++d) out[d] = out[d] * correction + weight * Format::value(rows.cache, p, d);
    }
    for (int64_t d = 0; d < head_dim; ++d) out[d] /= sum;
  }
}

}  // namespace

constinit const AttentionKernels attention_reference{Isa::kReference, KvBits::k16, F16Format::store_position,
                                                     attend_chunk<F16Format>, attend_rows<F16Format>};
constinit const AttentionKernels attention_int8_reference{Isa::kReference, KvBits::k8, Int8Format::store_position,
                                                          attend_chunk<Int8Format>, attend_rows<Int8Format>};

}  // namespace paro
