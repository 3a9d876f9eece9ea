// What bytes_neondot.h and bytes_neoni8mm.h share. Included after vec/neon.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace paro {
namespace {

inline int8x16_t as_bytes(int32x4_t v) { return vreinterpretq_s8_s32(v); }

/// Sixteen zero points as PackedInt4 (int4/int4.h) keeps them.
inline void load_nibble_zeros(const void* p, Vec::I* zero) {
  const uint8x8_t bytes = vld1_u8(static_cast<const uint8_t*>(p));
  const auto widen = [](uint8x8_t v) {
    const uint16x8_t wide = vmovl_u8(v);
    return Vec::I{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide))), vreinterpretq_s32_u32(vmovl_high_u16(wide))};
  };
  zero[0] = widen(vand_u8(bytes, vdup_n_u8(15)));
  zero[1] = widen(vshr_n_u8(bytes, 4));
}

}  // namespace
}  // namespace paro
