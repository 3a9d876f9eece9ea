// Minimising over orthogonal matrices: Adam in the skew-symmetric directions at the present point, each step brought
// back onto the group. Knows no objective.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/threads.h"
#include "calib/numeric/blas.h"

namespace paro::calib {

struct DescentOptions {
  int64_t steps = 0;
  double learning_rate = 0.0;  // radians that a step turns each plane of two axes by, about
  double final_rate = 0.05;    // of the learning rate, at the end of the cosine
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-10;
};

/// A random orthogonal matrix, uniform (the rows of a Gaussian matrix made orthonormal).
SquareMatrix random_orthogonal(int64_t n, uint64_t seed, uint64_t stream);

/// The orthogonal matrix nearest to R, in f64 (Newton and Schulz), to about 1e-14. R must be within 1/2 of one.
void orthogonalize(SquareMatrix& r, ThreadPool& pool);
/// Largest entry of |R^T R - I|.
double orthogonality_error(const SquareMatrix& r, ThreadPool& pool);

/// The gradient [n, n] of a function by the entries of R, as its derivative along R expm(t (e_i e_j^T - e_j e_i^T)) for
/// i < j: R^T G - G^T R, skew-symmetric, in f32.
void skew_gradient(const float* r, const float* gradient, int64_t n, float* skew, ThreadPool& pool);

/// Moves `count` rotations [count, n, n] by Adam: loss_gradient(step, rotations, gradient) is called with the present
/// ones for each step. R becomes R expm(D) up to third order in the step D, made orthogonal by one iteration of Newton
/// and Schulz; what is left is far below f32 rounding once steps are small. Orthogonalised in f64 in the end.
/// Source: Adam (arXiv 1412.6980) in the Lie algebra, moments carried along with the moving frame.
std::vector<SquareMatrix> descend(
    const std::vector<SquareMatrix>& start,
    const std::function<void(int64_t step, const float* rotations, float* gradient)>& loss_gradient,
    const DescentOptions& options, ThreadPool& pool);

}  // namespace paro::calib
