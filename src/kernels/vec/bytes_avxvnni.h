// Products of unsigned nibbles (or bytes) with int8, four to a 32-bit lane. Included after vec/avx2.h.
#pragma once

#include <immintrin.h>

namespace paro {
namespace {

// Products of unsigned and signed bytes in fours, added to 32 bits in one instruction.
struct Bytes {
  /// Whether a sum takes any number of products of any bytes.
  static constexpr bool kWide = true;
  using Sum = __m256i;
  static Sum start(__m256i dot) { return dot; }
  static Sum add(Sum sum, __m256i nibbles, __m256i x) { return _mm256_dpbusd_avx_epi32(sum, nibbles, x); }
  static __m256i finish(__m256i, Sum sum) { return sum; }
  static void load_zeros(const void* p, __m256i* zero) {
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
    zero[0] = _mm256_and_si256(bytes, _mm256_set1_epi32(15));
    zero[1] = _mm256_srli_epi32(bytes, 4);
  }
};

}  // namespace
}  // namespace paro
