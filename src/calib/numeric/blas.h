// The dense products and factorisations calibration needs, row-major, over BLAS and LAPACK. The parallelism is ours:
// BLAS itself runs on one thread, any of our threads may call it, and the work is cut into the same blocks whatever
// the number of threads, so sums do not depend on it. No calibration logic here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/threads.h"

namespace paro::calib {

/// A square matrix in f64, row-major.
struct SquareMatrix {
  int64_t n = 0;
  std::vector<double> data;  // [n, n]

  SquareMatrix() = default;
  explicit SquareMatrix(int64_t size) : n(size), data(static_cast<size_t>(size * size), 0.0) {}
  double* row(int64_t i) { return data.data() + i * n; }
  const double* row(int64_t i) const { return data.data() + i * n; }
  double mean_diagonal() const;
};

/// c [m, n] = alpha a b + beta c on the calling thread; a is [m, k] or, transposed, [k, m]; b is [k, n] or, transposed,
/// [n, k].
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc);

/// total [m, n] += y^T x, y [rows, m], x [rows, n]; products in f32, `total` in f64. With `upper` (m = n) only what
/// lies on or above the diagonal is sure to be added.
void add_cross_product(const float* y, int64_t m, const float* x, int64_t n, int64_t rows, bool upper, double* total,
                       ThreadPool& pool);

/// c [m, n] = alpha a b + beta c, a [m, k], b [k, n], over rows of a.
void gemm(int64_t m, int64_t n, int64_t k, double alpha, const double* a, const double* b, double beta, double* c,
          ThreadPool& pool);

/// The gemm above, its rows spread over the threads.
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc, ThreadPool& pool);
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc, ThreadPool& pool);

/// The rows of A [n, n] made orthonormal in their order (A = L Q, the diagonal of L positive; Q in place of A), on the
/// calling thread.
void orthonormalize_rows(SquareMatrix& a);

/// Solves X A = B in place for symmetric positive definite A [n, n] (destroyed); b [rows, n] becomes X.
/// False when A is not positive definite.
bool solve_positive(SquareMatrix& a, double* b, int64_t rows, ThreadPool& pool);

/// U upper triangular with U^T U = A^-1, in place of symmetric positive definite A (the lower triangle is zero).
/// False, with A destroyed, when A is not positive definite.
bool inverse_cholesky_upper(SquareMatrix& a, ThreadPool& pool);

}  // namespace paro::calib
