// The vector body of kernels/elementwise.
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "kernels/simd/exp.h"

namespace paro {
namespace {

void add(float* x, const float* y, int64_t n) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) store(x + i, load(x + i) + load(y + i));
  if (i < n) store_first(x + i, load_first(x + i, n - i) + load_first(y + i, n - i), n - i);
}

inline Vec silu(Vec gate) { return gate / (splat(1.0f) + vexp(zero() - gate)); }

void silu_mul(const float* gate, const float* up, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) store(out + i, silu(load(gate + i)) * load(up + i));
  if (i < n) store_first(out + i, silu(load_first(gate + i, n - i)) * load_first(up + i, n - i), n - i);
}

void exponential(const float* x, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) store(out + i, vexp(load(x + i)));
  if (i < n) store_first(out + i, vexp(load_first(x + i, n - i)), n - i);
}

constexpr ElementKernels kSimdVariant{kVecIsa, add, silu_mul, exponential};

}  // namespace
}  // namespace paro
