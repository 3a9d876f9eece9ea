// The panel of many rows' products, for any Vec and Bytes (included before this file): one group of a few tiles as
// bytes, outputs in the lanes. panel_i8mm.h has the same names.
#pragma once

#include "kernels/int4/int4_tile.h"

namespace paro {
namespace {

constexpr int kGemmRows = Vec::kWidth == 8 ? 4 : 8;
static_assert(kLanes % kGemmRows == 0);
// Rows up to which unpacking costs more than it saves.
constexpr int64_t kMaxDirectRows = Bytes::kWide ? 32 : 2 * kGemmRows;

// One group of kTiles tiles as bytes: panel [group_size / 4][kVectors of bytes].
template <int kTiles>
inline void unpack_group(const PackedInt4& w, int64_t tile, int64_t group, uint8_t* panel) {
  constexpr int line = kTiles * kTile * 4;
  const Vec::I low = Vec::iset1(0x0f0f0f0f);
  for (int t = 0; t < kTiles; ++t) {
    const uint8_t* codes = w.codes.data() + (tile + t) * w.in * (kTile / 2) + group * w.group_size * (kTile / 2);
    uint8_t* to = panel + t * kTile * 4;
    for (int64_t j = 0; j < w.group_size / 8; ++j) {
      for (int v = 0; v < kTileVectors; ++v) {
        const Vec::I both = Vec::iload(codes + j * 64 + v * 4 * Vec::kWidth);
        Vec::istore(to + 2 * j * line + v * 4 * Vec::kWidth, Vec::iand(both, low));
        Vec::istore(to + (2 * j + 1) * line + v * 4 * Vec::kWidth, high_nibbles_down(both));
      }
    }
  }
}

// dot [kGemmRows][kVectors] = the panel times kGemmRows of the rows at q, kLanes interleaved.
template <int kVectors>
inline void panel_dots(const uint8_t* panel, int64_t g, const int8_t* q, Vec::I (&dot)[kGemmRows][kVectors]) {
  for (int r = 0; r < kGemmRows; ++r)
    for (int v = 0; v < kVectors; ++v) dot[r][v] = Vec::izero();
  for (int64_t i = 0; i < g; i += 32) {
    typename Bytes::Sum part[kGemmRows][kVectors];
    for (int r = 0; r < kGemmRows; ++r)
      for (int v = 0; v < kVectors; ++v) part[r][v] = Bytes::start(dot[r][v]);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      Vec::I b[kVectors];
      for (int v = 0; v < kVectors; ++v) b[v] = Vec::iload(panel + v * 4 * Vec::kWidth);
      for (int r = 0; r < kGemmRows; ++r) {
        for (int v = 0; v < kVectors; ++v) part[r][v] = add_four<kLanes>(part[r][v], b[v], q, r);
      }
      panel += kVectors * 4 * Vec::kWidth;
      q += kLanes * 4;
    }
    for (int r = 0; r < kGemmRows; ++r)
      for (int v = 0; v < kVectors; ++v) dot[r][v] = Bytes::finish(dot[r][v], part[r][v]);
  }
}

}  // namespace
}  // namespace paro
