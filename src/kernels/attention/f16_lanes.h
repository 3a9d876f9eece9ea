// The attention kernels over a cache in f16. Included after a Vec of vec/*.h.
#pragma once

#include "kernels/attention/attention_lanes.h"

namespace paro {
namespace {

constexpr int64_t kF16Bytes = 2;

void store_f16_position(const KvHead& cache, int64_t position, const float* k, const float* v) {
  const F16Chunk chunk(cache, position / kAttentionChunk);
  position %= kAttentionChunk;
  uint16_t* keys = chunk.keys + position / kKeyBlock * kKeyBlock * cache.head_dim + position % kKeyBlock;
  uint16_t* values = chunk.values + position * padded_head_dim(cache.head_dim);
  const auto narrow = [](Vec::F x, uint16_t* out) { Vec::store_f16(out, within_f16(x)); };
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

/// Scores of kQueries queries with the 16 positions of each key block. kSplit independent sums over
/// the channels hide the latency of the multiply-adds when there are few queries.
template <int kQueries, int kSplit>
void score_blocks(const float* q, int64_t head_dim, const uint16_t* keys, int64_t blocks, const ReadAhead& ahead,
                  float* scores) {
  for (int64_t b = 0; b < blocks; ++b) {
    Vec::F sums[kSplit][kQueries][kVecs];
    for (auto& split : sums)
      for (auto& query : split)
        for (Vec::F& sum : query) sum = Vec::zero();
    const uint16_t* block = keys + b * kKeyBlock * head_dim;
    const int64_t distance = ahead.distance(block) / kF16Bytes;
    int64_t d = 0;
    for (; d + kSplit <= head_dim; d += kSplit) {
#pragma GCC unroll 8
      for (int s = 0; s < kSplit; ++s) {
        if (kSplit % 2 == 1 || s % 2 == 0) prefetch(block + (d + s) * kKeyBlock + distance);
        Vec::F k[kVecs];
        for (int i = 0; i < kVecs; ++i) k[i] = Vec::load_f16(block + (d + s) * kKeyBlock + i * Vec::kWidth);
#pragma GCC unroll 4
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
                         const ReadAhead& ahead, float* out) {
  Vec::F sums[kQueries][kWidth];
  for (auto& query : sums)
    for (Vec::F& sum : query) sum = Vec::zero();
  for (int64_t p = begin; p < end; ++p) {
    Vec::F a[kQueries];
    for (int r = 0; r < kQueries; ++r) a[r] = Vec::set1(weights[r * kAttentionChunk + p]);
    const int64_t distance = ahead.distance(values + p * stride) / kF16Bytes;
#pragma GCC unroll 8
    for (int i = 0; i < kWidth; ++i) {
      if (i * Vec::kWidth % 32 == 0) prefetch(values + p * stride + i * Vec::kWidth + distance);
      const Vec::F v = Vec::load_f16(values + p * stride + i * Vec::kWidth);
      for (int r = 0; r < kQueries; ++r) sums[r][i] = Vec::fma(a[r], v, sums[r][i]);
    }
  }
  for (int r = 0; r < kQueries; ++r)
    for (int i = 0; i < kWidth; ++i) Vec::store(out + r * stride + i * Vec::kWidth, sums[r][i]);
}

struct F16Format {
  static constexpr bool kWide = Vec::kWidth == 16;
  static constexpr int kMostQueries = 4;
  // Sums that hide the latency of the multiply-adds, in the registers that there are.
  static constexpr int kSplit[] = {0, kWide ? 8 : 4, kWide ? 4 : 2, kWide ? 3 : 1, kWide ? 2 : 1};
  // Vectors of a value row that fit the registers beside the queries.
  static constexpr int kWidth[] = {0, kWide ? 4 : 8, 4, 4, kWide ? 4 : 2};

  template <int kQueries>
  static void score(const AttentionChunk& a, int64_t query, int64_t begin, int64_t end, float* scores) {
    const int64_t head_dim = a.cache.head_dim;
    const F16Chunk chunk(a.cache, a.begin / kAttentionChunk);
    score_blocks<kQueries, kSplit[kQueries]>(a.q + query * head_dim, head_dim, chunk.keys + begin * head_dim,
                                             (end - begin) / kKeyBlock, ReadAhead(a, F16Chunk::bytes(head_dim)),
                                             scores + begin);
  }

  template <int kQueries>
  static void weigh(const AttentionChunk& a, int64_t query, int64_t begin, int64_t end, const float* scores) {
    const int64_t stride = padded_head_dim(a.cache.head_dim);
    const F16Chunk chunk(a.cache, a.begin / kAttentionChunk);
    const ReadAhead ahead(a, F16Chunk::bytes(a.cache.head_dim));
    float* out = a.out + query * stride;
    constexpr int kStep = kWidth[kQueries];
    int64_t d = 0;
    for (; d + kStep * Vec::kWidth <= stride; d += kStep * Vec::kWidth)
      weigh_values<kQueries, kStep>(scores, chunk.values + d, stride, begin, end, ahead, out + d);
    for (; d < stride; d += Vec::kWidth)
      weigh_values<kQueries, 1>(scores, chunk.values + d, stride, begin, end, ahead, out + d);
  }

  static void widen(const KvHead& cache, int64_t start, int64_t end, const RowsScratch& scratch) {
    const int64_t stride = padded_head_dim(cache.head_dim);
    const int64_t padded_end = (end - start + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
    const F16Chunk chunk(cache, start / kAttentionChunk);
    const int64_t offset = start % kAttentionChunk;
    const uint16_t* keys = chunk.keys + offset * cache.head_dim;
    for (int64_t i = 0; i < padded_end * cache.head_dim; i += Vec::kWidth)
      Vec::store(scratch.keys + i, Vec::load_f16(keys + i));
    for (int64_t p = 0; p < end - start; ++p) {
      const uint16_t* values = chunk.values + (offset + p) * stride;
      for (int64_t d = 0; d < stride; d += Vec::kWidth)
        Vec::store(scratch.values + d / 16 * 16 * kRowsBlock + p * 16 + d % 16, Vec::load_f16(values + d));
    }
  }
};

}  // namespace
}  // namespace paro
