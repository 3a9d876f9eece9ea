// Few rows: nibbles straight from memory, each cache line used once by the first rows and again, from the nearest
// caches, by the following ones.
#pragma once

#include "kernels/int4/int4_tile.h"

namespace paro {
namespace {

// Rows that run through the registers together.
constexpr int kDirectRows = Vec::kWidth == 16 ? 8 : 4;
static_assert(kLanes % kDirectRows == 0);
// Bytes ahead of the nibbles being read: what a core of 40 GB/s receives in 150 ns. A thread's tiles follow each other
// in memory, so this runs into the next tile.
constexpr int64_t kPrefetch = 6144;
constexpr int kLine = 64;  // bytes of codes: 8 inputs of a tile's outputs

// Dot products of kRows rows with kVectors vectors of outputs over one group; `codes` at the group's first line, `q` at
// the rows' first four activations, kStride rows interleaved.
template <int kRows, int kVectors, int kStride, bool kAhead>
inline void group_dots(const uint8_t* codes, int64_t g, const int8_t* q, Vec::I (&dot)[kRows][kVectors]) {
  const Vec::I low = Vec::iset1(0x0f0f0f0f);
  const auto ahead = [](const uint8_t* at) {
    if constexpr (kAhead) __builtin_prefetch(at + kPrefetch);
  };
  if constexpr (Bytes::kWide) {
    // High nibbles have a sum of their own, so that they may stay 16 times too large. Two sums are also two chains of
    // dependent additions.
    Vec::I high[kRows][kVectors];
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kVectors; ++v) dot[r][v] = high[r][v] = Vec::izero();
#pragma GCC unroll 4
    for (int64_t j = 0; j < g / 8; ++j) {
      ahead(codes + j * kLine);
      for (int v = 0; v < kVectors; ++v) {
        const Vec::I both = Vec::iload_once(codes + j * kLine + v * 4 * Vec::kWidth);
        const Vec::I lo = Vec::iand(both, low);
        const Vec::I hi = Vec::high_nibbles(both);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          dot[r][v] = add_four<kStride>(dot[r][v], lo, q + j * kStride * 8, r);
          high[r][v] = add_four<kStride>(high[r][v], hi, q + j * kStride * 8, kStride + r);
        }
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kVectors; ++v)
        dot[r][v] = Vec::iadd(dot[r][v], Vec::template sar<Vec::kHighNibble>(high[r][v]));
  } else {
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kVectors; ++v) dot[r][v] = Vec::izero();
#pragma GCC unroll 1
    for (int64_t i = 0; i < g; i += 32) {
      typename Bytes::Sum part[kRows][kVectors];
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v) part[r][v] = Bytes::start(dot[r][v]);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        ahead(codes + j * kLine);
        for (int v = 0; v < kVectors; ++v) {
          const Vec::I both = Vec::iload_once(codes + j * kLine + v * 4 * Vec::kWidth);
          const Vec::I lo = Vec::iand(both, low);
          const Vec::I hi = high_nibbles_down(both);
          for (int r = 0; r < kRows; ++r) {
            part[r][v] = add_four<kStride>(part[r][v], lo, q + j * kStride * 8, r);
            part[r][v] = add_four<kStride>(part[r][v], hi, q + j * kStride * 8, kStride + r);
          }
        }
      }
      codes += 4 * kLine;
      q += kStride * 32;
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v) dot[r][v] = Bytes::finish(dot[r][v], part[r][v]);
    }
  }
}

// One tile, kRows rows from `row` on, all in one row tile of kStride lanes.
template <int kRows, int kStride, bool kAhead>
inline void direct_tile(const PackedInt4& w, const Int8Rows& x, int64_t row, int64_t tile, Int4Addend addend,
                        float* y) {
  // Sums that the registers hold beside the operands: with eight lanes, of one vector at a time.
  constexpr int vectors = Vec::kWidth == 8 && kRows > 1 ? 1 : kTileVectors;
  const int64_t g = w.group_size;
  const int64_t groups = w.in / g;
  const int64_t padded = (x.rows + kStride - 1) / kStride * kStride;
  const int64_t lane = row % kStride;
  const uint8_t* codes = w.codes.data() + tile * w.in * (kTile / 2);
  const uint8_t* meta = w.meta.data() + tile * groups * kInt4MetaBytes;
  Vec::F sums[kRows][kTileVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kTileVectors; ++v) sums[r][v] = Vec::zero();
  for (int64_t group = 0; group < groups; ++group) {
    const int8_t* q = x.q + (group * padded + row - lane) * g + lane * 4;
    const int64_t at = group * padded + row;
    for (int first = 0; first < kTileVectors; first += vectors) {
      Vec::I dot[kRows][vectors];
      if (first == 0)
        group_dots<kRows, vectors, kStride, kAhead>(codes, g, q, dot);
      else
        group_dots<kRows, vectors, kStride, false>(codes + first * 4 * Vec::kWidth, g, q, dot);
      const Meta m = load_meta(meta);
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < vectors; ++v)
          sums[r][first + v] = add_group(sums[r][first + v], dot[r][v], m.scale[first + v], m.zero[first + v],
                                         x.scales[at + r], x.sums[at + r]);
    }
    codes += g * (kTile / 2);
    meta += kInt4MetaBytes;
  }
  const int64_t output = tile * kTile;
  const int64_t count = w.out - output < kTile ? w.out - output : kTile;
  for (int r = 0; r < kRows; ++r)
    store_tile(sums[r], count, addend.at(row + r, output), y + (row + r) * w.out + output);
}

template <int kRows, bool kAhead>
inline void direct_rows(int64_t rows, const PackedInt4& w, const Int8Rows& x, int64_t row, int64_t tile,
                        Int4Addend addend, float* y) {
  if (rows == kRows) return direct_tile<kRows, kLanes, kAhead>(w, x, row, tile, addend, y);
  if constexpr (kRows > 1) direct_rows<kRows - 1, kAhead>(rows, w, x, row, tile, addend, y);
}

// Rows [row, row_end) of one tile, row a multiple of kLanes.
inline void direct_all_rows(const PackedInt4& w, const Int8Rows& x, int64_t row, int64_t row_end, int64_t tile,
                            Int4Addend addend, float* y) {
  const auto rows_at = [&](int64_t r) { return row_end - r < kDirectRows ? row_end - r : kDirectRows; };
  direct_rows<kDirectRows, true>(rows_at(row), w, x, row, tile, addend, y);
  for (int64_t r = row + kDirectRows; r < row_end; r += kDirectRows)
    direct_rows<kDirectRows, false>(rows_at(r), w, x, r, tile, addend, y);
}

}  // namespace
}  // namespace paro
