// Making an input ready for quantized weights: channel scales, pair rotations, rounding to int8. All variants give
// the same bits (every operation is one rounding, FMA included); tables are prepared once, at load.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/cpu.h"

namespace paro {

/// A rotation prepared for the kernels, in two forms. For products in f32, exact: the pairs of one group after another,
/// rounds in order; pairs whose angle is 0 are left out, so an identity costs nothing. For int8: whole rounds (those
/// whose angles are all 0 left out) with cos and sin in 16 bits, rounded to multiples of 2^-14, a two-hundredth of an
/// int8 step. For pair p: y_i = fma(c, x_i, s x_j), y_j = fma(c, x_j, -s x_i).
struct RotationTables {
  int64_t in = 0;
  int64_t group_size = 0;
  std::vector<float> channel_scales;  // [in]; empty: all 1
  std::vector<int32_t> offsets;       // [groups + 1], into pairs
  std::vector<uint8_t> channels;      // [pairs, 2], inside the group
  std::vector<float> angles;          // [pairs, 2]: cos, sin

  std::vector<int32_t> first_round;     // [groups + 1], into rounds
  std::vector<uint8_t> round_channels;  // [rounds, group_size / 2, 2], inside the group
  std::vector<int16_t> round_angles;    // [rounds, 2, group_size / 2]: cos, then sin, times 2^14
  /// How one row moves through the rounds in registers: before each round, the first elements of its pairs come to
  /// places 0 .. group_size / 2 - 1 and the second ones behind them, in order; after the last round, all go home. For
  /// each place the place it comes from: [rounds of the group + 1, group_size], the groups one after another (group g
  /// begins at first_round[g] + g). Empty without any rounds.
  std::vector<uint8_t> moves;

  bool identity() const { return channels.empty() && channel_scales.empty(); }
  /// What the int8 path reads for one row.
  int64_t bytes() const {
    return static_cast<int64_t>(channel_scales.size() * sizeof(float) + round_angles.size() * sizeof(int16_t) +
                                moves.size());
  }
  bool operator==(const RotationTables&) const = default;
};

constexpr float kAngleStep = 0x1p-14f;

/// theta [rounds, in/2], pairs [rounds, in] (checked perfect matchings inside groups), channel_scales [in].
RotationTables make_rotation_tables(int64_t in, int64_t group_size, int64_t rounds, const float* theta,
                                    const int16_t* pairs, const float* channel_scales);

/// Rows of int8 and what belongs to them. `lanes` rows are interleaved by 4 channels:
/// q [groups][padded / lanes][group_size / 4][lanes][4], scales and sums [groups][padded], padded = rows rounded up
/// to lanes. With lanes 1, q of one row is the plain row.
struct Int8Rows {
  int8_t* q = nullptr;
  float* scales = nullptr;  // absmax / 127; NaN where the input holds one
  int32_t* sums = nullptr;  // of q over the group
  int64_t rows = 0;
  int64_t lanes = 1;

  int64_t padded() const { return (rows + lanes - 1) / lanes * lanes; }
};

/// Rows of f32 of which a part lies at `data`, from row `first_row` and channel `first_channel` on.
struct FloatRows {
  const float* data = nullptr;
  int64_t stride = 0;  // from row to row
  int64_t first_row = 0;
  int64_t first_channel = 0;

  const float* at(int64_t row, int64_t channel) const {
    return data + (row - first_row) * stride + (channel - first_channel);
  }
};

struct RotateKernels {
  Isa isa;
  int64_t lanes;  // rows that rotate_quantize interleaves when there is more than one

  /// x [rows, in] -> y [rows, in] f32 for groups [group_begin, group_end); y may be x.
  void (*rotate)(const RotationTables& tables, const float* x, int64_t rows, int64_t group_begin, int64_t group_end,
                 float* y);
  /// x [out.rows, in] (of which only what is asked for must be there) -> out, for row tiles [tile_begin, tile_end) of
  /// out.lanes rows and groups [group_begin, group_end). out.lanes is 1 or `lanes`.
  void (*rotate_quantize)(const RotationTables& tables, const FloatRows& x, const Int8Rows& out, int64_t tile_begin,
                          int64_t tile_end, int64_t group_begin, int64_t group_end);
};

/// Compiled variants, those included that this processor cannot run (see supported_isas()).
std::span<const RotateKernels> rotate_variants();
/// The variant of `isa`, or the best below it. kAvx512Vnni: kAvx512's, kNeonI8mm: kNeon's.
const RotateKernels& rotate_kernels(Isa isa);

}  // namespace paro
