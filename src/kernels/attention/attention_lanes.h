// The parts of the attention kernels that all formats of the cache share, for any vector type Vec of vec/*.h (included
// before this file, whose contents therefore have internal linkage too). A Format (f16_lanes.h, int8_lanes.h) has
//   kMostQueries: queries of one pass over a chunk, at most 4;
//   score<kQueries>(chunk, query, begin, end, scores): scores of the queries from `query` on with the positions
//     [begin, end) of the chunk, multiples of 16; scores [kQueries][kAttentionChunk];
//   weigh<kQueries>(chunk, query, begin, end, scores): chunk.out = scores (by now weights) times values;
//   widen(cache, start, end, scratch): keys and values of [start, end) in f32.
// attend_rows: rows_lanes.h.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/attention/layout.h"
#include "kernels/vec/exp.h"

namespace paro {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr int kVecs = 16 / Vec::kWidth;  // vectors in 16 positions or 16 channels
constexpr float kLargestF16 = 65504.0f;

inline Vec::F within_f16(Vec::F x) { return Vec::min(Vec::set1(kLargestF16), Vec::max(Vec::set1(-kLargestF16), x)); }

/// Turns scores[begin, end) into exp(s - max) in whole vectors (0 elsewhere) over [from, to).
inline void soften(float* scores, int64_t begin, int64_t end, int64_t from, int64_t to, float& max, float& sum) {
  Vec::F largest = Vec::set1(kNone);
  for (int64_t p = from; p < to; p += Vec::kWidth) {
    Vec::F s = Vec::load(scores + p);
    if (p < begin || p + Vec::kWidth > end) {
      s = Vec::keep_range(s, begin - p, end - p, kNone);
      Vec::store(scores + p, s);
    }
    largest = Vec::max(largest, s);
  }
  max = Vec::max_lanes(largest);
  if (max == kNone) {
    std::fill(scores + from, scores + to, 0.0f);
    sum = 0.0f;
    return;
  }
  Vec::F total = Vec::zero();
  for (int64_t p = from; p < to; p += Vec::kWidth) {
    const Vec::F weight = exp(Vec::sub(Vec::load(scores + p), Vec::set1(max)));
    Vec::store(scores + p, weight);
    total = Vec::add(total, weight);
  }
  sum = Vec::sum(total);
}

template <typename Format, int kQueries>
void attend_queries(const AttentionChunk& chunk, int64_t query) {
  const int64_t positions = chunk.end - chunk.begin;
  int64_t begin[kQueries];
  int64_t end[kQueries];
  int64_t seen_begin = positions;
  int64_t seen_end = 0;
  for (int r = 0; r < kQueries; ++r) {
    begin[r] = std::clamp<int64_t>(chunk.first[query + r] - chunk.begin, 0, positions);
    end[r] = std::clamp<int64_t>(chunk.last[query + r] + 1 - chunk.begin, 0, positions);
    if (begin[r] >= end[r]) continue;
    seen_begin = std::min(seen_begin, begin[r]);
    seen_end = std::max(seen_end, end[r]);
  }
  seen_begin = std::min(seen_begin, seen_end);
  const int64_t from = seen_begin / kKeyBlock * kKeyBlock;
  const int64_t to = (seen_end + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  float* scores = chunk.scores + query * kAttentionChunk;
  Format::template score<kQueries>(chunk, query, from, to, scores);
  for (int r = 0; r < kQueries; ++r)
    soften(scores + r * kAttentionChunk, begin[r], end[r], from, to, chunk.max[query + r], chunk.sum[query + r]);
  Format::template weigh<kQueries>(chunk, query, seen_begin, seen_end, scores);
}

/// The last queries, fewer than kMostQueries.
template <typename Format, int kQueries>
void attend_rest(const AttentionChunk& chunk, int64_t query) {
  if constexpr (kQueries > 0) {
    if (chunk.queries - query == kQueries)
      attend_queries<Format, kQueries>(chunk, query);
    else
      attend_rest<Format, kQueries - 1>(chunk, query);
  }
}

template <typename Format>
void attend_chunk(const AttentionChunk& chunk) {
  constexpr int kMost = Format::kMostQueries;
  int64_t query = 0;
  for (; query + kMost <= chunk.queries; query += kMost) attend_queries<Format, kMost>(chunk, query);
  attend_rest<Format, kMost - 1>(chunk, query);
}

}  // namespace
}  // namespace paro

#include "kernels/attention/rows_lanes.h"
