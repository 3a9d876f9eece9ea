// The vector body of kernels/rope.
#pragma once

#include "kernels/rope/rope.h"

namespace paro {
namespace {

void rotate(float* x, const float* cos, const float* sin, int64_t half) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= half; i += Vec::kLanes) {
    const Vec a = load(x + i);
    const Vec b = load(x + half + i);
    const Vec c = load(cos + i);
    const Vec s = load(sin + i);
    store(x + i, fnma(b, s, a * c));
    store(x + half + i, fma(a, s, b * c));
  }
  if (i < half) {
    const int64_t n = half - i;
    const Vec a = load_first(x + i, n);
    const Vec b = load_first(x + half + i, n);
    const Vec c = load_first(cos + i, n);
    const Vec s = load_first(sin + i, n);
    store_first(x + i, fnma(b, s, a * c), n);
    store_first(x + half + i, fma(a, s, b * c), n);
  }
}

constexpr RopeKernels kSimdVariant{kVecIsa, rotate};

}  // namespace
}  // namespace paro
