// Products of tiles (layout.h) with whole numbers of 16 bits, for any Vec (included after vec/avx2.h or vec/avx512.h):
// bytes widened to 16 bits, multiplied and summed in pairs.
#pragma once

#include "kernels/attention/layout.h"

namespace paro {
namespace {

/// Whole numbers of at most +-kMost, as dot_tiles reads them.
class Codes {
 public:
  static constexpr int kMost = 32639;
  static constexpr int64_t bytes(int64_t n) { return 2 * n; }
  /// Writes the numbers i .. i + kWidth - 1 of n.
  static void store(uint8_t* codes, int64_t /*n*/, int64_t i, Vec::I numbers) {
    Vec::store_i16(codes + 2 * i, numbers);
  }
  Codes() = default;
  Codes(const uint8_t* codes, int64_t /*n*/, int64_t first) : at_(codes + 2 * first) {}
  Vec::I four(int64_t step) const { return Vec::iset1_64(at_ + 8 * step); }

 private:
  const uint8_t* at_ = nullptr;
};

/// The sums of dot_tiles are too large by this times the sum of the numbers.
constexpr int kTileZero = kByteZero;

/// Rows of tiles that one pass multiplies: more would need registers for their sums that AVX2 lacks, and widening, not
/// the queries' broadcasts, is the work.
template <int kQueries>
constexpr int kTileRows = 1;

/// sums[row][query] = sum of (byte * number) over the tiles of each of kRows rows, `stride` bytes apart, for each of a
/// tile's 16 sums; `steps` tiles of kTileDepth numbers, at most 256 numbers; `ahead`: from the tiles to what is
/// prefetched.
template <int kQueries, int kRows>
inline void dot_tiles(const uint8_t* tiles, int64_t stride, int64_t steps, int64_t ahead, const Codes* codes,
                      Vec::I (*sums)[kQueries][16 / Vec::kWidth]) {
  constexpr int kLoad = 2 * Vec::kWidth;  // bytes
  for (int row = 0; row < kRows; ++row) {
    for (int i = 0; i < 16 / Vec::kWidth; ++i) {
      const uint8_t* from = tiles + row * stride + i * 2 * kLoad;
      Vec::I pairs[kQueries][2];
      for (auto& query : pairs) query[0] = query[1] = Vec::izero();
      for (int64_t s = 0; s < steps; ++s) {
        if (i == 0) prefetch(from + s * kTile + ahead);
        const Vec::I first = Vec::load_u8_as_i16(from + s * kTile);
        const Vec::I second = Vec::load_u8_as_i16(from + s * kTile + kLoad);
        for (int r = 0; r < kQueries; ++r) {
          const Vec::I four = codes[r].four(s);
          pairs[r][0] = Vec::iadd(pairs[r][0], Vec::madd16(first, four));
          pairs[r][1] = Vec::iadd(pairs[r][1], Vec::madd16(second, four));
        }
      }
      for (int r = 0; r < kQueries; ++r) sums[row][r][i] = Vec::iadd_pairs(pairs[r][0], pairs[r][1]);
    }
  }
}

}  // namespace
}  // namespace paro
