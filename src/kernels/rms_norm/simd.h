// The vector body of kernels/rms_norm.
#pragma once

#include <cmath>

#include "kernels/rms_norm/rms_norm.h"

namespace paro {
namespace {

/// The sum of squares of x, or of x + y, which is then stored to x.
template <bool kAdd>
inline double sum_of_squares(float* x_sum, const float* x, const float* y, int64_t dim) {
  constexpr int kUnroll = 4;
  Vec sums[kUnroll] = {zero(), zero(), zero(), zero()};
  const auto element = [&](int64_t i) {
    if constexpr (!kAdd) return load(x + i);
    const Vec sum = load(x + i) + load(y + i);
    store(x_sum + i, sum);
    return sum;
  };
  int64_t i = 0;
  for (; i + kUnroll * Vec::kLanes <= dim; i += kUnroll * Vec::kLanes) {
    for (int u = 0; u < kUnroll; ++u) {
      const Vec v = element(i + u * Vec::kLanes);
      sums[u] = fma(v, v, sums[u]);
    }
  }
  for (; i + Vec::kLanes <= dim; i += Vec::kLanes) {
    const Vec v = element(i);
    sums[0] = fma(v, v, sums[0]);
  }
  if (i < dim) {
    Vec v = load_first(x + i, dim - i);
    if constexpr (kAdd) {
      v = v + load_first(y + i, dim - i);
      store_first(x_sum + i, v, dim - i);
    }
    sums[1] = fma(v, v, sums[1]);
  }
  return reduce_add_double(sums[0]) + reduce_add_double(sums[1]) + reduce_add_double(sums[2]) +
         reduce_add_double(sums[3]);
}

inline void scale_row(const float* x, const float* weight, double sum, float eps, int64_t dim, float* out) {
  const Vec factor = splat(static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(dim) + eps)));
  int64_t i = 0;
  for (; i + Vec::kLanes <= dim; i += Vec::kLanes) store(out + i, load(x + i) * factor * load(weight + i));
  if (i < dim) store_first(out + i, load_first(x + i, dim - i) * factor * load_first(weight + i, dim - i), dim - i);
}

void rms_norm(const float* x, const float* weight, float eps, int64_t dim, float* out) {
  scale_row(x, weight, sum_of_squares<false>(nullptr, x, nullptr, dim), eps, dim, out);
}

void add_rms_norm(float* x, const float* y, const float* weight, float eps, int64_t dim, float* out) {
  scale_row(x, weight, sum_of_squares<true>(x, x, y, dim), eps, dim, out);
}

constexpr NormKernels kSimdVariant{kVecIsa, rms_norm, add_rms_norm};

}  // namespace
}  // namespace paro
