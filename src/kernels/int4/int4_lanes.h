// The int4 kernels for any vector type Vec of vec/*.h and byte arithmetic Bytes (both defined before this file is
// included, whose contents therefore have internal linkage too).
#pragma once

#include "kernels/int4/int4_direct.h"
#include "kernels/int4/int4_gemm.h"
#include "kernels/vec/sgemm_tiles.h"

namespace paro {
namespace {

static_assert(kPanelOutputs == kGemmTiles * kTile);

void multiply(const PackedInt4& w, const Int8Rows& x, int64_t row_begin, int64_t row_end, int64_t tile_begin,
              int64_t tile_end, Int4Addend addend, float* y) {
  if (x.lanes == 1) {
    for (int64_t tile = tile_begin; tile < tile_end; ++tile)
      for (int64_t row = row_begin; row < row_end; ++row) direct_tile<1, 1, true>(w, x, row, tile, addend, y);
    return;
  }
  if (row_end - row_begin <= kMaxDirectRows) {
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) direct_all_rows(w, x, row_begin, row_end, tile, addend, y);
    return;
  }
  for (int64_t row = row_begin; row < row_end; row += kChunkRows) {
    const int64_t count = row_end - row < kChunkRows ? row_end - row : kChunkRows;
    int64_t tile = tile_begin;
    for (; tile + kGemmTiles <= tile_end; tile += kGemmTiles) gemm_tiles<kGemmTiles>(w, x, row, count, tile, addend, y);
    for (; tile < tile_end; ++tile) gemm_tiles<1>(w, x, row, count, tile, addend, y);
  }
}

void multiply_f32(const PackedInt4& w, const float* x, int64_t rows, int64_t row_begin, int64_t row_end,
                  int64_t tile_begin, int64_t tile_end, Int4Addend addend, float* y) {
  const int64_t tiles = (w.out + kTile - 1) / kTile;
  const Vec::I low = Vec::iset1(15);
  const auto make_panel = [&](int64_t output, int64_t begin, int64_t depth, float* panel) {
    for (int t = 0; t < kGemmTiles; ++t) {
      const int64_t wanted = output / kTile + t;
      const int64_t tile = wanted < tiles ? wanted : tiles - 1;
      const int64_t groups = w.in / w.group_size;
      const Meta m = load_meta(w.meta.data() + (tile * groups + begin / w.group_size) * kInt4MetaBytes);
      const uint8_t* codes = w.codes.data() + tile * w.in * (kTile / 2) + begin * (kTile / 2);
      for (int v = 0; v < kTileVectors; ++v) {
        const Vec::F zero = Vec::to_float(m.zero[v]);
        float* to = panel + (t * kTileVectors + v) * Vec::kWidth;
        const auto put = [&](int64_t k, Vec::I code) {
          Vec::store(to + k * kPanelOutputs, Vec::mul(Vec::sub(Vec::to_float(Vec::iand(code, low)), zero), m.scale[v]));
        };
        for (int64_t j = 0; j < depth / 8; ++j) {
          const Vec::I both = Vec::iload(codes + j * 64 + v * 4 * Vec::kWidth);
          put(8 * j, both);
          put(8 * j + 1, Vec::template shr<8>(both));
          put(8 * j + 2, Vec::template shr<16>(both));
          put(8 * j + 3, Vec::template shr<24>(both));
          put(8 * j + 4, Vec::template shr<4>(both));
          put(8 * j + 5, Vec::template shr<12>(both));
          put(8 * j + 6, Vec::template shr<20>(both));
          put(8 * j + 7, Vec::template shr<28>(both));
        }
      }
    }
  };
  const int64_t out_end = tile_end * kTile < w.out ? tile_end * kTile : w.out;
  multiply_panels(x, w.in, w.group_size, rows, row_begin, row_end, w.out, tile_begin * kTile, out_end, addend.values, y,
                  make_panel, addend.row_stride);
}

}  // namespace
}  // namespace paro
