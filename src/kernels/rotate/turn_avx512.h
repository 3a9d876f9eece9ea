// The rounds of one row's group with AVX-512: all channels stay in registers, and vpermt2ps, 32 channels at a time,
// brings the elements of the pairs to the same lanes of two registers. Included after vec/avx512.h.
#pragma once

#include "kernels/rotate/rotate.h"

namespace paro {
namespace {

// to[place] = from[moves[place]] for 16 places; kVectors vectors of 16 channels.
template <int kVectors>
inline __m512 gather_lanes(const __m512 (&from)[kVectors], const uint8_t* moves) {
  const __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(moves)));
  const __m512 first = _mm512_permutex2var_ps(from[0], index, from[1]);
  if constexpr (kVectors == 2) {
    return first;
  } else {
    const __mmask16 bit5 = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
    const __m512 low = _mm512_mask_blend_ps(bit5, first, _mm512_permutex2var_ps(from[2], index, from[3]));
    if constexpr (kVectors == 4) {
      return low;
    } else {
      const __m512 high = _mm512_mask_blend_ps(bit5, _mm512_permutex2var_ps(from[4], index, from[5]),
                                               _mm512_permutex2var_ps(from[6], index, from[7]));
      return _mm512_mask_blend_ps(_mm512_test_epi32_mask(index, _mm512_set1_epi32(64)), low, high);
    }
  }
}

inline Vec::F load_angles(const int16_t* p) { return Vec::mul(Vec::load_i16(p), Vec::set1(kAngleStep)); }

// y [kGroup] in place.
template <int kGroup>
inline void turn_rounds(const uint8_t* moves, const int16_t* angles, int64_t rounds, float* y) {
  constexpr int vectors = kGroup / 16;
  constexpr int half = vectors / 2;
  __m512 from[vectors];
  for (int v = 0; v < vectors; ++v) from[v] = Vec::load(y + v * 16);
  for (int64_t r = 0; r < rounds; ++r) {
    __m512 to[vectors];
    for (int v = 0; v < half; ++v) {
      const __m512 a = gather_lanes(from, moves + v * 16);
      const __m512 b = gather_lanes(from, moves + (half + v) * 16);
      const __m512 c = load_angles(angles + v * 16);
      const __m512 s = load_angles(angles + (half + v) * 16);
      to[v] = Vec::fma(c, a, Vec::mul(s, b));
      to[half + v] = Vec::fms(c, b, Vec::mul(s, a));
    }
    for (int v = 0; v < vectors; ++v) from[v] = to[v];
    moves += kGroup;
    angles += kGroup;
  }
  for (int v = 0; v < vectors; ++v) Vec::store(y + v * 16, gather_lanes(from, moves + v * 16));
}

}  // namespace
}  // namespace paro
