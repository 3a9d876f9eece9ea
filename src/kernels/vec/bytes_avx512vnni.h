// Products of unsigned nibbles (or bytes) with int8, four to a 32-bit lane. Included after vec/avx512.h.
#pragma once

#include <immintrin.h>

namespace paro {
namespace {

// Products of unsigned and signed bytes in fours, added to 32 bits in one instruction.
struct Bytes {
  /// Whether a sum takes any number of products of any bytes.
  static constexpr bool kWide = true;
  using Sum = __m512i;
  static Sum start(__m512i dot) { return dot; }
  static Sum add(Sum sum, __m512i nibbles, __m512i x) { return _mm512_dpbusd_epi32(sum, nibbles, x); }
  static __m512i finish(__m512i, Sum sum) { return sum; }
  static void load_zeros(const void* p, __m512i* zero) {
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
    zero[0] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_and_si256(bytes, _mm256_set1_epi32(15))),
                                 _mm256_srli_epi32(bytes, 4), 1);
  }

  /// Any unsigned bytes, less kByteShift, as operands of add.
  static constexpr int kByteShift = 0;
  static __m512i shifted(__m512i bytes) { return bytes; }
  /// add for many sums: of the intrinsic GCC 12 copies and spills them.
  static Sum add_one_of_many(Sum sum, __m512i bytes, __m512i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(x));
    return sum;
  }
};

}  // namespace
}  // namespace paro
