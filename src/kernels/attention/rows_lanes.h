// attend_rows; included by attention_lanes.h.
//
// For each block of positions: widen keys and values to f32; for each group of kRowGroup rows: scores (register-blocked
// product with the transposed keys), running softmax, out = out * correction + weights * values. Blocks begin at
// multiples of kRowsBlock and a position that a row does not see adds exactly 0, so a row's result depends neither on
// the rows beside it nor on how the work was cut.
#pragma once

#include <utility>

#include "kernels/attention/layout.h"

namespace paro {
namespace {

// Sums held in registers: 6 x 2 vectors of 8 (of 16 registers), 14 x 1 vectors of 16 (of 32).
constexpr int kRowGroup = Vec::kWidth == 8 ? 6 : 14;
static_assert(kRowGroup <= kMaxRowGroup);

/// scores[r][0 .. 16) = q[r] . keys, keys [head_dim][16].
template <int kRows>
void score_panel(const float* q, int64_t head_dim, const float* keys, float* scores) {
  Vec::F sums[kRows][kVecs];
  for (auto& row : sums)
    for (Vec::F& sum : row) sum = Vec::zero();
  for (int64_t d = 0; d < head_dim; ++d) {
    Vec::F k[kVecs];
    for (int i = 0; i < kVecs; ++i) k[i] = Vec::load(keys + d * kKeyBlock + i * Vec::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec::F a = Vec::set1(q[r * head_dim + d]);
      for (int i = 0; i < kVecs; ++i) sums[r][i] = Vec::fma(a, k[i], sums[r][i]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kVecs; ++i) Vec::store(scores + r * kRowsBlock + i * Vec::kWidth, sums[r][i]);
}

/// out[r][0 .. 16) = out[r] * correction[r] + sum_p weights[r][p] values[p], values [positions][16].
template <int kRows>
void value_panel(const float* weights, const float* values, int64_t begin, int64_t end, const float* correction,
                 float* out, int64_t stride) {
  Vec::F sums[kRows][kVecs];
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kVecs; ++i)
      sums[r][i] = Vec::mul(Vec::load(out + r * stride + i * Vec::kWidth), Vec::set1(correction[r]));
  for (int64_t p = begin; p < end; ++p) {
    Vec::F v[kVecs];
    for (int i = 0; i < kVecs; ++i) v[i] = Vec::load(values + p * 16 + i * Vec::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec::F a = Vec::set1(weights[r * kRowsBlock + p]);
      for (int i = 0; i < kVecs; ++i) sums[r][i] = Vec::fma(a, v[i], sums[r][i]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kVecs; ++i) Vec::store(out + r * stride + i * Vec::kWidth, sums[r][i]);
}

/// Masks scores[begin, end) of one row to [seen_begin, seen_end), updates its running maximum and sum, turns the scores
/// into weights; returns the factor of what was summed before.
inline float soften_block(float* scores, int64_t begin, int64_t end, int64_t seen_begin, int64_t seen_end, float& max,
                          float& sum) {
  Vec::F largest = Vec::set1(kNone);
  for (int64_t p = begin; p < end; p += Vec::kWidth) {
    Vec::F s = Vec::load(scores + p);
    if (p < seen_begin || p + Vec::kWidth > seen_end) {
      s = Vec::keep_range(s, seen_begin - p, seen_end - p, kNone);
      Vec::store(scores + p, s);
    }
    largest = Vec::max(largest, s);
  }
  const float new_max = std::max(max, Vec::max_lanes(largest));
  if (new_max == kNone) {
    std::fill(scores + begin, scores + end, 0.0f);
    return 1.0f;
  }
  float factors[Vec::kWidth];
  Vec::store(factors, exp(Vec::set1(max - new_max)));
  Vec::F total = Vec::zero();
  for (int64_t p = begin; p < end; p += Vec::kWidth) {
    const Vec::F weight = exp(Vec::sub(Vec::load(scores + p), Vec::set1(new_max)));
    Vec::store(scores + p, weight);
    total = Vec::add(total, weight);
  }
  max = new_max;
  sum = sum * factors[0] + Vec::sum(total);
  return factors[0];
}

/// One block of positions [start, end) for the kRows rows from `row` on.
template <int kRows>
void attend_group(const AttentionRows& a, const RowsScratch& scratch, int64_t row, int64_t start, int64_t end) {
  const int64_t head_dim = a.cache.head_dim;
  const int64_t stride = padded_head_dim(head_dim);
  const int64_t seen_begin = std::max(a.first[row], start) - start;
  const int64_t seen_end = std::min(a.last[row + kRows - 1] + 1, end) - start;
  if (seen_begin >= seen_end) return;
  const int64_t begin = seen_begin / kKeyBlock * kKeyBlock;
  const int64_t padded_end = (seen_end + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  for (int64_t p = begin; p < padded_end; p += kKeyBlock)
    score_panel<kRows>(a.q + row * head_dim, head_dim, scratch.keys + p * head_dim, scratch.scores + p);
  float correction[kRows];
  for (int r = 0; r < kRows; ++r)
    correction[r] =
        soften_block(scratch.scores + r * kRowsBlock, begin, padded_end, a.first[row + r] - start,
                     std::min(a.last[row + r] + 1, end) - start, scratch.max[row + r], scratch.sum[row + r]);
  for (int64_t d = 0; d < stride; d += 16)
    value_panel<kRows>(scratch.scores, scratch.values + d * kRowsBlock, seen_begin, seen_end, correction,
                       scratch.out + row * stride + d, stride);
}

using AttendGroup = void (*)(const AttentionRows&, const RowsScratch&, int64_t, int64_t, int64_t);
template <int... kIndex>
constexpr std::array<AttendGroup, kRowGroup + 1> group_kernels(std::integer_sequence<int, kIndex...>) {
  return {nullptr, attend_group<kIndex + 1>...};
}
constexpr auto kAttendGroup = group_kernels(std::make_integer_sequence<int, kRowGroup>());

template <typename Format>
void attend_rows(const AttentionRows& a) {
  const int64_t head_dim = a.cache.head_dim;
  const int64_t stride = padded_head_dim(head_dim);
  const RowsScratch scratch(a.scratch, a.rows, head_dim);
  std::fill_n(scratch.out, a.rows * stride, 0.0f);
  std::fill_n(scratch.max, a.rows, kNone);
  std::fill_n(scratch.sum, a.rows, 0.0f);
  const int64_t positions = a.last[a.rows - 1] + 1;
  for (int64_t start = a.first[0] / kRowsBlock * kRowsBlock; start < positions; start += kRowsBlock) {
    const int64_t end = std::min(start + kRowsBlock, positions);
    Format::widen(a.cache, start, end, scratch);
    for (int64_t row = 0; row < a.rows; row += kRowGroup)
      kAttendGroup[static_cast<size_t>(std::min<int64_t>(kRowGroup, a.rows - row))](a, scratch, row, start, end);
  }
  for (int64_t row = 0; row < a.rows; ++row) {
    const Vec::F factor = Vec::set1(1.0f / scratch.sum[row]);
    const float* from = scratch.out + row * stride;
    int64_t d = 0;
    for (; d + Vec::kWidth <= head_dim; d += Vec::kWidth)
      Vec::store(a.out[row] + d, Vec::mul(Vec::load(from + d), factor));
    if (d < head_dim) Vec::store_first(a.out[row] + d, Vec::mul(Vec::load(from + d), factor), head_dim - d);
  }
}

}  // namespace
}  // namespace paro
