// f32 products with outputs in the lanes, for any Vec of vec/*.h (included before this file): a panel
// [depth][outputs] of the weight is made in L1 by the caller's functor and shared by many rows. Depths are added in
// order with FMA, so a result depends neither on the number of rows nor on threads.
#pragma once

#include <cstdint>

namespace paro {
namespace {

constexpr int kPanelVectors = 2;  // of outputs
constexpr int kPanelOutputs = kPanelVectors * Vec::kWidth;
constexpr int kPanelRows = Vec::kWidth == 8 ? 6 : 12;     // rows in registers
constexpr int kPanelChunk = Vec::kWidth == 8 ? 96 : 192;  // rows that share a panel
constexpr int kPanelDepth = 128;                          // largest

// sums [kRows][kPanelOutputs] += x [kRows][depth] panel [depth][kPanelOutputs]
template <int kRows>
inline void panel_block(const float* x, int64_t depth, const float* panel, float* sums) {
  Vec::F acc[kRows][kPanelVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kPanelVectors; ++v) acc[r][v] = Vec::load(sums + r * kPanelOutputs + v * Vec::kWidth);
  for (int64_t k = 0; k < depth; ++k) {
    Vec::F w[kPanelVectors];
    for (int v = 0; v < kPanelVectors; ++v) w[v] = Vec::load(panel + k * kPanelOutputs + v * Vec::kWidth);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const Vec::F value = Vec::set1(x[r * depth + k]);
      for (int v = 0; v < kPanelVectors; ++v) acc[r][v] = Vec::fma(w[v], value, acc[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kPanelVectors; ++v) Vec::store(sums + r * kPanelOutputs + v * Vec::kWidth, acc[r][v]);
}

template <int kRows>
inline void panel_rest(int64_t rows, const float* x, int64_t depth, const float* panel, float* sums) {
  if constexpr (kRows > 0) {
    if (rows == kRows)
      panel_block<kRows>(x, depth, panel, sums);
    else
      panel_rest<kRows - 1>(rows, x, depth, panel, sums);
  }
}

inline void store_outputs(const float* sums, int64_t count, const float* bias, float* y) {
  if (count == kPanelOutputs && bias == nullptr) {
    for (int v = 0; v < kPanelVectors; ++v) Vec::store(y + v * Vec::kWidth, Vec::load(sums + v * Vec::kWidth));
    return;
  }
  for (int64_t o = 0; o < count; ++o) y[o] = bias == nullptr ? sums[o] : sums[o] + bias[o];
}

// y [rows, out] for rows [row_begin, row_end) and outputs [out_begin, out_end), out_begin a multiple of
// kPanelOutputs. x [blocks of `depth`][rows][depth], the last block shorter. make_panel(output, begin, depth, panel)
// fills panel [depth][kPanelOutputs] for outputs from `output` (those >= out: anything finite). bias [out], or
// [rows, out] with a stride between rows.
template <typename MakePanel>
inline void multiply_panels(const float* x, int64_t in, int64_t block, int64_t rows, int64_t row_begin, int64_t row_end,
                            int64_t out, int64_t out_begin, int64_t out_end, const float* bias, float* y,
                            const MakePanel& make_panel, int64_t bias_stride = 0) {
  alignas(64) float panel[kPanelDepth * kPanelOutputs];
  alignas(64) float sums[kPanelChunk * kPanelOutputs];
  for (int64_t row = row_begin; row < row_end; row += kPanelChunk) {
    const int64_t count = row_end - row < kPanelChunk ? row_end - row : kPanelChunk;
    for (int64_t output = out_begin; output < out_end; output += kPanelOutputs) {
      __builtin_memset(sums, 0, static_cast<size_t>(count) * kPanelOutputs * sizeof(float));
      for (int64_t begin = 0; begin < in; begin += block) {
        const int64_t depth = in - begin < block ? in - begin : block;
        make_panel(output, begin, depth, panel);
        const float* rows_x = x + begin * rows + row * depth;
        int64_t r = 0;
        for (; r + kPanelRows <= count; r += kPanelRows)
          panel_block<kPanelRows>(rows_x + r * depth, depth, panel, sums + r * kPanelOutputs);
        panel_rest<kPanelRows - 1>(count - r, rows_x + r * depth, depth, panel, sums + r * kPanelOutputs);
      }
      const int64_t outputs = out_end - output < kPanelOutputs ? out_end - output : kPanelOutputs;
      for (int64_t r = 0; r < count; ++r)
        store_outputs(sums + r * kPanelOutputs, outputs,
                      bias == nullptr ? nullptr : bias + (row + r) * bias_stride + output,
                      y + (row + r) * out + output);
    }
  }
}

}  // namespace
}  // namespace paro
