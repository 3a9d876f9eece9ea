// The elementwise kernels for any vector type Vec of vec/*.h (included before this file, whose contents therefore have
// internal linkage too).
#pragma once

#include "kernels/elementwise/elementwise.h"
#include "kernels/vec/exp.h"

namespace paro {
namespace {

/// out[i] = of(a[i], b[i]); out may be a or b.
template <typename Of>
inline void map(const float* a, const float* b, float* out, int64_t n, const Of& of) {
  int64_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) Vec::store(out + i, of(Vec::load(a + i), Vec::load(b + i)));
  if (i < n) Vec::store_first(out + i, of(Vec::load_first(a + i, n - i), Vec::load_first(b + i, n - i)), n - i);
}

inline Vec::F silu(Vec::F gate) { return Vec::div(gate, Vec::add(Vec::set1(1.0f), exp(Vec::sub(Vec::zero(), gate)))); }

void add(float* x, const float* y, int64_t n) { map(x, y, x, n, Vec::add); }

void silu_mul(const float* gate, const float* up, float* out, int64_t n) {
  map(gate, up, out, n, [](Vec::F g, Vec::F u) { return Vec::mul(silu(g), u); });
}

void exponential(const float* x, float* out, int64_t n) {
  map(x, x, out, n, [](Vec::F v, Vec::F) { return exp(v); });
}

}  // namespace
}  // namespace paro
