// exp on a vector. Include after simd/avx2.h or simd/avx512.h.
#pragma once

namespace paro {
namespace {

/// Relative error below 2e-7 for -87.3 <= x <= 88; 0 below (so exp(-inf) = 0 and exp(0) = 1 exactly), exp(88) above.
/// NaN stays NaN. Range reduction by ln 2 in two parts, then a polynomial of degree 6 (Cephes expf).
inline Vec vexp(Vec x) {
  constexpr float kLowest = -87.3f;
  const Vec bounded = vmin(splat(88.0f), vmax(splat(kLowest), x));
  const Vec n = round_even(bounded * splat(1.44269504088896341f));
  const Vec r = fnma(n, splat(-2.12194440e-4f), fnma(n, splat(0.693359375f), bounded));
  Vec p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  const Vec y = fma(p, r * r, r) + splat(1.0f);
  return zero_below(x, kLowest, scale_by_power(y, n));
}

}  // namespace
}  // namespace paro
