// The RMS norm kernels for any vector type Vec of vec/*.h (included before this file, whose contents therefore have
// internal linkage too).
#pragma once

#include <cmath>

#include "kernels/rms_norm/rms_norm.h"

namespace paro {
namespace {

/// The sum of squares of x, or of x + y, which is then stored to x.
template <bool kAdd>
inline double sum_of_squares(float* x_sum, const float* x, const float* y, int64_t dim) {
  constexpr int kUnroll = 4;
  Vec::F sums[kUnroll] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  const auto element = [&](int64_t i) {
    if constexpr (!kAdd) return Vec::load(x + i);
    const Vec::F sum = Vec::add(Vec::load(x + i), Vec::load(y + i));
    Vec::store(x_sum + i, sum);
    return sum;
  };
  int64_t i = 0;
  for (; i + kUnroll * Vec::kWidth <= dim; i += kUnroll * Vec::kWidth) {
    for (int u = 0; u < kUnroll; ++u) {
      const Vec::F v = element(i + u * Vec::kWidth);
      sums[u] = Vec::fma(v, v, sums[u]);
    }
  }
  for (; i + Vec::kWidth <= dim; i += Vec::kWidth) {
    const Vec::F v = element(i);
    sums[0] = Vec::fma(v, v, sums[0]);
  }
  if (i < dim) {
    Vec::F v = Vec::load_first(x + i, dim - i);
    if constexpr (kAdd) {
      v = Vec::add(v, Vec::load_first(y + i, dim - i));
      Vec::store_first(x_sum + i, v, dim - i);
    }
    sums[1] = Vec::fma(v, v, sums[1]);
  }
  return Vec::sum_double(sums[0]) + Vec::sum_double(sums[1]) + Vec::sum_double(sums[2]) + Vec::sum_double(sums[3]);
}

inline float factor_of(double sum, float eps, int64_t dim) {
  return static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(dim) + eps));
}

float factor(const float* x, float eps, int64_t dim) {
  return factor_of(sum_of_squares<false>(nullptr, x, nullptr, dim), eps, dim);
}

float add_factor(float* x, const float* y, float eps, int64_t dim) {
  return factor_of(sum_of_squares<true>(x, x, y, dim), eps, dim);
}

void scale(const float* x, float row_factor, const float* weight, int64_t n, float* out) {
  const Vec::F f = Vec::set1(row_factor);
  const auto scaled = [&](Vec::F v, Vec::F w) { return Vec::mul(Vec::mul(v, f), w); };
  int64_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) Vec::store(out + i, scaled(Vec::load(x + i), Vec::load(weight + i)));
  if (i < n)
    Vec::store_first(out + i, scaled(Vec::load_first(x + i, n - i), Vec::load_first(weight + i, n - i)), n - i);
}

}  // namespace
}  // namespace paro
