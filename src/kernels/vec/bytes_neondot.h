// Products of unsigned nibbles with int8, four to a 32-bit lane, by the dot product extension. Included after
// vec/neon.h.
#pragma once

#include "kernels/vec/bytes_neon.h"

namespace paro {
namespace {

// SDOT takes signed bytes: nibbles are, bytes from 128 on are not.
struct Bytes {
  /// Whether a sum takes any number of products.
  static constexpr bool kWide = true;
  using Sum = Vec::I;
  static Sum start(Vec::I dot) { return dot; }
  static Sum add(Sum sum, Vec::I nibbles, Vec::I x) {
    return {vdotq_s32(sum.lo, as_bytes(nibbles.lo), as_bytes(x.lo)),
            vdotq_s32(sum.hi, as_bytes(nibbles.hi), as_bytes(x.hi))};
  }
  static Vec::I finish(Vec::I, Sum sum) { return sum; }
  static void load_zeros(const void* p, Vec::I* zero) { load_nibble_zeros(p, zero); }

  /// Any unsigned bytes, less kByteShift, as operands of add.
  static constexpr int kByteShift = 128;
  static Vec::I shifted(Vec::I bytes) {
    const int32x4_t top = vreinterpretq_s32_u8(vdupq_n_u8(0x80));
    return {veorq_s32(bytes.lo, top), veorq_s32(bytes.hi, top)};
  }
  static Sum add_one_of_many(Sum sum, Vec::I bytes, Vec::I x) { return add(sum, bytes, x); }
};

}  // namespace
}  // namespace paro
