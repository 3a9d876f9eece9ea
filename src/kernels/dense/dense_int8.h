// int8 weights times 16-bit activations, for any vector type Vec of vec/*.h (included before this file). Half the
// instructions of a product in f32, and no less exact than one in f16.
#pragma once

#include "kernels/dense/dense.h"

namespace paro {
namespace {

constexpr int kWords = 2 * Vec::kWidth;  // 16-bit elements of a vector
constexpr int64_t kInt8Ahead = 6144;     // bytes to prefetch ahead; rows follow each other in memory

// kRows rows of x times kOutputs rows of the weight, whole depth.
template <int kRows, int kOutputs>
inline void int8_block(const DenseWeight& w, const Int16Rows& x, int64_t row, int64_t output, const float* bias,
                       float* y) {
  const std::byte* from = w.data + output * w.in;
  const int64_t whole = w.in / kWords * kWords;
  Vec::I acc[kRows][kOutputs];
  for (int r = 0; r < kRows; ++r)
    for (int o = 0; o < kOutputs; ++o) acc[r][o] = Vec::izero();
  for (int64_t i = 0; i < whole; i += kWords) {
    Vec::I b[kOutputs];
    for (int o = 0; o < kOutputs; ++o) {
      const std::byte* at = from + o * w.in + i;
      __builtin_prefetch(at + kInt8Ahead);
      b[o] = Vec::widen_bytes(at);
    }
    for (int r = 0; r < kRows; ++r) {
      const Vec::I a = Vec::iload(x.q + (row + r) * w.in + i);
      for (int o = 0; o < kOutputs; ++o) acc[r][o] = Vec::add_products16(acc[r][o], b[o], a);
    }
  }
  if (whole < w.in) {
    // Copies with zeros after them: nothing beyond the memory of weights and rows is touched.
    const auto rest = static_cast<size_t>(w.in - whole);
    for (int r = 0; r < kRows; ++r) {
      alignas(64) int16_t last[kWords] = {};
      __builtin_memcpy(last, x.q + (row + r) * w.in + whole, rest * sizeof(int16_t));
      const Vec::I a = Vec::iload(last);
      for (int o = 0; o < kOutputs; ++o) {
        alignas(64) std::byte codes[kWords] = {};
        __builtin_memcpy(codes, from + o * w.in + whole, rest);
        acc[r][o] = Vec::add_products16(acc[r][o], Vec::widen_bytes(codes), a);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int o = 0; o < kOutputs; ++o) {
      const float product = static_cast<float>(Vec::isum_lanes(acc[r][o])) * (w.scales[output + o] * x.scales[row + r]);
      y[(row + r) * w.out + output + o] = bias == nullptr ? product : product + bias[output + o];
    }
  }
}

// One row: outputs one by one, so that the weight is a single stream; four sums hide the latency.
inline void int8_one_row(const DenseWeight& w, const Int16Rows& x, int64_t output, const float* bias, float* y) {
  const std::byte* from = w.data + output * w.in;
  Vec::I acc[4] = {Vec::izero(), Vec::izero(), Vec::izero(), Vec::izero()};
  const auto step = [&](int64_t i, Vec::I& sum) {
    sum = Vec::add_products16(sum, Vec::widen_bytes(from + i), Vec::iload(x.q + i));
  };
  int64_t i = 0;
  for (; i + 4 * kWords <= w.in; i += 4 * kWords) {
    for (int k = 0; k < 4 * kWords; k += 64) __builtin_prefetch(from + i + k + kInt8Ahead);
    for (int k = 0; k < 4; ++k) step(i + k * kWords, acc[k]);
  }
  for (; i + kWords <= w.in; i += kWords) step(i, acc[0]);
  if (i < w.in) {
    alignas(64) int16_t last[kWords] = {};
    alignas(64) std::byte codes[kWords] = {};
    __builtin_memcpy(last, x.q + i, static_cast<size_t>(w.in - i) * sizeof(int16_t));
    __builtin_memcpy(codes, from + i, static_cast<size_t>(w.in - i));
    acc[1] = Vec::add_products16(acc[1], Vec::widen_bytes(codes), Vec::iload(last));
  }
  const Vec::I sum = Vec::iadd(Vec::iadd(acc[0], acc[1]), Vec::iadd(acc[2], acc[3]));
  const float product = static_cast<float>(Vec::isum_lanes(sum)) * (w.scales[output] * x.scales[0]);
  y[output] = bias == nullptr ? product : product + bias[output];
}

template <int kRows>
inline void int8_outputs(const DenseWeight& w, const Int16Rows& x, int64_t row, int64_t out_begin, int64_t out_end,
                         const float* bias, float* y) {
  int64_t o = out_begin;
  for (; o + 4 <= out_end; o += 4) int8_block<kRows, 4>(w, x, row, o, bias, y);
  for (; o < out_end; ++o) int8_block<kRows, 1>(w, x, row, o, bias, y);
}

void few_rows_int8(const DenseWeight& w, const Int16Rows& x, int64_t out_begin, int64_t out_end, const float* bias,
                   float* y) {
  if (x.rows == 1) {
    for (int64_t o = out_begin; o < out_end; ++o) int8_one_row(w, x, o, bias, y);
    return;
  }
  // Blocks of outputs small enough to stay in L1 while the next rows use them again.
  for (int64_t o = out_begin; o < out_end; o += 4) {
    const int64_t end = o + 4 < out_end ? o + 4 : out_end;
    int64_t row = 0;
    for (; row + 2 <= x.rows; row += 2) int8_outputs<2>(w, x, row, o, end, bias, y);
    if (row < x.rows) int8_outputs<1>(w, x, row, o, end, bias, y);
  }
}

}  // namespace
}  // namespace paro
