// The rounds of one row's group with AVX2: channels in two small arrays in turn; the elements of eight pairs are loaded
// one by one (a gather instruction is no faster, and much slower where microcode mends it), then turned in vectors.
#pragma once

#include "kernels/rotate/rotate.h"

namespace paro {
namespace {

inline __m256 pick(const float* from, const uint8_t* moves) {
  return _mm256_setr_ps(from[moves[0]], from[moves[1]], from[moves[2]], from[moves[3]], from[moves[4]], from[moves[5]],
                        from[moves[6]], from[moves[7]]);
}

inline __m256 load_angles(const int16_t* p) {
  const __m256i wide = _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_mul_ps(_mm256_cvtepi32_ps(wide), _mm256_set1_ps(kAngleStep));
}

// y [kGroup] in place.
template <int kGroup>
inline void turn_rounds(const uint8_t* moves, const int16_t* angles, int64_t rounds, float* y) {
  constexpr int half = kGroup / 2;
  alignas(32) float other[2][kGroup];
  const float* from = y;
  for (int64_t r = 0; r < rounds; ++r) {
    float* to = other[r % 2];
    for (int v = 0; v < half; v += 8) {
      const __m256 a = pick(from, moves + v);
      const __m256 b = pick(from, moves + half + v);
      const __m256 c = load_angles(angles + v);
      const __m256 s = load_angles(angles + half + v);
      _mm256_store_ps(to + v, _mm256_fmadd_ps(c, a, _mm256_mul_ps(s, b)));
      _mm256_store_ps(to + half + v, _mm256_fmsub_ps(c, b, _mm256_mul_ps(s, a)));
    }
    from = to;
    moves += kGroup;
    angles += kGroup;
  }
  for (int i = 0; i < kGroup; ++i) y[i] = from[moves[i]];
}

}  // namespace
}  // namespace paro
