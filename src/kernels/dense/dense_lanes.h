// The dense kernels for any vector type Vec of vec/*.h (included before this file, whose contents therefore have
// internal linkage too).
#pragma once

#include "kernels/dense/dense.h"
#include "kernels/vec/sgemm_tiles.h"

namespace paro {
namespace {

constexpr int kBlock = static_cast<int>(kDenseBlock);
constexpr int64_t kAhead = 6144;  // bytes to prefetch ahead; rows follow each other in memory
static_assert(kBlock <= kPanelDepth);

template <DType kType>
struct Elements;
template <>
struct Elements<DType::kF16> {
  static constexpr int kSize = 2;
  static Vec::F load(const std::byte* p) { return Vec::load_f16(p); }
};
template <>
struct Elements<DType::kBF16> {
  static constexpr int kSize = 2;
  static Vec::F load(const std::byte* p) { return Vec::load_bf16(p); }
};
template <>
struct Elements<DType::kI8> {
  static constexpr int kSize = 1;
  static Vec::F load(const std::byte* p) { return Vec::load_i8(p); }
};
template <>
struct Elements<DType::kF32> {
  static constexpr int kSize = 4;
  static Vec::F load(const std::byte* p) { return Vec::load_f32(p); }
};

// The last n < kWidth elements of a row, zeros after them: nothing beyond the weight's memory is touched.
template <DType kType>
inline Vec::F load_rest(const std::byte* p, int64_t n) {
  alignas(64) std::byte copy[Vec::kWidth * 4] = {};
  __builtin_memcpy(copy, p, static_cast<size_t>(n * Elements<kType>::kSize));
  return Elements<kType>::load(copy);
}

// kRows rows of x times kOutputs rows of the weight, whole depth.
template <DType kType, int kRows, int kOutputs>
inline void dot_block(const DenseWeight& w, const float* x, int64_t row, int64_t output, const float* bias, float* y) {
  constexpr int size = Elements<kType>::kSize;
  const std::byte* from = w.data + output * w.in * size;
  const int64_t whole = w.in / Vec::kWidth * Vec::kWidth;
  Vec::F acc[kRows][kOutputs];
  for (int r = 0; r < kRows; ++r)
    for (int o = 0; o < kOutputs; ++o) acc[r][o] = Vec::zero();
  for (int64_t i = 0; i < whole; i += Vec::kWidth) {
    Vec::F b[kOutputs];
    for (int o = 0; o < kOutputs; ++o) {
      const std::byte* at = from + (o * w.in + i) * size;
      __builtin_prefetch(at + kAhead);
      b[o] = Elements<kType>::load(at);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Vec::F a = Vec::load(x + (row + r) * w.in + i);
      for (int o = 0; o < kOutputs; ++o) acc[r][o] = Vec::fma(b[o], a, acc[r][o]);
    }
  }
  if (whole < w.in) {
    const int rest = static_cast<int>(w.in - whole);
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      const Vec::F b = load_rest<kType>(from + (o * w.in + whole) * size, rest);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        acc[r][o] = Vec::fma(b, Vec::load_first(x + (row + r) * w.in + whole, rest), acc[r][o]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      const float sum = Vec::sum(acc[r][o]);
      y[(row + r) * w.out + output + o] = bias == nullptr ? sum : sum + bias[output + o];
    }
  }
}

template <DType kType, int kRows, int kOutputs>
inline void dot_outputs(const DenseWeight& w, const float* x, int64_t row, int64_t out_begin, int64_t out_end,
                        const float* bias, float* y) {
  int64_t o = out_begin;
  for (; o + kOutputs <= out_end; o += kOutputs) dot_block<kType, kRows, kOutputs>(w, x, row, o, bias, y);
  for (; o < out_end; ++o) dot_block<kType, kRows, 1>(w, x, row, o, bias, y);
}

// Blocks of outputs small enough to stay in L1 while the next rows use them again.
template <DType kType>
inline void few_rows_typed(const DenseWeight& w, const float* x, int64_t rows, int64_t out_begin, int64_t out_end,
                           const float* bias, float* y) {
  constexpr int64_t outputs = 4;
  for (int64_t o = out_begin; o < out_end; o += outputs) {
    const int64_t end = o + outputs < out_end ? o + outputs : out_end;
    int64_t row = 0;
    for (; row + 3 <= rows; row += 3) dot_outputs<kType, 3, 4>(w, x, row, o, end, bias, y);
    if (rows - row == 2) dot_outputs<kType, 2, 4>(w, x, row, o, end, bias, y);
    if (rows - row == 1) dot_outputs<kType, 1, 4>(w, x, row, o, end, bias, y);
  }
}

template <DType kType>
inline void many_rows_typed(const DenseWeight& w, const float* x, int64_t rows, int64_t row_begin, int64_t row_end,
                            int64_t out_begin, int64_t out_end, const float* bias, float* y) {
  constexpr int size = Elements<kType>::kSize;
  const auto make_panel = [&](int64_t output, int64_t begin, int64_t depth, float* panel) {
    alignas(64) float lines[kPanelOutputs][kBlock];
    const int64_t whole = depth / Vec::kWidth * Vec::kWidth;
    for (int64_t o = 0; o < kPanelOutputs; ++o) {
      const int64_t row = output + o < w.out ? output + o : w.out - 1;
      const std::byte* from = w.data + (row * w.in + begin) * size;
      const auto put = [&](int64_t i, Vec::F v) {
        if constexpr (kType == DType::kI8) v = Vec::mul(v, Vec::set1(w.scales[row]));
        Vec::store(lines[o] + i, v);
      };
      for (int64_t i = 0; i < whole; i += Vec::kWidth) put(i, Elements<kType>::load(from + i * size));
      if (whole < depth) put(whole, load_rest<kType>(from + whole * size, depth - whole));
    }
    const float* pointers[Vec::kWidth];
    int64_t i = 0;
    for (; i + 8 <= depth; i += 8) {
      for (int v = 0; v < kPanelVectors; ++v) {
        alignas(64) float tile[8 * Vec::kWidth];
        for (int l = 0; l < Vec::kWidth; ++l) pointers[l] = lines[v * Vec::kWidth + l] + i;
        Vec::load_transposed(pointers, nullptr, tile);
        for (int k = 0; k < 8; ++k)
          Vec::store(panel + (i + k) * kPanelOutputs + v * Vec::kWidth, Vec::load(tile + k * Vec::kWidth));
      }
    }
    for (; i < depth; ++i)
      for (int64_t o = 0; o < kPanelOutputs; ++o) panel[i * kPanelOutputs + o] = lines[o][i];
  };
  multiply_panels(x, w.in, kDenseBlock, rows, row_begin, row_end, w.out, out_begin, out_end, bias, y, make_panel);
}

void few_rows(const DenseWeight& w, const float* x, int64_t rows, int64_t out_begin, int64_t out_end, const float* bias,
              float* y) {
  switch (w.dtype) {
    case DType::kF16: return few_rows_typed<DType::kF16>(w, x, rows, out_begin, out_end, bias, y);
    case DType::kBF16: return few_rows_typed<DType::kBF16>(w, x, rows, out_begin, out_end, bias, y);
    default: return few_rows_typed<DType::kF32>(w, x, rows, out_begin, out_end, bias, y);
  }
}

void many_rows(const DenseWeight& w, const float* x, int64_t rows, int64_t row_begin, int64_t row_end,
               int64_t out_begin, int64_t out_end, const float* bias, float* y) {
  switch (w.dtype) {
    case DType::kF16: return many_rows_typed<DType::kF16>(w, x, rows, row_begin, row_end, out_begin, out_end, bias, y);
    case DType::kI8: return many_rows_typed<DType::kI8>(w, x, rows, row_begin, row_end, out_begin, out_end, bias, y);
    case DType::kBF16:
      return many_rows_typed<DType::kBF16>(w, x, rows, row_begin, row_end, out_begin, out_end, bias, y);
    default: return many_rows_typed<DType::kF32>(w, x, rows, row_begin, row_end, out_begin, out_end, bias, y);
  }
}

}  // namespace
}  // namespace paro
