// Products of unsigned nibbles (or bytes) with int8, four to a 32-bit lane. Included after vec/avx2.h.
#pragma once

#include <immintrin.h>

namespace paro {
namespace {

// Products of a nibble and an int8 in pairs: at most 2 * 15 * 127 = 3810, so eight of them fit 16 bits.
struct Bytes {
  /// Whether a sum takes any number of products of any bytes.
  static constexpr bool kWide = false;
  using Sum = __m256i;
  static Sum start(__m256i) { return _mm256_setzero_si256(); }
  static Sum add(Sum sum, __m256i nibbles, __m256i x) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(nibbles, x));
    asm("" : "+v"(sum));  // else GCC makes all products first and adds them up as a tree, in registers that it lacks
    return sum;
  }
  static __m256i finish(__m256i dot, Sum sum) {
    return _mm256_add_epi32(dot, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
  }
  static void load_zeros(const void* p, __m256i* zero) {
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
    zero[0] = _mm256_and_si256(bytes, _mm256_set1_epi32(15));
    zero[1] = _mm256_srli_epi32(bytes, 4);
  }
};

}  // namespace
}  // namespace paro
