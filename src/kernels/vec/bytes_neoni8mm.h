// Products of unsigned bytes with int8, four to a 32-bit lane, by the int8 matrix extension. Included after vec/neon.h.
#pragma once

#include "kernels/vec/bytes_neon.h"

namespace paro {
namespace {

struct Bytes {
  /// Whether a sum takes any number of products.
  static constexpr bool kWide = true;
  using Sum = Vec::I;
  static Sum start(Vec::I dot) { return dot; }
  static Sum add(Sum sum, Vec::I bytes, Vec::I x) {
    return {vusdotq_s32(sum.lo, vreinterpretq_u8_s32(bytes.lo), as_bytes(x.lo)),
            vusdotq_s32(sum.hi, vreinterpretq_u8_s32(bytes.hi), as_bytes(x.hi))};
  }
  static Vec::I finish(Vec::I, Sum sum) { return sum; }
  static void load_zeros(const void* p, Vec::I* zero) { load_nibble_zeros(p, zero); }

  /// Any unsigned bytes, less kByteShift, as operands of add.
  static constexpr int kByteShift = 0;
  static Vec::I shifted(Vec::I bytes) { return bytes; }
  static Sum add_one_of_many(Sum sum, Vec::I bytes, Vec::I x) { return add(sum, bytes, x); }
};

}  // namespace
}  // namespace paro
