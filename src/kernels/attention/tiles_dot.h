// Products of tiles (layout.h) with whole numbers of 16 bits, each in two signed bytes, for a Vec and Bytes whose sums
// take any number of products (included before this file). The names of tiles_madd.h.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/attention/layout.h"

namespace paro {
namespace {

/// number = 256 high + low, all high bytes before all low bytes; 32639 = 256 * 127 + 127.
class Codes {
 public:
  static constexpr int kMost = 32639;
  static constexpr int64_t bytes(int64_t n) { return 2 * n; }
  static void store(uint8_t* codes, int64_t n, int64_t i, Vec::I numbers) {
    const Vec::I half = Vec::iset1(128);
    const Vec::I high = Vec::isub(Vec::shr<8>(Vec::iadd(numbers, Vec::iset1(32768 + 128))), half);
    Vec::store_bytes(codes + i, high);
    Vec::store_bytes(codes + n + i, Vec::isub(numbers, Vec::shl<8>(high)));
  }
  Codes() = default;
  Codes(const uint8_t* codes, int64_t n, int64_t first) : high_(codes + first), low_(codes + n + first) {}
  Vec::I high(int64_t step) const { return four(high_ + 4 * step); }
  Vec::I low(int64_t step) const { return four(low_ + 4 * step); }

 private:
  static Vec::I four(const uint8_t* p) {
    int32_t bytes;
    std::memcpy(&bytes, p, 4);
    return Vec::iset1(bytes);
  }
  const uint8_t* high_ = nullptr;
  const uint8_t* low_ = nullptr;
};

/// The sums of dot_tiles are too large by this times the sum of the numbers.
constexpr int kTileZero = kByteZero - Bytes::kByteShift;

/// Vectors of a tile, and those of sums that one pass multiplies: a broadcast of a query's numbers costs a load, as
/// much as a tile, and serves all of them. The sums (two to a query and vector) stay in registers.
constexpr int kVectors = 16 / Vec::kWidth;
template <int kQueries>
constexpr int kPassVectors = Vec::kWidth == 16 ? (kQueries < 4 ? 4 : 2)
                                               : (kQueries == 1  ? 4
                                                  : kQueries < 4 ? 2
                                                                 : 1);
/// Rows of tiles of a pass.
template <int kQueries>
constexpr int kTileRows = std::max(1, kPassVectors<kQueries> / kVectors);

/// sums[row][query] = sum of (byte * number) over `steps` tiles of each of kRows rows, `stride` bytes apart; `ahead`:
/// from the tiles to what is prefetched.
template <int kQueries, int kRows>
inline void dot_tiles(const uint8_t* tiles, int64_t stride, int64_t steps, int64_t ahead, const Codes* codes,
                      Vec::I (*sums)[kQueries][kVectors]) {
  constexpr int kAtOnce = std::min(kVectors, kPassVectors<kQueries>);
  for (int v = 0; v < kVectors; v += kAtOnce) {
    Vec::I high[kRows][kQueries][kAtOnce];
    Vec::I low[kRows][kQueries][kAtOnce];
    for (int i = 0; i < kRows; ++i)
      for (int r = 0; r < kQueries; ++r)
        for (int j = 0; j < kAtOnce; ++j) high[i][r][j] = low[i][r][j] = Vec::izero();
    for (int64_t s = 0; s < steps; ++s) {
      Vec::I bytes[kRows][kAtOnce];
      for (int i = 0; i < kRows; ++i) {
        const uint8_t* tile = tiles + i * stride + s * kTile;
        if (v == 0) prefetch(tile + ahead);
        for (int j = 0; j < kAtOnce; ++j) bytes[i][j] = Bytes::shifted(Vec::iload(tile + (v + j) * 4 * Vec::kWidth));
      }
#pragma GCC unroll 4
      for (int r = 0; r < kQueries; ++r) {
        const Vec::I four_high = codes[r].high(s);
        const Vec::I four_low = codes[r].low(s);
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i) {
          for (int j = 0; j < kAtOnce; ++j) {
            high[i][r][j] = Bytes::add_one_of_many(high[i][r][j], bytes[i][j], four_high);
            low[i][r][j] = Bytes::add_one_of_many(low[i][r][j], bytes[i][j], four_low);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int r = 0; r < kQueries; ++r)
        for (int j = 0; j < kAtOnce; ++j) sums[i][r][v + j] = Vec::iadd(Vec::shl<8>(high[i][r][j]), low[i][r][j]);
  }
}

}  // namespace
}  // namespace paro
