// The dense products and factorisations calibration needs, row-major, over BLAS and LAPACK. Sums are deterministic on
// one machine with one number of threads. No calibration logic here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

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

/// Threads BLAS uses from here on; 0: physical cores.
void set_blas_threads(int threads);

/// c [m, n] = alpha a b + beta c; a is [m, k] or, transposed, [k, m]; b is [k, n] or, transposed, [n, k].
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc);

/// Upper triangle of c [n, n] = x^T x, x [rows, n]; the lower triangle is left alone.
void gram_upper(int64_t n, int64_t rows, const float* x, float* c);

/// Solves X A = B in place for symmetric positive definite A [n, n] (destroyed); b [rows, n] becomes X.
/// False when A is not positive definite.
bool solve_positive(SquareMatrix& a, double* b, int64_t rows);

/// U upper triangular with U^T U = A^-1, in place of symmetric positive definite A (the lower triangle is zero).
/// False, with A destroyed, when A is not positive definite.
bool inverse_cholesky_upper(SquareMatrix& a);

}  // namespace paro::calib
