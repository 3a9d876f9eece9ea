// The rotary embedding for any vector type Vec of vec/*.h (included before this file, whose contents therefore have
// internal linkage too).
#pragma once

#include "kernels/rope/rope.h"

namespace paro {
namespace {

void rotate(float* x, const float* cos, const float* sin, int64_t half) {
  int64_t i = 0;
  for (; i + Vec::kWidth <= half; i += Vec::kWidth) {
    const Vec::F a = Vec::load(x + i);
    const Vec::F b = Vec::load(x + half + i);
    const Vec::F c = Vec::load(cos + i);
    const Vec::F s = Vec::load(sin + i);
    Vec::store(x + i, Vec::fnma(b, s, Vec::mul(a, c)));
    Vec::store(x + half + i, Vec::fma(a, s, Vec::mul(b, c)));
  }
  if (i < half) {
    const int64_t n = half - i;
    const Vec::F a = Vec::load_first(x + i, n);
    const Vec::F b = Vec::load_first(x + half + i, n);
    const Vec::F c = Vec::load_first(cos + i, n);
    const Vec::F s = Vec::load_first(sin + i, n);
    Vec::store_first(x + i, Vec::fnma(b, s, Vec::mul(a, c)), n);
    Vec::store_first(x + half + i, Vec::fma(a, s, Vec::mul(b, c)), n);
  }
}

}  // namespace
}  // namespace paro
