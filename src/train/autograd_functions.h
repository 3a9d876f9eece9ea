// The operations whose gradients are our own: pairwise rotation, fake quantization, and the value of frozen codes.
// Tensors are f32 (or f64: tests compare gradients with finite differences), on any device.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "calib/numeric/pairs.h"

namespace paro::train {

/// Rounds of pairs as indices, [rounds, in] each where nothing else is said.
struct RotationRounds {
  int64_t in = 0;
  int64_t group_size = 0;
  int64_t rounds = 0;
  at::Tensor partner;  // i64: the other channel of the pair
  at::Tensor angle;    // i64: which of the round's in/2 angles
  at::Tensor sign;     // +1 for the pair's first channel i, -1 for its second j
  at::Tensor first;    // i64 [rounds, in/2]: channel i of each angle's pair
  at::Tensor second;   // i64 [rounds, in/2]: channel j
};

/// The used rounds of `pairs`; `like` gives device and element type.
RotationRounds rotation_rounds(const calib::PairRounds& pairs, const at::TensorOptions& like);

/// R_K ... R_1 (x diag(scales)): x [rows, in], theta [used rounds, in/2] in radians, scales [in]. One pair (i, j) with
/// angle t: y_i = cos t x_i + sin t x_j, y_j = cos t x_j - sin t x_i. Gradients of x, theta and scales; that of an
/// angle is g_i y_j - g_j y_i summed over rows, y the values after the pair's round (ParoQuant, arXiv 2511.10645).
/// Keeps x and the result for the backward pass: rounds are undone there, not stored.
at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& theta, const at::Tensor& scales,
                        const RotationRounds& rounds);

/// How the clamp of a fake quantization is differentiated.
enum class ClampGradient {
  kTrue,         // EfficientQAT (arXiv 2407.11062), LSQ+: outside the range w gets nothing, scale and zero point do
  kPassThrough,  // ParoQuant's code: like rounding, as if it were not there; no gradient of the zero point
};

/// (clamp(round(w / s) + z, 0, levels) - z) s with z = clamp(round(zero), 0, levels): w [out, in], scale and zero
/// [out, in / g]. Rounding is half to even and straight-through: with u = w / s and q the clamped code, inside the
/// range dw = 1, ds = q - z - u, dz = 0; outside dw = 0, ds = q - z, dz = -s (kPassThrough: inside's everywhere).
at::Tensor fake_quantize(const at::Tensor& w, const at::Tensor& scale, const at::Tensor& zero, double levels,
                         ClampGradient clamp);

/// codes * s: codes [out, in] i8 (zero point subtracted), scale [out, in / g]; gradient of the scale.
at::Tensor scaled_codes(const at::Tensor& codes, const at::Tensor& scale);

}  // namespace paro::train
