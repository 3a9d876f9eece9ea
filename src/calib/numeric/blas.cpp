#include "calib/numeric/blas.h"

#include <cblas.h>

#include <algorithm>

#include "base/cpu.h"
#include "base/error.h"

extern "C" {
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void dpotrs_(const char* uplo, const int* n, const int* columns, const double* a, const int* lda, double* b,
             const int* ldb, int* info);
void dtrtri_(const char* uplo, const char* diagonal, const int* n, double* a, const int* lda, int* info);
}

namespace paro::calib {
namespace {

CBLAS_TRANSPOSE flag(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }
blasint narrow(int64_t value) { return static_cast<blasint>(value); }

}  // namespace

double SquareMatrix::mean_diagonal() const {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += data[static_cast<size_t>(i * n + i)];
  return n == 0 ? 0.0 : sum / static_cast<double>(n);
}

void set_blas_threads(int threads) { openblas_set_num_threads(threads > 0 ? threads : physical_cores()); }

void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  cblas_sgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), narrow(m), narrow(n), narrow(k), alpha, a,
              narrow(lda), b, narrow(ldb), beta, c, narrow(ldc));
}

void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc) {
  cblas_dgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), narrow(m), narrow(n), narrow(k), alpha, a,
              narrow(lda), b, narrow(ldb), beta, c, narrow(ldc));
}

void gram_upper(int64_t n, int64_t rows, const float* x, float* c) {
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, narrow(n), narrow(rows), 1.0f, x, narrow(n), 0.0f, c, narrow(n));
}

bool solve_positive(SquareMatrix& a, double* b, int64_t rows) {
  // Row-major b [rows, n] is column-major [n, rows]: its columns are the right-hand sides of A X^T = B^T.
  const int n = static_cast<int>(a.n);
  const int columns = static_cast<int>(rows);
  int info = 0;
  dpotrf_("L", &n, a.data.data(), &n, &info);
  PARO_CHECK(info >= 0);
  if (info != 0) return false;
  dpotrs_("L", &n, &columns, a.data.data(), &n, b, &n, &info);
  PARO_CHECK(info == 0);
  return true;
}

bool inverse_cholesky_upper(SquareMatrix& a) {
  // With J the reversal, J A J = L L^T gives A = V V^T, V = J L J upper, and A^-1 = V^-T V^-1: U = V^-1. A lower factor
  // read backwards is an upper one, so reversing the whole array before and after is all the permuting needed.
  const int n = static_cast<int>(a.n);
  int info = 0;
  std::reverse(a.data.begin(), a.data.end());
  // Column-major "U" fills what is the lower triangle in row-major order: (L^T) column-major = L row-major.
  dpotrf_("U", &n, a.data.data(), &n, &info);
  PARO_CHECK(info >= 0);
  if (info != 0) return false;
  dtrtri_("U", "N", &n, a.data.data(), &n, &info);
  PARO_CHECK(info >= 0);
  if (info != 0) return false;
  for (int64_t i = 0; i < a.n; ++i) std::fill(a.row(i) + i + 1, a.row(i) + a.n, 0.0);
  std::reverse(a.data.begin(), a.data.end());
  return true;
}

}  // namespace paro::calib
