#include <cmath>
#include <cstring>

#include "kernels/dense/variants.h"

namespace paro {
namespace {

float element(const DenseWeight& w, int64_t index) {
  if (w.dtype == DType::kF32) {
    float value;
    std::memcpy(&value, w.data + index * 4, 4);
    return value;
  }
  if (w.dtype == DType::kI8) return static_cast<float>(std::to_integer<int8_t>(w.data[index])) * w.scales[index / w.in];
  uint16_t bits;
  std::memcpy(&bits, w.data + index * 2, 2);
  return w.dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

void few_rows(const DenseWeight& w, const float* x, int64_t rows, int64_t out_begin, int64_t out_end, const float* bias,
              float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = out_begin; o < out_end; ++o) {
      float sum = 0.0f;
      for (int64_t i = 0; i < w.in; ++i) sum = std::fma(element(w, o * w.in + i), x[r * w.in + i], sum);
      y[r * w.out + o] = bias == nullptr ? sum : sum + bias[o];
    }
  }
}

void few_rows_int8(const DenseWeight& w, const Int16Rows& x, int64_t out_begin, int64_t out_end, const float* bias,
                   float* y) {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t o = out_begin; o < out_end; ++o) {
      int32_t sum = 0;
      for (int64_t i = 0; i < w.in; ++i) sum += std::to_integer<int8_t>(w.data[o * w.in + i]) * x.q[r * w.in + i];
      const float product = static_cast<float>(sum) * (w.scales[o] * x.scales[r]);
      y[r * w.out + o] = bias == nullptr ? product : product + bias[o];
    }
  }
}

void many_rows(const DenseWeight& w, const float* x, int64_t rows, int64_t row_begin, int64_t row_end,
               int64_t out_begin, int64_t out_end, const float* bias, float* y) {
  for (int64_t r = row_begin; r < row_end; ++r) {
    for (int64_t o = out_begin; o < out_end; ++o) {
      float sum = 0.0f;
      for (int64_t i = 0; i < w.in; ++i) {
        const int64_t begin = i / kDenseBlock * kDenseBlock;
        const int64_t depth = w.in - begin < kDenseBlock ? w.in - begin : kDenseBlock;
        sum = std::fma(element(w, o * w.in + i), x[begin * rows + r * depth + i - begin], sum);
      }
      y[r * w.out + o] = bias == nullptr ? sum : sum + bias[o];
    }
  }
}

}  // namespace

const DenseKernels kDenseReference{Isa::kReference, 1, few_rows, few_rows_int8, many_rows};

}  // namespace paro
