// Eight float lanes and thirty-two bytes, in two registers: of 32 registers of 16 bytes there are as many as of AVX2's.
// Included only by *neon.cpp and *neoni8mm.cpp: everything has internal linkage, so that code compiled for one
// instruction set can never be linked in place of another's. The members are those of vec/avx2.h, without 16-bit
// products in pairs (there is no such instruction).
//
// GCC keeps an array of these in registers only when every loop over it is unrolled, that which stores it in the end,
// too: hence the pragmas in the kernels.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace paro {
namespace {

struct Vec {
  static constexpr int kWidth = 8;
  struct F {
    float32x4_t lo, hi;
  };
  struct I {
    int32x4_t lo, hi;
  };

  static F zero() { return set1(0.0f); }
  static F set1(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
  static F load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
  static void store(float* p, F v) {
    vst1q_f32(p, v.lo);
    vst1q_f32(p + 4, v.hi);
  }
  static F add(F a, F b) { return {vaddq_f32(a.lo, b.lo), vaddq_f32(a.hi, b.hi)}; }
  static F sub(F a, F b) { return {vsubq_f32(a.lo, b.lo), vsubq_f32(a.hi, b.hi)}; }
  static F mul(F a, F b) { return {vmulq_f32(a.lo, b.lo), vmulq_f32(a.hi, b.hi)}; }
  static F div(F a, F b) { return {vdivq_f32(a.lo, b.lo), vdivq_f32(a.hi, b.hi)}; }
  static F fma(F a, F b, F c) { return {vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi)}; }
  // Not as the negative of c - a * b: a sum of zero must be positive.
  static F fms(F a, F b, F c) { return fma(a, b, {vnegq_f32(c.lo), vnegq_f32(c.hi)}); }
  static F load_f16(const void* p) {
    const float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(static_cast<const uint16_t*>(p)));
    return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
  }
  static F load_bf16(const void* p) {
    const uint16x8_t halves = vld1q_u16(static_cast<const uint16_t*>(p));
    return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(halves), 16)),
            vreinterpretq_f32_u32(vshll_high_n_u16(halves, 16))};
  }
  static F load_i8(const void* p) {
    const int16x8_t wide = vmovl_s8(vld1_s8(static_cast<const int8_t*>(p)));
    return to_float({vmovl_s16(vget_low_s16(wide)), vmovl_high_s16(wide)});
  }
  static F load_i16(const int16_t* p) {
    const int16x8_t v = vld1q_s16(p);
    return to_float({vmovl_s16(vget_low_s16(v)), vmovl_high_s16(v)});
  }
  static F load_f32(const void* p) { return load(static_cast<const float*>(p)); }
  /// The first n < kWidth lanes, the others 0; nothing else is touched.
  static F load_first(const float* p, int64_t n) {
    float lanes[kWidth] = {};
    __builtin_memcpy(lanes, p, static_cast<size_t>(n) * sizeof(float));
    return load(lanes);
  }
  static void store_first(float* p, F v, int64_t n) {
    float lanes[kWidth];
    store(lanes, v);
    __builtin_memcpy(p, lanes, static_cast<size_t>(n) * sizeof(float));
  }
  static void store_f16(void* p, F v) {
    vst1q_u16(static_cast<uint16_t*>(p), vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(v.lo), v.hi)));
  }
  /// from[places[lane]]
  static F pick(const float* from, const uint8_t* places) {
    F v = {vdupq_n_f32(from[places[0]]), vdupq_n_f32(from[places[4]])};
    v.lo = vld1q_lane_f32(from + places[1], v.lo, 1);
    v.hi = vld1q_lane_f32(from + places[5], v.hi, 1);
    v.lo = vld1q_lane_f32(from + places[2], v.lo, 2);
    v.hi = vld1q_lane_f32(from + places[6], v.hi, 2);
    v.lo = vld1q_lane_f32(from + places[3], v.lo, 3);
    v.hi = vld1q_lane_f32(from + places[7], v.hi, 3);
    return v;
  }
  /// c - a * b, rounded once.
  static F fnma(F a, F b, F c) { return {vfmsq_f32(c.lo, a.lo, b.lo), vfmsq_f32(c.hi, a.hi, b.hi)}; }
  /// NaN when either is NaN.
  static F max(F a, F b) { return {vmaxq_f32(a.lo, b.lo), vmaxq_f32(a.hi, b.hi)}; }
  static F min(F a, F b) { return {vminq_f32(a.lo, b.lo), vminq_f32(a.hi, b.hi)}; }
  /// 0 where x < limit, else v.
  static F zero_below(F x, float limit, F v) {
    const float32x4_t least = vdupq_n_f32(limit);
    return {and_not(v.lo, vcltq_f32(x.lo, least)), and_not(v.hi, vcltq_f32(x.hi, least))};
  }
  /// v in the lanes begin <= i < end, else fill.
  static F keep_range(F v, int64_t begin, int64_t end, float fill) {
    static constexpr int32_t kLane[kWidth] = {0, 1, 2, 3, 4, 5, 6, 7};
    const int32x4_t from = vdupq_n_s32(static_cast<int32_t>(begin));
    const int32x4_t to = vdupq_n_s32(static_cast<int32_t>(end));
    const float32x4_t other = vdupq_n_f32(fill);
    const auto keep = [&](float32x4_t x, const int32_t* lane) {
      const int32x4_t i = vld1q_s32(lane);
      return vbslq_f32(vandq_u32(vcgeq_s32(i, from), vcltq_s32(i, to)), x, other);
    };
    return {keep(v.lo, kLane), keep(v.hi, kLane + 4)};
  }
  static F round_even(F v) { return {vrndnq_f32(v.lo), vrndnq_f32(v.hi)}; }
  /// v times 2^n, n whole numbers in -126 .. 127.
  static F scale_by_power(F v, F n) { return mul(v, from_bits(shl<23>(iadd(round(n), iset1(127))))); }
  static float sum(F v) { return vaddvq_f32(vaddq_f32(v.lo, v.hi)); }
  static float max_lanes(F v) { return vmaxvq_f32(vmaxq_f32(v.lo, v.hi)); }
  /// The sum of the lanes, added in double.
  static double sum_double(F v) {
    const float64x2_t lo = vaddq_f64(vcvt_f64_f32(vget_low_f32(v.lo)), vcvt_high_f64_f32(v.lo));
    const float64x2_t hi = vaddq_f64(vcvt_f64_f32(vget_low_f32(v.hi)), vcvt_high_f64_f32(v.hi));
    return vaddvq_f64(vaddq_f64(lo, hi));
  }

  static I izero() { return iset1(0); }
  static I iset1(int32_t x) { return {vdupq_n_s32(x), vdupq_n_s32(x)}; }
  static I iload(const void* p) {
    const auto* words = static_cast<const int32_t*>(p);
    return {vld1q_s32(words), vld1q_s32(words + 4)};
  }
  static I iload_once(const void* p) { return iload(p); }
  static void istore(void* p, I v) {
    auto* words = static_cast<int32_t*>(p);
    vst1q_s32(words, v.lo);
    vst1q_s32(words + 4, v.hi);
  }
  static I iadd(I a, I b) { return {vaddq_s32(a.lo, b.lo), vaddq_s32(a.hi, b.hi)}; }
  static I isub(I a, I b) { return {vsubq_s32(a.lo, b.lo), vsubq_s32(a.hi, b.hi)}; }
  static I iand(I a, I b) { return {vandq_s32(a.lo, b.lo), vandq_s32(a.hi, b.hi)}; }
  static I ior(I a, I b) { return {vorrq_s32(a.lo, b.lo), vorrq_s32(a.hi, b.hi)}; }
  static I imax(I a, I b) { return {vmaxq_s32(a.lo, b.lo), vmaxq_s32(a.hi, b.hi)}; }
  template <int kBits>
  static I shl(I a) {
    return {vshlq_n_s32(a.lo, kBits), vshlq_n_s32(a.hi, kBits)};
  }
  template <int kBits>
  static I shr(I a) {
    return {vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a.lo), kBits)),
            vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a.hi), kBits))};
  }
  template <int kBits>
  static I sar(I a) {
    if constexpr (kBits == 0) return a;
    return {vshrq_n_s32(a.lo, kBits), vshrq_n_s32(a.hi, kBits)};
  }
  /// The high nibbles of bytes, times 2^kHighNibble.
  static constexpr int kHighNibble = 0;
  static I high_nibbles(I a) {
    return {vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(a.lo), 4)),
            vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(a.hi), 4))};
  }
  static I bits(F v) { return {vreinterpretq_s32_f32(v.lo), vreinterpretq_s32_f32(v.hi)}; }
  static F from_bits(I v) { return {vreinterpretq_f32_s32(v.lo), vreinterpretq_f32_s32(v.hi)}; }
  static F to_float(I v) { return {vcvtq_f32_s32(v.lo), vcvtq_f32_s32(v.hi)}; }
  static I round(F v) { return {vcvtnq_s32_f32(v.lo), vcvtnq_s32_f32(v.hi)}; }  // half to even, saturated, NaN: 0
  /// a > b ? x : 0 by lanes, signed.
  static I select_greater(I a, I b, I x) {
    return {vandq_s32(vreinterpretq_s32_u32(vcgtq_s32(a.lo, b.lo)), x.lo),
            vandq_s32(vreinterpretq_s32_u32(vcgtq_s32(a.hi, b.hi)), x.hi)};
  }
  /// Signed bytes, as many as there are 16-bit elements, widened to these.
  static I widen_bytes(const void* p) {
    const int8x16_t bytes = vld1q_s8(static_cast<const int8_t*>(p));
    return {vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(bytes))), vreinterpretq_s32_s16(vmovl_high_s8(bytes))};
  }
  /// sum + products of 16-bit halves; which lane a product enters is open.
  static I add_products16(I sum, I a, I b) {
    const auto add = [](int32x4_t to, int32x4_t x, int32x4_t y) {
      const int16x8_t p = vreinterpretq_s16_s32(x);
      const int16x8_t q = vreinterpretq_s16_s32(y);
      return vmlal_high_s16(vmlal_s16(to, vget_low_s16(p), vget_low_s16(q)), p, q);
    };
    return {add(sum.lo, a.lo, b.lo), add(sum.hi, a.hi, b.hi)};
  }
  /// Products of lanes that fit 16 bits, those of a not negative.
  static I mul_small(I a, I b) { return {vmulq_s32(a.lo, b.lo), vmulq_s32(a.hi, b.hi)}; }
  static int32_t imax_lanes(I v) { return vmaxvq_s32(vmaxq_s32(v.lo, v.hi)); }
  static int32_t isum_lanes(I v) { return vaddvq_s32(vaddq_s32(v.lo, v.hi)); }
  /// Low bytes of the lanes, in order, saturated.
  static void store_bytes(void* p, I v) {
    vst1_s8(static_cast<int8_t*>(p), vqmovn_s16(vqmovn_high_s32(vqmovn_s32(v.lo), v.hi)));
  }
  /// tile[i * kWidth + lane] = scale[i] * rows[lane][i] for 8 values i, or unscaled when scale is null.
  static void load_transposed(const float* const* rows, const float* scale, float* tile) {
    F r[8];
    for (int i = 0; i < 8; ++i) r[i] = load(rows[i]);
    if (scale != nullptr)
      for (int i = 0; i < 8; ++i) r[i] = mul(r[i], load(scale));
    transpose8(r);
    for (int i = 0; i < 8; ++i) store(tile + i * kWidth, r[i]);
  }
  static void store_transposed(const float* tile, float* const* rows) {
    F r[8];
    for (int i = 0; i < 8; ++i) r[i] = load(tile + i * kWidth);
    transpose8(r);
    for (int i = 0; i < 8; ++i) store(rows[i], r[i]);
  }

  /// The optimiser does not know the value from here on, nor does it move what is hidden past another such place.
  template <typename T>
  static void hide_in_order(T& v) {
    asm volatile("" : "+w"(v.lo), "+w"(v.hi));
  }

 private:
  static float32x4_t and_not(float32x4_t v, uint32x4_t mask) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v), mask));
  }
  static void transpose4(float32x4_t& a, float32x4_t& b, float32x4_t& c, float32x4_t& d) {
    const float64x2_t ab_even = vreinterpretq_f64_f32(vtrn1q_f32(a, b));
    const float64x2_t ab_odd = vreinterpretq_f64_f32(vtrn2q_f32(a, b));
    const float64x2_t cd_even = vreinterpretq_f64_f32(vtrn1q_f32(c, d));
    const float64x2_t cd_odd = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
    a = vreinterpretq_f32_f64(vtrn1q_f64(ab_even, cd_even));
    b = vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd));
    c = vreinterpretq_f32_f64(vtrn2q_f64(ab_even, cd_even));
    d = vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd));
  }
  static void transpose8(F (&r)[8]) {
    transpose4(r[0].lo, r[1].lo, r[2].lo, r[3].lo);
    transpose4(r[0].hi, r[1].hi, r[2].hi, r[3].hi);
    transpose4(r[4].lo, r[5].lo, r[6].lo, r[7].lo);
    transpose4(r[4].hi, r[5].hi, r[6].hi, r[7].hi);
    for (int i = 0; i < 4; ++i) {
      const float32x4_t right = r[i].hi;
      r[i].hi = r[i + 4].lo;
      r[i + 4].lo = right;
    }
  }
};

}  // namespace
}  // namespace paro
