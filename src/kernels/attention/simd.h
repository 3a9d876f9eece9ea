// The vector body of kernels/attention: shared parts and the kernel for a few queries; many rows: simd_rows.h.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/simd/exp.h"

namespace paro {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr int kVecs = 16 / Vec::kLanes;  // vectors in 16 positions or 16 channels

void store_position(const KvHead& cache, int64_t position, const float* k, const float* v) {
  uint16_t* keys = cache.k + position / kKeyBlock * kKeyBlock * cache.head_dim + position % kKeyBlock;
  uint16_t* values = cache.v + position * padded_head_dim(cache.head_dim);
  const Vec limit = splat(65504.0f);
  const auto narrow = [&](Vec x, uint16_t* out) { store_f16(out, vmin(limit, vmax(zero() - limit, x))); };
  uint16_t row[Vec::kLanes];
  for (int64_t d = 0; d < cache.head_dim; d += Vec::kLanes) {
    const int64_t n = std::min<int64_t>(Vec::kLanes, cache.head_dim - d);
    if (n == Vec::kLanes) {
      narrow(load(k + d), row);
      narrow(load(v + d), values + d);
    } else {
      narrow(load_first(v + d, n), row);
      std::memcpy(values + d, row, static_cast<size_t>(n) * 2);
      narrow(load_first(k + d, n), row);
    }
    for (int64_t i = 0; i < n; ++i) keys[(d + i) * kKeyBlock] = row[i];
  }
}

/// Scores of kQueries queries with the 16 positions of each key block in [0, blocks). kSplit independent sums over
/// the channels hide the latency of the multiply-adds when there are few queries.
template <int kQueries, int kSplit>
void score_blocks(const float* q, int64_t head_dim, const uint16_t* keys, int64_t blocks, float* scores) {
  for (int64_t b = 0; b < blocks; ++b) {
    Vec sums[kSplit][kQueries][kVecs];
    for (auto& split : sums)
      for (auto& query : split)
        for (Vec& sum : query) sum = zero();
    const uint16_t* block = keys + b * kKeyBlock * head_dim;
    int64_t d = 0;
    for (; d + kSplit <= head_dim; d += kSplit) {
      for (int s = 0; s < kSplit; ++s) {
        Vec k[kVecs];
        for (int i = 0; i < kVecs; ++i) k[i] = load_f16(block + (d + s) * kKeyBlock + i * Vec::kLanes);
        for (int r = 0; r < kQueries; ++r) {
          const Vec a = splat(q[r * head_dim + d + s]);
          for (int i = 0; i < kVecs; ++i) sums[s][r][i] = fma(a, k[i], sums[s][r][i]);
        }
      }
    }
    for (; d < head_dim; ++d) {
      for (int r = 0; r < kQueries; ++r) {
        const Vec a = splat(q[r * head_dim + d]);
        for (int i = 0; i < kVecs; ++i)
          sums[0][r][i] = fma(a, load_f16(block + d * kKeyBlock + i * Vec::kLanes), sums[0][r][i]);
      }
    }
    for (int r = 0; r < kQueries; ++r) {
      for (int i = 0; i < kVecs; ++i) {
        Vec sum = sums[0][r][i];
        for (int s = 1; s < kSplit; ++s) sum = sum + sums[s][r][i];
        store(scores + r * kAttentionChunk + b * kKeyBlock + i * Vec::kLanes, sum);
      }
    }
  }
}

/// out[r][0 .. kWidth vectors) = sum_p weights[r][p] values[p] for p in [begin, end).
template <int kQueries, int kWidth>
inline void weigh_values(const float* weights, const uint16_t* values, int64_t stride, int64_t begin, int64_t end,
                         float* out) {
  Vec sums[kQueries][kWidth];
  for (auto& query : sums)
    for (Vec& sum : query) sum = zero();
  for (int64_t p = begin; p < end; ++p) {
    Vec a[kQueries];
    for (int r = 0; r < kQueries; ++r) a[r] = splat(weights[r * kAttentionChunk + p]);
    for (int i = 0; i < kWidth; ++i) {
      const Vec v = load_f16(values + p * stride + i * Vec::kLanes);
      for (int r = 0; r < kQueries; ++r) sums[r][i] = fma(a[r], v, sums[r][i]);
    }
  }
  for (int r = 0; r < kQueries; ++r)
    for (int i = 0; i < kWidth; ++i) store(out + r * stride + i * Vec::kLanes, sums[r][i]);
}

/// Turns scores[begin, end) into exp(s - max) in whole vectors (0 elsewhere) over [0, padded).
inline void soften(float* scores, int64_t begin, int64_t end, int64_t padded, float& max, float& sum) {
  Vec largest = splat(kNone);
  for (int64_t p = 0; p < padded; p += Vec::kLanes) {
    Vec s = load(scores + p);
    if (p < begin || p + Vec::kLanes > end) {
      s = keep_range(s, begin - p, end - p, kNone);
      store(scores + p, s);
    }
    largest = vmax(largest, s);
  }
  max = reduce_max(largest);
  if (max == kNone) {
    std::fill_n(scores, padded, 0.0f);
    sum = 0.0f;
    return;
  }
  Vec total = zero();
  for (int64_t p = 0; p < padded; p += Vec::kLanes) {
    const Vec weight = vexp(load(scores + p) - splat(max));
    store(scores + p, weight);
    total = total + weight;
  }
  sum = reduce_add(total);
}

/// kWidth: vectors of a value row that fit the registers beside the queries.
template <int kQueries, int kSplit, int kWidth>
void attend_queries(const AttentionChunk& chunk, int64_t query) {
  const int64_t head_dim = chunk.cache.head_dim;
  const int64_t stride = padded_head_dim(head_dim);
  const int64_t positions = chunk.end - chunk.begin;
  const int64_t blocks = (positions + kKeyBlock - 1) / kKeyBlock;
  float* scores = chunk.scores + query * kAttentionChunk;
  score_blocks<kQueries, kSplit>(chunk.q + query * head_dim, head_dim, chunk.cache.k + chunk.begin * head_dim, blocks,
                                 scores);
  int64_t seen_begin = positions;
  int64_t seen_end = 0;
  for (int r = 0; r < kQueries; ++r) {
    const int64_t begin = std::clamp<int64_t>(chunk.first[query + r] - chunk.begin, 0, positions);
    const int64_t end = std::clamp<int64_t>(chunk.last[query + r] + 1 - chunk.begin, 0, positions);
    soften(scores + r * kAttentionChunk, begin, end, blocks * kKeyBlock, chunk.max[query + r], chunk.sum[query + r]);
    if (begin >= end) continue;
    seen_begin = std::min(seen_begin, begin);
    seen_end = std::max(seen_end, end);
  }
  const uint16_t* values = chunk.cache.v + chunk.begin * stride;
  float* out = chunk.out + query * stride;
  int64_t d = 0;
  for (; d + kWidth * Vec::kLanes <= stride; d += kWidth * Vec::kLanes)
    weigh_values<kQueries, kWidth>(scores, values + d, stride, seen_begin, seen_end, out + d);
  for (; d < stride; d += Vec::kLanes)
    weigh_values<kQueries, 1>(scores, values + d, stride, seen_begin, seen_end, out + d);
}

void attend_chunk(const AttentionChunk& chunk) {
  constexpr bool kWide = Vec::kLanes == 16;
  int64_t query = 0;
  while (query < chunk.queries) {
    switch (std::min<int64_t>(chunk.queries - query, 4)) {
      case 1: attend_queries<1, kWide ? 8 : 4, kWide ? 4 : 8>(chunk, query), query += 1; break;
      case 2: attend_queries<2, kWide ? 4 : 2, kWide ? 4 : 4>(chunk, query), query += 2; break;
      case 3: attend_queries<3, kWide ? 3 : 1, kWide ? 4 : 4>(chunk, query), query += 3; break;
      default: attend_queries<4, kWide ? 2 : 1, kWide ? 4 : 2>(chunk, query), query += 4; break;
    }
  }
}

}  // namespace
}  // namespace paro

#include "kernels/attention/simd_rows.h"

namespace paro {
namespace {

constexpr AttentionKernels kSimdVariant{kVecIsa, store_position, attend_chunk, attend_rows};

}  // namespace
}  // namespace paro
