// exp of a vector, for any Vec of vec/*.h (included before this file).
#pragma once

namespace paro {
namespace {

/// Relative error below 2e-7 for -87.3 <= x <= 88; 0 below (so exp(-inf) = 0 and exp(0) = 1 exactly), exp(88) above.
/// NaN stays NaN. Range reduction by ln 2 in two parts, then a polynomial of degree 6 (Cephes expf).
inline Vec::F exp(Vec::F x) {
  constexpr float kLowest = -87.3f;
  const Vec::F bounded = Vec::min(Vec::set1(88.0f), Vec::max(Vec::set1(kLowest), x));
  const Vec::F n = Vec::round_even(Vec::mul(bounded, Vec::set1(1.44269504088896341f)));
  const Vec::F r = Vec::fnma(n, Vec::set1(-2.12194440e-4f), Vec::fnma(n, Vec::set1(0.693359375f), bounded));
  Vec::F p = Vec::set1(1.9875691500e-4f);
  p = Vec::fma(p, r, Vec::set1(1.3981999507e-3f));
  p = Vec::fma(p, r, Vec::set1(8.3334519073e-3f));
  p = Vec::fma(p, r, Vec::set1(4.1665795894e-2f));
  p = Vec::fma(p, r, Vec::set1(1.6666665459e-1f));
  p = Vec::fma(p, r, Vec::set1(5.0000001201e-1f));
  const Vec::F y = Vec::add(Vec::fma(p, Vec::mul(r, r), r), Vec::set1(1.0f));
  return Vec::zero_below(x, kLowest, Vec::scale_by_power(y, n));
}

}  // namespace
}  // namespace paro
