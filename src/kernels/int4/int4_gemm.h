// Many rows: a group of a few tiles is unpacked to bytes in L1 (panel_bytes.h, panel_i8mm.h, included before this file)
// and shared by up to kChunkRows rows.
#pragma once

#include "kernels/int4/int4_tile.h"

namespace paro {
namespace {

constexpr int kGemmVectors = 2;  // of outputs
constexpr int kGemmTiles = kGemmVectors / kTileVectors;
constexpr int kChunkRows = 128;  // rows that share unpacked nibbles
constexpr int kMaxGroupSize = 128;

// kGemmRows rows times one group's panel: sums [kGemmRows][kVectors].
template <int kVectors>
inline void gemm_block(const uint8_t* panel, int64_t g, const int8_t* q, const Vec::F* scale, const Vec::I* zero,
                       const float* row_scales, const int32_t* row_sums, float* sums) {
  Vec::I dot[kGemmRows][kVectors];
  panel_dots(panel, g, q, dot);
  for (int r = 0; r < kGemmRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      float* sum = sums + (r * kVectors + v) * Vec::kWidth;
      Vec::store(sum, add_group(Vec::load(sum), dot[r][v], scale[v], zero[v], row_scales[r], row_sums[r]));
    }
  }
}

// kTiles tiles, rows [row, row + count), row a multiple of kLanes and the rows of the last row tile padded.
template <int kTiles>
inline void gemm_tiles(const PackedInt4& w, const Int8Rows& x, int64_t row, int64_t count, int64_t tile,
                       Int4Addend addend, float* y) {
  constexpr int vectors = kTiles * kTileVectors;
  alignas(64) uint8_t panel[kMaxGroupSize * kTiles * kTile];
  alignas(64) float sums[kChunkRows * kTiles * kTile];
  const int64_t g = w.group_size;
  const int64_t groups = w.in / g;
  const int64_t padded = x.padded();
  const int64_t blocks = (count + kGemmRows - 1) / kGemmRows;
  __builtin_memset(sums, 0, static_cast<size_t>(blocks * kGemmRows * kTiles * kTile) * sizeof(float));
  for (int64_t group = 0; group < groups; ++group) {
    unpack_group<kTiles>(w, tile, group, panel);
    Vec::F scale[vectors];
    Vec::I zero[vectors];
    for (int t = 0; t < kTiles; ++t) {
      const Meta m = load_meta(w.meta.data() + ((tile + t) * groups + group) * kInt4MetaBytes);
      for (int v = 0; v < kTileVectors; ++v) {
        scale[t * kTileVectors + v] = m.scale[v];
        zero[t * kTileVectors + v] = m.zero[v];
      }
    }
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t r = row + block * kGemmRows;
      const int64_t lane = r % kLanes;
      gemm_block<vectors>(panel, g, x.q + (group * padded + r - lane) * g + lane * 4, scale, zero,
                          x.scales + group * padded + r, x.sums + group * padded + r,
                          sums + block * kGemmRows * kTiles * kTile);
    }
  }
  const int64_t output = tile * kTile;
  const int64_t outputs = w.out - output < kTiles * kTile ? w.out - output : kTiles * kTile;
  for (int64_t r = 0; r < count; ++r) {
    const float* from = sums + r * kTiles * kTile;
    float* to = y + (row + r) * w.out + output;
    const float* added = addend.at(row + r, output);
    for (int64_t o = 0; o < outputs; ++o) to[o] = added == nullptr ? from[o] : from[o] + added[o];
  }
}

}  // namespace
}  // namespace paro
