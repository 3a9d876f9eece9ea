// The rotate kernels for any vector type Vec of vec/*.h (included before this file, whose contents therefore have
// internal linkage too). Many rows: rows in the lanes, a group transposed in L1, so that a pair is two plain loads.
// One row in int8: rounds in registers (turn_rounds, of the instruction set's own file).
#pragma once

#include "kernels/rotate/rotate.h"

namespace paro {
namespace {

constexpr int kMaxGroup = 128;
constexpr int32_t kAbsMask = 0x7fffffff;
constexpr int32_t kTinyBits = 0x0d800000;  // of 2^-100: smaller groups are rounded to zeros

struct Group {
  const uint8_t* channels;
  const float* angles;
  int64_t pairs;
  const float* scales;  // of the group's channels; null: all 1
};

inline Group group_of(const RotationTables& t, int64_t group) {
  const int64_t first = t.offsets[static_cast<size_t>(group)];
  return {t.channels.data() + 2 * first, t.angles.data() + 2 * first, t.offsets[static_cast<size_t>(group + 1)] - first,
          t.channel_scales.empty() ? nullptr : t.channel_scales.data() + group * t.group_size};
}

// tile [group_size][kWidth], rows in the lanes.
inline void rotate_tile(const Group& group, float* tile) {
  constexpr int w = Vec::kWidth;
  for (int64_t p = 0; p < group.pairs; ++p) {
    float* a = tile + group.channels[2 * p] * w;
    float* b = tile + group.channels[2 * p + 1] * w;
    const Vec::F c = Vec::set1(group.angles[2 * p]);
    const Vec::F s = Vec::set1(group.angles[2 * p + 1]);
    const Vec::F x = Vec::load(a);
    const Vec::F y = Vec::load(b);
    Vec::store(a, Vec::fma(c, x, Vec::mul(s, y)));
    Vec::store(b, Vec::fms(c, y, Vec::mul(s, x)));
  }
}

// The same with whole rounds, whose angles are widened for the rows of a tile.
inline void rotate_tile_16(const RotationTables& t, int64_t group, float* tile) {
  alignas(64) float angles[kMaxGroup];
  const int64_t half = t.group_size / 2;
  for (int64_t r = t.first_round[static_cast<size_t>(group)]; r < t.first_round[static_cast<size_t>(group + 1)]; ++r) {
    const int16_t* from = t.round_angles.data() + r * t.group_size;
    for (int64_t p = 0; p < half; ++p) {
      angles[2 * p] = static_cast<float>(from[p]) * kAngleStep;
      angles[2 * p + 1] = static_cast<float>(from[half + p]) * kAngleStep;
    }
    rotate_tile({t.round_channels.data() + r * t.group_size, angles, half, nullptr}, tile);
  }
}

inline void load_tile(const Group& group, const float* const* rows, int64_t group_size, float* tile) {
  const float* pointers[Vec::kWidth];
  for (int64_t i = 0; i < group_size; i += 8) {
    for (int l = 0; l < Vec::kWidth; ++l) pointers[l] = rows[l] + i;
    Vec::load_transposed(pointers, group.scales == nullptr ? nullptr : group.scales + i, tile + i * Vec::kWidth);
  }
}

inline void scale_one(const float* scales, const float* x, int64_t group_size, float* y) {
  if (scales == nullptr) {
    __builtin_memcpy(y, x, static_cast<size_t>(group_size) * sizeof(float));
    return;
  }
  int64_t i = 0;
  for (; i + Vec::kWidth <= group_size; i += Vec::kWidth)
    Vec::store(y + i, Vec::mul(Vec::load(x + i), Vec::load(scales + i)));
  if (i < group_size) {
    const int64_t n = group_size - i;
    Vec::store_first(y + i, Vec::mul(Vec::load_first(x + i, n), Vec::load_first(scales + i, n)), n);
  }
}

// One row in f32.
inline void rotate_one(const Group& group, const float* x, int64_t group_size, float* y) {
  scale_one(group.scales, x, group_size, y);
  for (int64_t p = 0; p < group.pairs; ++p) {
    const float c = group.angles[2 * p];
    const float s = group.angles[2 * p + 1];
    float& a = y[group.channels[2 * p]];
    float& b = y[group.channels[2 * p + 1]];
    const float new_a = __builtin_fmaf(c, a, s * b);
    b = __builtin_fmaf(c, b, -(s * a));
    a = new_a;
  }
}

// One row through whole rounds.
inline void rotate_one_16(const RotationTables& t, int64_t group, const float* x, float* y) {
  const int64_t g = t.group_size;
  const int64_t first = t.first_round[static_cast<size_t>(group)];
  const int64_t rounds = t.first_round[static_cast<size_t>(group + 1)] - first;
  const float* scales = t.channel_scales.empty() ? nullptr : t.channel_scales.data() + group * g;
  scale_one(scales, x, g, y);
  if (rounds == 0) return;
  const uint8_t* moves = t.moves.data() + (first + group) * g;
  const int16_t* angles = t.round_angles.data() + first * g;
  switch (g) {
    case 32: return turn_rounds<32>(moves, angles, rounds, y);
    case 64: return turn_rounds<64>(moves, angles, rounds, y);
    default: return turn_rounds<128>(moves, angles, rounds, y);
  }
}

// Rounded values of lanes whose scale is NaN or infinite must not leave int8: everything out of range becomes 0.
inline Vec::I round_to_int8(Vec::F x, Vec::F inverse) {
  const Vec::I v = Vec::round(Vec::mul(x, inverse));
  return Vec::select_greater(v, Vec::iset1(-128), v);
}

// y [group_size] of one row.
inline void quantize_one(const float* y, int64_t group_size, int8_t* q, float* scale, int32_t* sum) {
  const Vec::I mask = Vec::iset1(kAbsMask);
  Vec::I largest = Vec::izero();
  for (int64_t i = 0; i < group_size; i += Vec::kWidth)
    largest = Vec::imax(largest, Vec::iand(Vec::bits(Vec::load(y + i)), mask));
  const int32_t bits = Vec::imax_lanes(largest);
  float absmax;
  __builtin_memcpy(&absmax, &bits, 4);
  const Vec::F inverse = Vec::set1(bits > kTinyBits ? 127.0f / absmax : 0.0f);
  Vec::I total = Vec::izero();
  for (int64_t i = 0; i < group_size; i += Vec::kWidth) {
    const Vec::I v = round_to_int8(Vec::load(y + i), inverse);
    total = Vec::iadd(total, v);
    Vec::store_bytes(q + i, v);
  }
  *scale = absmax * (1.0f / 127.0f);
  *sum = Vec::isum_lanes(total);
}

// tile [group_size][kWidth] -> q [group_size / 4][kWidth][4].
inline void quantize_tile(const float* tile, int64_t group_size, int8_t* q, float* scales, int32_t* sums) {
  constexpr int w = Vec::kWidth;
  const Vec::I mask = Vec::iset1(kAbsMask);
  Vec::I largest = Vec::izero();
  for (int64_t i = 0; i < group_size; ++i)
    largest = Vec::imax(largest, Vec::iand(Vec::bits(Vec::load(tile + i * w)), mask));
  const Vec::F absmax = Vec::from_bits(largest);
  const Vec::F inverse = Vec::from_bits(
      Vec::select_greater(largest, Vec::iset1(kTinyBits), Vec::bits(Vec::div(Vec::set1(127.0f), absmax))));
  const Vec::I byte = Vec::iset1(0xff);
  Vec::I total = Vec::izero();
  for (int64_t i = 0; i < group_size; i += 4) {
    const Vec::I v0 = round_to_int8(Vec::load(tile + i * w), inverse);
    const Vec::I v1 = round_to_int8(Vec::load(tile + (i + 1) * w), inverse);
    const Vec::I v2 = round_to_int8(Vec::load(tile + (i + 2) * w), inverse);
    const Vec::I v3 = round_to_int8(Vec::load(tile + (i + 3) * w), inverse);
    total = Vec::iadd(total, Vec::iadd(Vec::iadd(v0, v1), Vec::iadd(v2, v3)));
    const Vec::I low = Vec::ior(Vec::iand(v0, byte), Vec::shl<8>(Vec::iand(v1, byte)));
    const Vec::I high = Vec::ior(Vec::shl<16>(Vec::iand(v2, byte)), Vec::shl<24>(v3));
    Vec::istore(q + i * w, Vec::ior(low, high));
  }
  Vec::store(scales, Vec::mul(absmax, Vec::set1(1.0f / 127.0f)));
  Vec::istore(sums, total);
}

void rotate(const RotationTables& t, const float* x, int64_t rows, int64_t group_begin, int64_t group_end, float* y) {
  constexpr int w = Vec::kWidth;
  alignas(64) float tile[kMaxGroup * w];
  const int64_t g = t.group_size;
  for (int64_t group = group_begin; group < group_end; ++group) {
    const Group pairs = group_of(t, group);
    int64_t row = 0;
    for (; row + w <= rows; row += w) {
      const float* in[w];
      float* out[w];
      for (int l = 0; l < w; ++l) in[l] = x + (row + l) * t.in + group * g;
      load_tile(pairs, in, g, tile);
      rotate_tile(pairs, tile);
      for (int64_t i = 0; i < g; i += 8) {
        for (int l = 0; l < w; ++l) out[l] = y + (row + l) * t.in + group * g + i;
        Vec::store_transposed(tile + i * w, out);
      }
    }
    for (; row < rows; ++row) {
      rotate_one(pairs, x + row * t.in + group * g, g, tile);
      __builtin_memcpy(y + row * t.in + group * g, tile, static_cast<size_t>(g) * sizeof(float));
    }
  }
}

void rotate_quantize(const RotationTables& t, const FloatRows& x, const Int8Rows& out, int64_t tile_begin,
                     int64_t tile_end, int64_t group_begin, int64_t group_end) {
  constexpr int w = Vec::kWidth;
  alignas(64) float tile[kMaxGroup * w];
  const int64_t g = t.group_size;
  const int64_t padded = out.padded();
  for (int64_t group = group_begin; group < group_end; ++group) {
    const Group pairs = group_of(t, group);
    for (int64_t row = tile_begin * out.lanes; row < tile_end * out.lanes; row += out.lanes) {
      const int64_t at = group * padded + row;
      if (out.lanes == 1) {
        rotate_one_16(t, group, x.at(row, group * g), tile);
        quantize_one(tile, g, out.q + at * g, out.scales + at, out.sums + at);
        continue;
      }
      const float* in[w];
      // Rows of padding repeat the last row; nothing reads their products.
      for (int l = 0; l < w; ++l) in[l] = x.at(row + l < out.rows ? row + l : out.rows - 1, group * g);
      load_tile(pairs, in, g, tile);
      rotate_tile_16(t, group, tile);
      quantize_tile(tile, g, out.q + at * g, out.scales + at, out.sums + at);
    }
  }
}

}  // namespace
}  // namespace paro
