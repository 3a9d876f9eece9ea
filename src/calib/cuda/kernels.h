// The launches of calibration's own kernels: plain C++, so that no other header meets the device compiler. Matrices are
// row-major; weights lie [out, in], one warp taking one row of one group where rows are independent.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace paro::calib {

// Matrices.

/// total [rows, columns] (f64, rows `stride` apart) += part (f32, rows `part_stride` apart).
void launch_add_to_total(cudaStream_t stream, double* total, int64_t stride, const float* part, int64_t part_stride,
                         int64_t rows, int64_t columns);
/// h [n, n] = both triangles of `total`'s upper one times `factor`.
void launch_symmetric(cudaStream_t stream, const double* total, double factor, int64_t n, double* h);
/// out[i] = x[i] * factor.
void launch_scale(cudaStream_t stream, const double* x, double factor, int64_t count, double* out);
/// out[i] = a[i] - b[i].
void launch_difference(cudaStream_t stream, const double* a, const double* b, int64_t count, double* out);
/// *bad += values that are not finite.
void launch_count_nonfinite(cudaStream_t stream, const double* x, int64_t count, unsigned long long* bad);
void launch_copy_diagonal(cudaStream_t stream, const double* h, int64_t n, double* diagonal);
/// a = h with diagonal entries that are not positive replaced by `substitute` (when it is positive), plus `extra`.
void launch_damp(cudaStream_t stream, const double* h, double substitute, double extra, int64_t n, double* a);
/// The flat array backwards, in place: turns a square matrix by 180 degrees.
void launch_reverse(cudaStream_t stream, double* a, int64_t count);
/// out [n, n] = the transpose of a in f32; with `upper_only`, 0 below out's diagonal.
void launch_transposed_f32(cudaStream_t stream, const double* a, int64_t n, bool upper_only, float* out);
void launch_transpose(cudaStream_t stream, double* a, int64_t n);
void launch_widen(cudaStream_t stream, const float* x, int64_t count, double* out);
void launch_narrow(cudaStream_t stream, const double* x, int64_t count, float* out);
/// h[i][i] += extra.
void launch_add_diagonal(cudaStream_t stream, float* h, float extra, int64_t n);
/// w[i] = f32(w[i] + excess[i]).
void launch_add_excess(cudaStream_t stream, float* w, const double* excess, int64_t count);
/// *sum = sum of a[i] b[i] in f64, in an order that does not change; scratch holds kDotParts values.
constexpr int kDotParts = 1024;
void launch_dot(cudaStream_t stream, const float* a, const float* b, int64_t count, double* scratch, double* sum);

// Rotations. theta [rounds, in/2] as cosine and sine, pairs [rounds, in] (channel numbers inside the group).

/// Every row of x [rows, in] becomes R_K ... R_1 x (`inverse`: R_1^T ... R_K^T x). T is float or double.
void launch_rotate_rows(cudaStream_t stream, float* x, int64_t rows, int64_t in, int64_t group, int64_t rounds,
                        const int16_t* pairs, const float* cosine, const float* sine, bool inverse);
void launch_rotate_rows(cudaStream_t stream, double* x, int64_t rows, int64_t in, int64_t group, int64_t rounds,
                        const int16_t* pairs, const double* cosine, const double* sine, bool inverse);
/// x[r, i] *= factor[i] (`divide`: /=).
void launch_scale_columns(cudaStream_t stream, float* x, const float* factor, int64_t rows, int64_t in, bool divide);
void launch_scale_columns(cudaStream_t stream, double* x, const float* factor, int64_t rows, int64_t in, bool divide);

// Rotation fit. One group of `g` channels is fitted by a row of `slices` blocks.

struct FitLaunch {
  const float* weight;      // [rows, in]
  const float* row_weight;  // [rows]
  int64_t rows, in;
  int group, rounds, slices;
  float levels;
  const int16_t* pairs;  // [rounds, in]
  float* cosine;         // [rounds, in/2]
  float* sine;
  float* gradients;  // [in/g, slices, g, g]: d loss / d R, from each slice
  double* losses;    // [in/g, slices]
};
/// Warps of one block that fit into `shared_bytes` of shared memory; 0: too little.
int fit_warps(int group, int rounds, int shared_bytes);
/// Loss and gradient at the present angles, as Kernels::fit_group (numeric/kernels.h) defines them.
cudaError_t launch_fit_evaluate(cudaStream_t stream, const FitLaunch& fit, int warps);
struct AdamStep {
  double rate, beta1, beta2, epsilon;
  double correction1, correction2;  // 1 - beta^step
};
/// d loss / d angle from the gradients, times scale[group], then one step of Adam; theta, first, second [rounds, in/2].
cudaError_t launch_fit_step(cudaStream_t stream, const FitLaunch& fit, const double* scale, const AdamStep& step,
                            float* theta, double* first, double* second);

// Rounding. Formulas: numeric/kernels.h.

struct RoundLaunch {
  int64_t rows, in;
  int group;
  float levels;
  uint8_t* codes;  // [rows, in]
  float* scales;   // [rows, in/g]
  float* zeros;    // [rows, in/g]
};
/// Range of each group (no clipping), codes to nearest; error [rows, in] = value - w unless null.
void launch_round_nearest(cudaStream_t stream, const RoundLaunch& round, const float* w, float* error);
/// Group `index` of GPTQ: range by the clipping search (`clip`), codes column by column. x [rows, in] is the
/// compensated weight, u [in, in] the factor; errors [rows, g] are what is to be pushed into later groups.
cudaError_t launch_round_group(cudaStream_t stream, const RoundLaunch& round, int64_t index, bool clip, const float* x,
                               const float* u, float* errors);
/// Group `index` of a coordinate descent pass: slope [rows, in], h [in, in]; change [rows, g] of the values.
cudaError_t launch_descend_group(cudaStream_t stream, const RoundLaunch& round, int64_t index, const float* slope,
                                 const float* h, float* change);
/// error [rows, in] = (code - zero) * scale - w; w may be null (0).
void launch_rounding_error(cudaStream_t stream, const RoundLaunch& round, const float* w, float* error);
/// The same without subtracting, in f64: (code - zero) * scale with integer zeros [rows, in/g].
void launch_dequantize(cudaStream_t stream, const uint8_t* codes, const uint8_t* zeros, const float* scales,
                       int64_t rows, int64_t in, int64_t group, double* out);

}  // namespace paro::calib
