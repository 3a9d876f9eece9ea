// What the int4 kernels of this folder share: a tile's scales and zero points, and how a group's dot product enters
// its sum. Included, after a Vec of vec/*.h and byte arithmetic Bytes are defined, by files of one instruction set
// (therefore internal linkage). Outputs lie in the lanes, four inputs in a lane's bytes; an activation's four bytes are
// broadcast.
#pragma once

#include "kernels/int4/int4.h"

namespace paro {
namespace {

constexpr int kTile = static_cast<int>(kInt4Tile);
constexpr int kTileVectors = kTile / Vec::kWidth;
constexpr int kLanes = Vec::kWidth;  // rows interleaved in Int8Rows

/// High nibbles of bytes as low ones.
inline Vec::I high_nibbles_down(Vec::I both) {
  if constexpr (Vec::kHighNibble == 0) return Vec::high_nibbles(both);
  return Vec::iand(Vec::template shr<4>(both), Vec::iset1(0x0f0f0f0f));
}

struct Meta {
  Vec::F scale[kTileVectors];
  Vec::I zero[kTileVectors];
};

inline Meta load_meta(const uint8_t* meta) {
  Meta m;
  for (int v = 0; v < kTileVectors; ++v) m.scale[v] = Vec::load_f16(meta + v * 2 * Vec::kWidth);
  Bytes::load_zeros(meta + 32, m.zero);
  return m;
}

// sum += (dot - zero * row_sum) * (scale * row_scale)
inline Vec::F add_group(Vec::F sum, Vec::I dot, Vec::F scale, Vec::I zero, float row_scale, int32_t row_sum) {
  // |row_sum| <= 128 * 127 fits 16 bits.
  const Vec::I centred = Vec::isub(dot, Vec::mul_small(zero, Vec::iset1(row_sum)));
  return Vec::fma(Vec::to_float(centred), Vec::mul(scale, Vec::set1(row_scale)), sum);
}

inline void store_tile(const Vec::F* sums, int64_t count, const float* bias, float* y) {
  alignas(64) float values[kTile];
  for (int v = 0; v < kTileVectors; ++v) Vec::store(values + v * Vec::kWidth, sums[v]);
  for (int64_t o = 0; o < count; ++o) y[o] = bias == nullptr ? values[o] : values[o] + bias[o];
}

}  // namespace
}  // namespace paro
