#include "calib/numeric/blas.h"

#include <cblas.h>

#include <algorithm>
#include <mutex>

#include "base/error.h"

extern "C" {
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void dgeqrf_(const int* m, const int* n, double* a, const int* lda, double* tau, double* work, const int* lwork,
             int* info);
void dorgqr_(const int* m, const int* n, const int* k, double* a, const int* lda, const double* tau, double* work,
             const int* lwork, int* info);
}

namespace paro::calib {
namespace {

// Columns of a Cholesky step, rows and columns of a product's tile: small enough to spread n = 600 over 16 threads,
// large enough for BLAS to run near its peak.
constexpr int64_t kBlock = 128;

CBLAS_TRANSPOSE flag(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }
blasint narrow(int64_t value) { return static_cast<blasint>(value); }

/// OpenBLAS's own threads spin after each call and would take the cores from ours.
void one_thread() {
  static std::once_flag once;
  std::call_once(once, [] { openblas_set_num_threads(1); });
}

int64_t blocks_of(int64_t n, int64_t block) { return (n + block - 1) / block; }

/// Calls body(begin, end) over [first, n) cut at multiples of `block`, spread over the threads.
template <typename Body>
void for_blocks(ThreadPool& pool, int64_t first, int64_t n, int64_t block, Body&& body) {
  pool.parallel_for(blocks_of(n - first, block), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) body(first + b * block, std::min(first + (b + 1) * block, n));
  });
}

/// The lower factor L of A = L L^T in the lower triangle of a; what is above stays as it was. False: not positive.
bool cholesky_lower(SquareMatrix& a, ThreadPool& pool) {
  const int64_t n = a.n;
  const int lda = static_cast<int>(n);
  for (int64_t k = 0; k < n; k += kBlock) {
    const int64_t next = std::min(k + kBlock, n);
    const int size = static_cast<int>(next - k);
    int info = 0;
    // Row-major lower is column-major upper: U^T U with U = L^T.
    dpotrf_("U", &size, a.row(k) + k, &lda, &info);
    PARO_CHECK(info >= 0);
    if (info != 0) return false;
    for_blocks(pool, next, n, kBlock, [&](int64_t begin, int64_t end) {
      cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, narrow(end - begin), size, 1.0,
                  a.row(k) + k, lda, a.row(begin) + k, lda);
    });
    for_blocks(pool, next, n, kBlock, [&](int64_t begin, int64_t end) {
      gemm(false, true, end - begin, end - next, size, -1.0, a.row(begin) + k, n, a.row(next) + k, n, 1.0,
           a.row(begin) + next, n);
    });
  }
  return true;
}

}  // namespace

double SquareMatrix::mean_diagonal() const {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += data[static_cast<size_t>(i * n + i)];
  return n == 0 ? 0.0 : sum / static_cast<double>(n);
}

void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  one_thread();
  cblas_sgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), narrow(m), narrow(n), narrow(k), alpha, a,
              narrow(lda), b, narrow(ldb), beta, c, narrow(ldc));
}

void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc) {
  one_thread();
  cblas_dgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), narrow(m), narrow(n), narrow(k), alpha, a,
              narrow(lda), b, narrow(ldb), beta, c, narrow(ldc));
}

void add_cross_product(const float* y, int64_t m, const float* x, int64_t n, int64_t rows, bool upper, double* total,
                       ThreadPool& pool) {
  const int64_t columns = blocks_of(n, kBlock);
  pool.parallel_for(blocks_of(m, kBlock) * columns, 1, [&](int64_t first, int64_t last) {
    std::vector<float> tile(static_cast<size_t>(kBlock * kBlock));
    for (int64_t t = first; t < last; ++t) {
      const int64_t i = t / columns * kBlock;
      const int64_t j = t % columns * kBlock;
      if (upper && j < i) continue;
      const int64_t height = std::min(kBlock, m - i);
      const int64_t width = std::min(kBlock, n - j);
      gemm(true, false, height, width, rows, 1.0f, y + i, m, x + j, n, 0.0f, tile.data(), width);
      for (int64_t r = 0; r < height; ++r)
        for (int64_t c = 0; c < width; ++c)
          total[(i + r) * n + j + c] += static_cast<double>(tile[static_cast<size_t>(r * width + c)]);
    }
  });
}

