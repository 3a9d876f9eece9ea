// Products of tiles (layout.h) with whole numbers of 16 bits, each in two signed bytes, by AVX-512 VNNI. The names of
// tiles_madd.h. Included after vec/avx512.h.
#pragma once

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

/// sum + products of four bytes. Of the intrinsic GCC 12 copies and spills the sums.
inline Vec::I add_products(Vec::I sum, Vec::I bytes, Vec::I codes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(codes));
  return sum;
}

/// Rows of tiles that one pass multiplies: a broadcast of a query's numbers costs a load, as much as a tile, and serves
/// all of them. Their sums (two to a query and row) stay in registers.
template <int kQueries>
constexpr int kTileRows = kQueries < 4 ? 4 : 2;

/// sums[row][query] = sum of (byte * number) over `steps` tiles of each of kRows rows, `stride` bytes apart; `ahead`:
/// from the tiles to what is prefetched.
template <int kQueries, int kRows>
inline void dot_tiles(const uint8_t* tiles, int64_t stride, int64_t steps, int64_t ahead, const Codes* codes,
                      Vec::I (*sums)[kQueries][1]) {
  Vec::I high[kRows][kQueries];
  Vec::I low[kRows][kQueries];
  for (int i = 0; i < kRows; ++i)
    for (int r = 0; r < kQueries; ++r) high[i][r] = low[i][r] = Vec::izero();
  for (int64_t s = 0; s < steps; ++s) {
    Vec::I bytes[kRows];
    for (int i = 0; i < kRows; ++i) {
      prefetch(tiles + i * stride + s * kTile + ahead);
      bytes[i] = Vec::iload(tiles + i * stride + s * kTile);
    }
    for (int r = 0; r < kQueries; ++r) {
      const Vec::I four_high = codes[r].high(s);
      const Vec::I four_low = codes[r].low(s);
      for (int i = 0; i < kRows; ++i) {
        high[i][r] = add_products(high[i][r], bytes[i], four_high);
        low[i][r] = add_products(low[i][r], bytes[i], four_low);
      }
    }
  }
  for (int i = 0; i < kRows; ++i)
    for (int r = 0; r < kQueries; ++r) sums[i][r][0] = Vec::iadd(Vec::shl<8>(high[i][r]), low[i][r]);
}

}  // namespace
}  // namespace paro
