// vec/add_four.h for NEON: SDOT takes the four bytes from a lane of a register that one load fills. Included after
// vec/bytes_neondot.h or vec/bytes_neoni8mm.h.
#pragma once

namespace paro {
namespace {

/// sum + nibbles times the four bytes at x + 4 i. At x there are the fours of kRows rows (1, or a multiple of 4), and
/// of as many again. i is known to the compiler once loops are unrolled. A nibble is a signed byte, too.
template <int kRows>
inline Vec::I add_four(Vec::I sum, Vec::I nibbles, const int8_t* x, int i) {
  const int8x16_t lo = as_bytes(nibbles.lo);
  const int8x16_t hi = as_bytes(nibbles.hi);
  if constexpr (kRows == 1) {
    const int8x8_t two = vld1_s8(x);
    if (i == 0) return {vdotq_lane_s32(sum.lo, lo, two, 0), vdotq_lane_s32(sum.hi, hi, two, 0)};
    return {vdotq_lane_s32(sum.lo, lo, two, 1), vdotq_lane_s32(sum.hi, hi, two, 1)};
  } else {
    const int8x16_t four = vld1q_s8(x + i / 4 * 16);
    switch (i % 4) {
      case 0: return {vdotq_laneq_s32(sum.lo, lo, four, 0), vdotq_laneq_s32(sum.hi, hi, four, 0)};
      case 1: return {vdotq_laneq_s32(sum.lo, lo, four, 1), vdotq_laneq_s32(sum.hi, hi, four, 1)};
      case 2: return {vdotq_laneq_s32(sum.lo, lo, four, 2), vdotq_laneq_s32(sum.hi, hi, four, 2)};
      default: return {vdotq_laneq_s32(sum.lo, lo, four, 3), vdotq_laneq_s32(sum.hi, hi, four, 3)};
    }
  }
}

}  // namespace
}  // namespace paro
