// The rounds of one row's group for a Vec that has no instruction to bring the elements of pairs to the same lanes:
// channels in two small arrays in turn, their elements picked one by one, then turned in vectors. Included after
// vec/avx2.h or vec/neon.h.
#pragma once

#include "kernels/rotate/rotate.h"

namespace paro {
namespace {

inline Vec::F load_angles(const int16_t* p) { return Vec::mul(Vec::load_i16(p), Vec::set1(kAngleStep)); }

// y [kGroup] in place.
template <int kGroup>
inline void turn_rounds(const uint8_t* moves, const int16_t* angles, int64_t rounds, float* y) {
  constexpr int half = kGroup / 2;
  alignas(32) float other[2][kGroup];
  const float* from = y;
  for (int64_t r = 0; r < rounds; ++r) {
    float* to = other[r % 2];
    for (int v = 0; v < half; v += Vec::kWidth) {
      const Vec::F a = Vec::pick(from, moves + v);
      const Vec::F b = Vec::pick(from, moves + half + v);
      const Vec::F c = load_angles(angles + v);
      const Vec::F s = load_angles(angles + half + v);
      Vec::store(to + v, Vec::fma(c, a, Vec::mul(s, b)));
      Vec::store(to + half + v, Vec::fms(c, b, Vec::mul(s, a)));
    }
    from = to;
    moves += kGroup;
    angles += kGroup;
  }
  for (int i = 0; i < kGroup; ++i) y[i] = from[moves[i]];
}

}  // namespace
}  // namespace paro
