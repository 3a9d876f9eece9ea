// The panel of many rows' products for the int8 matrix extension, with the names of panel_bytes.h. SMMLA multiplies two
// rows of eight bytes by two others: 32 products where SDOT has 16. Included after vec/neon.h.
#pragma once

#include "kernels/int4/int4_tile.h"

namespace paro {
namespace {

constexpr int kGemmRows = 4;
static_assert(kLanes % kGemmRows == 0);
// Rows up to which unpacking costs more than it saves: 16 outputs and 8 inputs take 52 instructions for each 4 rows
// straight from memory, or 28 to unpack and 30 for each 4 rows.
constexpr int64_t kMaxDirectRows = 4;

// One group of kTiles tiles as bytes: panel [group_size / 8][outputs / 2][2][8], eight inputs of two outputs in a
// register. The codes of four outputs have their inputs 0..3 in low and 4..7 in high nibbles.
template <int kTiles>
inline void unpack_group(const PackedInt4& w, int64_t tile, int64_t group, uint8_t* panel) {
  constexpr int line = kTiles * kTile * 8;
  for (int t = 0; t < kTiles; ++t) {
    const uint8_t* codes = w.codes.data() + (tile + t) * w.in * (kTile / 2) + group * w.group_size * (kTile / 2);
    uint8_t* to = panel + t * kTile * 8;
    for (int64_t j = 0; j < w.group_size / 8; ++j) {
      for (int four = 0; four < kTile / 4; ++four) {
        const uint8x16_t both = vld1q_u8(codes + j * 64 + four * 16);
        const uint32x4_t lo = vreinterpretq_u32_u8(vandq_u8(both, vdupq_n_u8(15)));
        const uint32x4_t hi = vreinterpretq_u32_u8(vshrq_n_u8(both, 4));
        vst1q_u8(to + j * line + four * 32, vreinterpretq_u8_u32(vzip1q_u32(lo, hi)));
        vst1q_u8(to + j * line + four * 32 + 16, vreinterpretq_u8_u32(vzip2q_u32(lo, hi)));
      }
    }
  }
}

// dot [kGemmRows][kVectors] = the panel times kGemmRows of the rows at q, kLanes interleaved.
template <int kVectors>
inline void panel_dots(const uint8_t* panel, int64_t g, const int8_t* q, Vec::I (&dot)[kGemmRows][kVectors]) {
  constexpr int pairs = kVectors * Vec::kWidth / 2;  // of outputs
  int32x4_t sums[2][pairs];                          // rows 2 i and 2 i + 1: [row][output of the pair]
  for (auto& row : sums)
    for (auto& sum : row) sum = vdupq_n_s32(0);
  for (int64_t i = 0; i < g; i += 8) {
    // Four inputs of four rows, and the next four.
    const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(q));
    const int32x4_t second = vreinterpretq_s32_s8(vld1q_s8(q + kLanes * 4));
    const int8x16_t rows01 = as_bytes(vzip1q_s32(first, second));
    const int8x16_t rows23 = as_bytes(vzip2q_s32(first, second));
#pragma GCC unroll 8
    for (int p = 0; p < pairs; ++p) {
      const int8x16_t codes = vreinterpretq_s8_u8(vld1q_u8(panel + p * 16));
      sums[0][p] = vmmlaq_s32(sums[0][p], rows01, codes);
      sums[1][p] = vmmlaq_s32(sums[1][p], rows23, codes);
    }
    panel += pairs * 16;
    q += kLanes * 8;
  }
  const auto low = [](int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
  };
  const auto high = [](int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
  };
  for (int r = 0; r < 2; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const int32x4_t* s = sums[r] + 4 * v;
      dot[2 * r][v] = {low(s[0], s[1]), low(s[2], s[3])};
      dot[2 * r + 1][v] = {high(s[0], s[1]), high(s[2], s[3])};
    }
  }
}

}  // namespace
}  // namespace paro