namespace {

template <typename T>
void gemm_over_rows(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, T alpha, const T* a,
                    int64_t lda, const T* b, int64_t ldb, T beta, T* c, int64_t ldc, ThreadPool& pool) {
  for_blocks(pool, 0, m, kBlock, [&](int64_t begin, int64_t end) {
    gemm(transpose_a, transpose_b, end - begin, n, k, alpha, a + (transpose_a ? begin : begin * lda), lda, b, ldb, beta,
         c + begin * ldc, ldc);
  });
}

}  // namespace

void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc, ThreadPool& pool) {
  gemm_over_rows(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, pool);
}

void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
          int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc, ThreadPool& pool) {
  gemm_over_rows(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, pool);
}

void gemm(int64_t m, int64_t n, int64_t k, double alpha, const double* a, const double* b, double beta, double* c,
          ThreadPool& pool) {
  gemm_over_rows(false, false, m, n, k, alpha, a, k, b, n, beta, c, n, pool);
}

void orthonormalize_rows(SquareMatrix& a) {
  one_thread();
  const int n = static_cast<int>(a.n);
  const int work_size = std::max(1, 64 * n);
  std::vector<double> tau(static_cast<size_t>(n));
  std::vector<double> work(static_cast<size_t>(work_size));
  std::vector<double> signs(static_cast<size_t>(n));
  int info = 0;
  // LAPACK's columns are our rows: rows are orthonormalised, and the transpose of such a matrix is orthogonal, too.
  dgeqrf_(&n, &n, a.data.data(), &n, tau.data(), work.data(), &work_size, &info);
  PARO_CHECK(info == 0);
  for (int64_t i = 0; i < a.n; ++i) signs[static_cast<size_t>(i)] = a.row(i)[i] < 0.0 ? -1.0 : 1.0;
  dorgqr_(&n, &n, &n, a.data.data(), &n, tau.data(), work.data(), &work_size, &info);
  PARO_CHECK(info == 0);
  for (int64_t i = 0; i < a.n; ++i)
    for (int64_t j = 0; j < a.n; ++j) a.row(i)[j] *= signs[static_cast<size_t>(i)];
}

bool solve_positive(SquareMatrix& a, double* b, int64_t rows, ThreadPool& pool) {
  one_thread();
  if (!cholesky_lower(a, pool)) return false;
  // X L L^T = B: first Y L^T = B, then X L = Y.
  for_blocks(pool, 0, rows, kBlock, [&](int64_t begin, int64_t end) {
    for (const CBLAS_TRANSPOSE side : {CblasTrans, CblasNoTrans})
      cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, side, CblasNonUnit, narrow(end - begin), narrow(a.n), 1.0,
                  a.data.data(), narrow(a.n), b + begin * a.n, narrow(a.n));
  });
  return true;
}

bool inverse_cholesky_upper(SquareMatrix& a, ThreadPool& pool) {
  one_thread();
  // With J the reversal, J A J = L L^T gives A = V V^T, V = J L J upper, and A^-1 = V^-T V^-1: U = V^-1. A lower factor
  // read backwards is an upper one, so reversing the whole array before and after is all the permuting needed.
  std::reverse(a.data.begin(), a.data.end());
  if (!cholesky_lower(a, pool)) return false;
  SquareMatrix inverse(a.n);
  for_blocks(pool, 0, a.n, kBlock, [&](int64_t begin, int64_t end) {
    // Columns begin.. of the inverse are zero above row `begin`.
    for (int64_t i = begin; i < end; ++i) inverse.row(i)[i] = 1.0;
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, narrow(a.n - begin),
                narrow(end - begin), 1.0, a.row(begin) + begin, narrow(a.n), inverse.row(begin) + begin, narrow(a.n));
  });
  std::reverse(inverse.data.begin(), inverse.data.end());
  a = std::move(inverse);
  return true;
}

}  // namespace paro::calib
