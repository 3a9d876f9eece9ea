// The target of rounding: not the given weight but the one that, fed with the quantized stream's input, comes closest
// to the full-precision stream's output.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/numeric/blas.h"

namespace paro::calib {

/// W* = W + (B - W H)(H + lambda I)^-1, lambda = `damping` times the mean of diag(H): least squares for the wanted
/// outputs B = E[y x^T], drawn towards W. w [out, in]; excess = B - W H, [out, in] (destroyed). f64 throughout. All
/// zero activations leave W as it is.
/// Sources: GPTAQ (arXiv 2504.02692), Qronos (arXiv 2505.11695); the residual's term enters through B.
std::vector<float> corrected_weight(const float* w, int64_t out, const SquareMatrix& h, std::vector<double> excess,
                                    double damping, ThreadPool& pool);

/// B - W H = W (C - H) for B = W C: `c` = E[x_f x_q^T], [in, in].
std::vector<double> excess_from_inputs(const float* w, int64_t out, const SquareMatrix& h, const std::vector<double>& c,
                                       ThreadPool& pool);
/// B - W H for B given, [out, in].
std::vector<double> excess_from_outputs(const float* w, int64_t out, const SquareMatrix& h, std::vector<double> b,
                                        ThreadPool& pool);

}  // namespace paro::calib
