// The attention kernels for any vector type Vec of vec/*.h (included before this file, whose contents therefore have
// internal linkage too): shared parts and the kernel for a few queries; many rows: rows_lanes.h.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/vec/exp.h"

namespace paro {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr int kVecs = 16 / Vec::kWidth;  // vectors in 16 positions or 16 channels

void store_position(const KvHead& cache, int64_t position, const float* k, const float* v) {
  uint16_t* keys = cache.k + position / kKeyBlock * kKeyBlock * cache.head_dim + position % kKeyBlock;
  uint16_t* values = cache.v + position * padded_head_dim(cache.head_dim);
  const Vec::F limit = Vec::set1(65504.0f);
  const Vec::F lowest = Vec::set1(-65504.0f);
  const auto narrow = [&](Vec::F x, uint16_t* out) { Vec::store_f16(out, Vec::min(limit, Vec::max(lowest, x))); };
  uint16_t row[Vec::kWidth];
  for (int64_t d = 0; d < cache.head_dim; d += Vec::kWidth) {
    const int64_t n = std::min<int64_t>(Vec::kWidth, cache.head_dim - d);
    if (n == Vec::kWidth) {
      narrow(Vec::load(k + d), row);
      narrow(Vec::load(v + d), values + d);
    } else {
      narrow(Vec::load_first(v + d, n), row);
      std::memcpy(values + d, row, static_cast<size_t>(n) * 2);
      narrow(Vec::load_first(k + d, n), row);
    }
    for (int64_t i = 0; i < n; ++i) keys[(d + i) * kKeyBlock] = row[i];
  }
}

/// Scores of kQueries queries with the 16 positions of each key block in [0, blocks). kSplit independent sums over
/// the channels hide the latency of the multiply-adds when there are few queries.
template <int kQueries, int kSplit>
void score_blocks(const float* q, int64_t head_dim, const uint16_t* keys, int64_t blocks, float* scores) {
  for (int64_t b = 0; b < blocks; ++b) {
    Vec::F sums[kSplit][kQueries][kVecs];
    for (auto& split : sums)
      for (auto& query : split)
        for (Vec::F& sum : query) sum = Vec::zero();
    const uint16_t* block = keys + b * kKeyBlock * head_dim;
    int64_t d = 0;
    for (; d + kSplit <= head_dim; d += kSplit) {
      for (int s = 0; s < kSplit; ++s) {
        Vec::F k[kVecs];
        for (int i = 0; i < kVecs; ++i) k[i] = Vec::load_f16(block + (d + s) * kKeyBlock + i * Vec::kWidth);
        for (int r = 0; r < kQueries; ++r) {
          const Vec::F a = Vec::set1(q[r * head_dim + d + s]);
          for (int i = 0; i < kVecs; ++i) sums[s][r][i] = Vec::fma(a, k[i], sums[s][r][i]);
        }
      }
    }
    for (; d < head_dim; ++d) {
      for (int r = 0; r < kQueries; ++r) {
        const Vec::F a = Vec::set1(q[r * head_dim + d]);
        for (int i = 0; i < kVecs; ++i)
          sums[0][r][i] = Vec::fma(a, Vec::load_f16(block + d * kKeyBlock + i * Vec::kWidth), sums[0][r][i]);
      }
    }
    for (int r = 0; r < kQueries; ++r) {
      for (int i = 0; i < kVecs; ++i) {
        Vec::F sum = sums[0][r][i];
        for (int s = 1; s < kSplit; ++s) sum = Vec::add(sum, sums[s][r][i]);
        Vec::store(scores + r * kAttentionChunk + b * kKeyBlock + i * Vec::kWidth, sum);
      }
    }
  }
}

/// out[r][0 .. kWidth vectors) = sum_p weights[r][p] values[p] for p in [begin, end).
template <int kQueries, int kWidth>
inline void weigh_values(const float* weights, const uint16_t* values, int64_t stride, int64_t begin, int64_t end,
                         float* out) {
  Vec::F sums[kQueries][kWidth];
  for (auto& query : sums)
    for (Vec::F& sum : query) sum = Vec::zero();
  for (int64_t p = begin; p < end; ++p) {
    Vec::F a[kQueries];
    for (int r = 0; r < kQueries; ++r) a[r] = Vec::set1(weights[r * kAttentionChunk + p]);
    for (int i = 0; i < kWidth; ++i) {
      const Vec::F v = Vec::load_f16(values + p * stride + i * Vec::kWidth);
      for (int r = 0; r < kQueries; ++r) sums[r][i] = Vec::fma(a[r], v, sums[r][i]);
    }
  }
  for (int r = 0; r < kQueries; ++r)
    for (int i = 0; i < kWidth; ++i) Vec::store(out + r * stride + i * Vec::kWidth, sums[r][i]);
}

/// Turns scores[begin, end) into exp(s - max) in whole vectors (0 elsewhere) over [0, padded).
inline void soften(float* scores, int64_t begin, int64_t end, int64_t padded, float& max, float& sum) {
  Vec::F largest = Vec::set1(kNone);
  for (int64_t p = 0; p < padded; p += Vec::kWidth) {
    Vec::F s = Vec::load(scores + p);
    if (p < begin || p + Vec::kWidth > end) {
      s = Vec::keep_range(s, begin - p, end - p, kNone);
      Vec::store(scores + p, s);
    }
    largest = Vec::max(largest, s);
  }
  max = Vec::max_lanes(largest);
  if (max == kNone) {
    std::fill_n(scores, padded, 0.0f);
    sum = 0.0f;
    return;
  }
  Vec::F total = Vec::zero();
  for (int64_t p = 0; p < padded; p += Vec::kWidth) {
    const Vec::F weight = exp(Vec::sub(Vec::load(scores + p), Vec::set1(max)));
    Vec::store(scores + p, weight);
    total = Vec::add(total, weight);
  }
  sum = Vec::sum(total);
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
  for (; d + kWidth * Vec::kWidth <= stride; d += kWidth * Vec::kWidth)
    weigh_values<kQueries, kWidth>(scores, values + d, stride, seen_begin, seen_end, out + d);
  for (; d < stride; d += Vec::kWidth)
    weigh_values<kQueries, 1>(scores, values + d, stride, seen_begin, seen_end, out + d);
}

void attend_chunk(const AttentionChunk& chunk) {
  constexpr bool kWide = Vec::kWidth == 16;
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

#include "kernels/attention/rows_lanes.h"
