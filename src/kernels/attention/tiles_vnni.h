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

template <int kQueries>
inline void dot_tiles(const uint8_t* tiles, int64_t steps, const Codes* codes, Vec::I (*sums)[1]) {
  constexpr int kSplit = kQueries > 2 ? 1 : 2;  // independent sums, to hide the latency
  Vec::I high[kSplit][kQueries];
  Vec::I low[kSplit][kQueries];
  for (int i = 0; i < kSplit; ++i)
    for (int r = 0; r < kQueries; ++r) high[i][r] = low[i][r] = Vec::izero();
  const auto add = [&](int i, int64_t s) {
    __builtin_prefetch(tiles + s * kTile + kReadAhead);
    const Vec::I bytes = Vec::iload(tiles + s * kTile);
    for (int r = 0; r < kQueries; ++r) {
      high[i][r] = _mm512_dpbusd_epi32(high[i][r], bytes, codes[r].high(s));
      low[i][r] = _mm512_dpbusd_epi32(low[i][r], bytes, codes[r].low(s));
    }
  };
  int64_t s = 0;
  for (; s + kSplit <= steps; s += kSplit)
    for (int i = 0; i < kSplit; ++i) add(i, s + i);
  for (; s < steps; ++s) add(0, s);
  for (int r = 0; r < kQueries; ++r) {
    for (int i = 1; i < kSplit; ++i) {
      high[0][r] = Vec::iadd(high[0][r], high[i][r]);
      low[0][r] = Vec::iadd(low[0][r], low[i][r]);
    }
    sums[r][0] = Vec::iadd(Vec::shl<8>(high[0][r]), low[0][r]);
  }
}

}  // namespace
}  // namespace paro
