// Eight float lanes and thirty-two bytes. Included only by *avx2.cpp and *avxvnni.cpp: everything has internal linkage,
// so that code compiled for one instruction set can never be linked in place of another's.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace paro {
namespace {

struct Vec {
  static constexpr int kWidth = 8;
  using F = __m256;
  using I = __m256i;

  static F zero() { return _mm256_setzero_ps(); }
  static F set1(float x) { return _mm256_set1_ps(x); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F fms(F a, F b, F c) { return _mm256_fmsub_ps(a, b, c); }
  static F load_f16(const void* p) { return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
  static F load_bf16(const void* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static F load_i8(const void* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
  }
  static F load_i16(const int16_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static F load_f32(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  /// The first n < kWidth lanes, the others 0; nothing else is touched.
  static F load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store_first(float* p, F v, int64_t n) { _mm256_maskstore_ps(p, first(n), v); }
  static void store_f16(void* p, F v) {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  /// from[places[lane]], loaded one by one: a gather instruction is no faster, and much slower where microcode mends
  /// it.
  static F pick(const float* from, const uint8_t* places) {
    return _mm256_setr_ps(from[places[0]], from[places[1]], from[places[2]], from[places[3]], from[places[4]],
                          from[places[5]], from[places[6]], from[places[7]]);
  }
  /// c - a * b, rounded once.
  static F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  /// The second operand when either is NaN.
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  /// 0 where x < limit, else v.
  static F zero_below(F x, float limit, F v) {
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(limit), _CMP_LT_OQ), v);
  }
  /// v in the lanes begin <= i < end, else fill.
  static F keep_range(F v, int64_t begin, int64_t end, float fill) {
    const __m256i i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i from = _mm256_set1_epi32(static_cast<int>(begin) - 1);
    const __m256i to = _mm256_set1_epi32(static_cast<int>(end));
    const __m256i inside = _mm256_and_si256(_mm256_cmpgt_epi32(i, from), _mm256_cmpgt_epi32(to, i));
    return _mm256_blendv_ps(_mm256_set1_ps(fill), v, _mm256_castsi256_ps(inside));
  }
  static F round_even(F v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  /// v times 2^n, n whole numbers in -126 .. 127.
  static F scale_by_power(F v, F n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(v, _mm256_castsi256_ps(exponent));
  }
  static float sum(F v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static float max_lanes(F v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }
  /// The sum of the lanes, added in double.
  static double sum_double(F v) {
    const __m256d four =
        _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }

  static I izero() { return _mm256_setzero_si256(); }
  static I iset1(int32_t x) { return _mm256_set1_epi32(x); }
  static I iload(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  /// For several uses: else each of them may load it.
  static I iload_once(const void* p) {
    I v = iload(p);
    hide(v);
    return v;
  }
  static void istore(void* p, I v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
  static I iadd(I a, I b) { return _mm256_add_epi32(a, b); }
  static I isub(I a, I b) { return _mm256_sub_epi32(a, b); }
  static I iand(I a, I b) { return _mm256_and_si256(a, b); }
  static I ior(I a, I b) { return _mm256_or_si256(a, b); }
  static I imax(I a, I b) { return _mm256_max_epi32(a, b); }
  template <int kBits>
  static I shl(I a) {
    return _mm256_slli_epi32(a, kBits);
  }
  template <int kBits>
  static I shr(I a) {
    return _mm256_srli_epi32(a, kBits);
  }
  template <int kBits>
  static I sar(I a) {
    return _mm256_srai_epi32(a, kBits);
  }
  /// The high nibbles of bytes, times 2^kHighNibble.
  static constexpr int kHighNibble = 4;
  static I high_nibbles(I a) { return iand(a, iset1(static_cast<int32_t>(0xf0f0f0f0))); }
  static I bits(F v) { return _mm256_castps_si256(v); }
  static F from_bits(I v) { return _mm256_castsi256_ps(v); }
  static F to_float(I v) { return _mm256_cvtepi32_ps(v); }
  static I round(F v) { return _mm256_cvtps_epi32(v); }  // half to even
  /// a > b ? x : 0 by lanes, signed.
  static I select_greater(I a, I b, I x) { return _mm256_and_si256(_mm256_cmpgt_epi32(a, b), x); }
  /// Signed bytes, as many as there are 16-bit elements, widened to these.
  static I widen_bytes(const void* p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
  /// Products of 16-bit halves, summed in pairs.
  static I madd16(I a, I b) { return _mm256_madd_epi16(a, b); }
  /// sum + products of 16-bit halves; which lane a product enters is open.
  static I add_products16(I sum, I a, I b) { return iadd(sum, madd16(a, b)); }
  /// Products of lanes that fit 16 bits, those of a not negative.
  static I mul_small(I a, I b) { return madd16(a, b); }
  static I iset1_64(const void* p) { return _mm256_broadcastq_epi64(_mm_loadl_epi64(static_cast<const __m128i*>(p))); }
  /// 2 kWidth bytes as 16-bit halves.
  static I load_u8_as_i16(const void* p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// Sums of neighbours: those of a, then those of b.
  static I iadd_pairs(I a, I b) { return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8); }
  static int32_t imax_lanes(I v) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
  }
  static int32_t isum_lanes(I v) {
    __m128i m = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_add_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
  }
  /// Low bytes of the lanes, in order.
  static void store_bytes(void* p, I v) {
    const __m128i w = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64(static_cast<__m128i*>(p), _mm_packs_epi16(w, w));
  }
  /// The lanes in 16 bits, saturated.
  static void store_i16(void* p, I v) {
    _mm_storeu_si128(static_cast<__m128i*>(p),
                     _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
  }
  /// tile[i * stride + lane] = scale[i] * rows[lane][i] for 8 values i, or unscaled when scale is null.
  static void load_transposed(const float* const* rows, const float* scale, float* tile) {
    transpose8(rows, scale, tile, kWidth);
  }
  static void store_transposed(const float* tile, float* const* rows) { untranspose8(tile, kWidth, rows); }

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
  static __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

}  // namespace
}  // namespace paro
