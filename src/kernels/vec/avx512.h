// Sixteen float lanes and sixty-four bytes. Included only by *avx512.cpp and *avx512vnni.cpp; internal linkage for
// the same reason as in vec/avx2.h.
#pragma once

// GCC 12 takes the undefined pass-through operands of its own intrinsics for uninitialised variables.
#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <cstdint>

namespace paro {
namespace {

struct Vec {
  static constexpr int kWidth = 16;
  using F = __m512;
  using I = __m512i;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F fms(F a, F b, F c) { return _mm512_fmsub_ps(a, b, c); }
  static F load_f16(const void* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
  static F load_bf16(const void* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static F load_i8(const void* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  static F load_i16(const int16_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
  }
  static F load_f32(const void* p) { return _mm512_loadu_ps(p); }
  /// The first n < kWidth lanes, the others 0; nothing else is touched.
  static F load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store_first(float* p, F v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
  static void store_f16(void* p, F v) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  /// c - a * b, rounded once.
  static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  /// The second operand when either is NaN.
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  /// 0 where x < limit, else v.
  static F zero_below(F x, float limit, F v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_NLT_UQ), v);
  }
  /// v in the lanes begin <= i < end, else fill.
  static F keep_range(F v, int64_t begin, int64_t end, float fill) {
    const int64_t from = begin < 0 ? 0 : (begin > 16 ? 16 : begin);
    const int64_t to = end < 0 ? 0 : (end > 16 ? 16 : end);
    const auto inside = static_cast<__mmask16>(first(to) & ~first(from));
    return _mm512_mask_mov_ps(_mm512_set1_ps(fill), inside, v);
  }
  static F round_even(F v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  /// v times 2^n, n whole numbers in -126 .. 127.
  static F scale_by_power(F v, F n) { return _mm512_scalef_ps(v, n); }
  static float sum(F v) { return _mm512_reduce_add_ps(v); }
  static float max_lanes(F v) { return _mm512_reduce_max_ps(v); }
  /// The sum of the lanes, added in double.
  static double sum_double(F v) {
    return _mm512_reduce_add_pd(
        _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))));
  }

  static I izero() { return _mm512_setzero_si512(); }
  static I iset1(int32_t x) { return _mm512_set1_epi32(x); }
  static I iload(const void* p) { return _mm512_loadu_si512(p); }
  /// For several uses: else each of them may load it.
  static I iload_once(const void* p) {
    I v = iload(p);
    hide(v);
    return v;
  }
  static void istore(void* p, I v) { _mm512_storeu_si512(p, v); }
  static I iadd(I a, I b) { return _mm512_add_epi32(a, b); }
  static I isub(I a, I b) { return _mm512_sub_epi32(a, b); }
  static I iand(I a, I b) { return _mm512_and_si512(a, b); }
  static I ior(I a, I b) { return _mm512_or_si512(a, b); }
  static I imax(I a, I b) { return _mm512_max_epi32(a, b); }
  template <int kBits>
  static I shl(I a) {
    return _mm512_slli_epi32(a, kBits);
  }
  template <int kBits>
  static I shr(I a) {
    return _mm512_srli_epi32(a, kBits);
  }
  template <int kBits>
  static I sar(I a) {
    return _mm512_srai_epi32(a, kBits);
  }
  /// The high nibbles of bytes, times 2^kHighNibble.
  static constexpr int kHighNibble = 4;
  static I high_nibbles(I a) { return iand(a, iset1(static_cast<int32_t>(0xf0f0f0f0))); }
  static I bits(F v) { return _mm512_castps_si512(v); }
  static F from_bits(I v) { return _mm512_castsi512_ps(v); }
  static F to_float(I v) { return _mm512_cvtepi32_ps(v); }
  static I round(F v) { return _mm512_cvtps_epi32(v); }  // half to even
  /// a > b ? x : 0 by lanes, signed.
  static I select_greater(I a, I b, I x) { return _mm512_maskz_mov_epi32(_mm512_cmpgt_epi32_mask(a, b), x); }
  /// Signed bytes, as many as there are 16-bit elements, widened to these.
  static I widen_bytes(const void* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  /// Products of 16-bit halves, summed in pairs.
  static I madd16(I a, I b) { return _mm512_madd_epi16(a, b); }
  /// sum + products of 16-bit halves; which lane a product enters is open.
  static I add_products16(I sum, I a, I b) { return iadd(sum, madd16(a, b)); }
  /// Products of lanes that fit 16 bits, those of a not negative.
  static I mul_small(I a, I b) { return madd16(a, b); }
  static I iset1_64(const void* p) { return _mm512_broadcastq_epi64(_mm_loadl_epi64(static_cast<const __m128i*>(p))); }
  /// 2 kWidth bytes as 16-bit halves.
  static I load_u8_as_i16(const void* p) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  /// Sums of neighbours: those of a, then those of b.
  static I iadd_pairs(I a, I b) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_add_epi32(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
  }
  static int32_t imax_lanes(I v) { return _mm512_reduce_max_epi32(v); }
  static int32_t isum_lanes(I v) { return _mm512_reduce_add_epi32(v); }
  /// Low bytes of the lanes, in order, saturated.
  static void store_bytes(void* p, I v) { _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(v)); }
  /// The lanes in 16 bits, saturated.
  static void store_i16(void* p, I v) { _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtsepi32_epi16(v)); }
  /// tile[i * 16 + lane] = scale[i] * rows[lane][i] for 8 values i, or unscaled when scale is null.
  static void load_transposed(const float* const* rows, const float* scale, float* tile) {
    transpose8(rows, scale, tile, kWidth);
    transpose8(rows + 8, scale, tile + 8, kWidth);
  }
  static void store_transposed(const float* tile, float* const* rows) {
    untranspose8(tile, kWidth, rows);
    untranspose8(tile + 8, kWidth, rows + 8);
  }

  /// The optimiser does not know the value from here on.
  template <typename T>
  static void hide(T& v) {
    asm("" : "+v"(v));
  }
  /// Nor does it move what is hidden past another such place.
  template <typename T>
  static void hide_in_order(T& v) {
    asm volatile("" : "+v"(v));
  }

#include "kernels/vec/transpose8.inc"

 private:
  static __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
};

}  // namespace
}  // namespace paro
