// The inner loops of the rotation fit and of rounding, compiled once for each instruction set. Rows (outputs) are the
// vector dimension: data lies transposed, [channels, rows], and is worked on in tiles of kTileRows rows that stay in
// the first-level cache. Sums run in a fixed order, whatever the threads do.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace paro::calib {

constexpr int64_t kTileRows = 32;
constexpr int64_t kMaxGroup = 128;

/// One group of the fit: its weights in both orders, and its pairs with the angles' cosines and sines.
struct FitGroup {
  int64_t channels = 0;               // g, a power of two up to kMaxGroup
  int64_t rows = 0;                   // a multiple of kTileRows (rows of zeros with weight 0 fill it up)
  const float* transposed = nullptr;  // [g, rows]
  const float* weights = nullptr;     // [rows, g]
  const float* row_weight = nullptr;  // [rows]
  int64_t rounds = 0;
  const int16_t* pairs = nullptr;  // round k at pairs + k * pair_stride, g entries
  int64_t pair_stride = 0;
  const float* cosine = nullptr;  // [rounds, g/2]
  const float* sine = nullptr;    // [rounds, g/2]
};

/// Quantization of one group for kTileRows rows. x [g, kTileRows].
struct TileQuantizer {
  float scale[kTileRows];
  float zero[kTileRows];
};

struct Kernels {
  /// loss = sum over rows of weight * s^2 with s = (max(w', 0) - min(w', 0)) / levels, w' = the rotated row; `gradient`
  /// [g, g] becomes d loss / d R, where w' = R w. The channel of an extreme is found from values cut to 24 - log2(g)
  /// bits: near ties may go either way.
  double (*fit_group)(const FitGroup& group, float levels, float* gradient);

  /// d loss / d angle [rounds, g/2] from d loss / d R (`gradient`, destroyed); scratch [g, g]. Per pair, with y the
  /// rotated values: sum (g_i y_j - g_j y_i); then both y and g are taken back through the round.
  void (*angle_gradient)(const FitGroup& group, float* gradient, float* scratch, float* angle_gradient);

  /// Scales (f16) and zero points of a tile. Ratios 1, 0.975, ... 0.6 shrink the range (only 1 when `clip` is false);
  /// the smallest sum of column_weight * error^2 wins, the first among equals.
  void (*choose_range)(const float* x, int64_t channels, float levels, bool clip, const float* column_weight,
                       TileQuantizer* quantizer);

  /// Rounds the g columns one by one and pushes each column's error into those after it:
  /// e_j = (x_j - value_j) / U_jj, x_m -= U_jm e_j for m > j. x [g, kTileRows] is destroyed; codes and errors
  /// [g, kTileRows]; u points to U_00 of the block, rows `u_stride` apart.
  void (*gptq_tile)(float* x, int64_t channels, float levels, const float* u, int64_t u_stride,
                    const TileQuantizer& quantizer, uint8_t* codes, float* errors);

  /// One coordinate descent pass over the g columns with scales fixed: the code that minimises the quadratic form given
  /// all others. slope [g, kTileRows] = rows of (Q - W) H, updated inside the block; h points to H_00 of the block;
  /// delta [g, kTileRows] becomes the change of the values.
  void (*descent_tile)(float* slope, int64_t channels, float levels, const float* h, int64_t h_stride,
                       const TileQuantizer& quantizer, uint8_t* codes, float* delta);
};

/// The loops for an instruction set (the best compiled one that `isa` includes).
const Kernels& kernels_for(Isa isa);

extern const Kernels kGenericKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

}  // namespace paro::calib
