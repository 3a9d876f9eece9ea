#include "calib/numeric/blas.h"

#include <gtest/gtest.h>

#include <cmath>

#include "calib/numeric/random.h"

namespace paro::calib {
namespace {

SquareMatrix positive(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<double> x(static_cast<size_t>(2 * n * n));
  for (double& v : x) v = random.normal();
  SquareMatrix a(n);
  gemm(true, false, n, n, 2 * n, 1.0, x.data(), n, x.data(), n, 0.0, a.data.data(), n);
  return a;
}

TEST(Blas, SolvesFromTheRight) {
  ThreadPool pool(2);
  // More than one block of the factorisation, and of the rows.
  const int64_t n = 301, rows = 140;
  const SquareMatrix a = positive(n, 1);
  Random random(2);
  std::vector<double> x(rows * n), b(rows * n);
  for (double& v : x) v = random.normal();
  gemm(false, false, rows, n, n, 1.0, x.data(), n, a.data.data(), n, 0.0, b.data(), n);
  SquareMatrix factor = a;
  ASSERT_TRUE(solve_positive(factor, b.data(), rows, pool));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(b[i], x[i], 1e-8);
}

TEST(Blas, InverseCholeskyFactorGivesTheInverse) {
  ThreadPool pool(2);
  const int64_t n = 290;
  const SquareMatrix a = positive(n, 3);
  SquareMatrix u = a;
  ASSERT_TRUE(inverse_cholesky_upper(u, pool));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < i; ++j) EXPECT_EQ(u.row(i)[j], 0.0);
  SquareMatrix inverse(n), product(n);
  gemm(true, false, n, n, n, 1.0, u.data.data(), n, u.data.data(), n, 0.0, inverse.data.data(), n);
  gemm(false, false, n, n, n, 1.0, inverse.data.data(), n, a.data.data(), n, 0.0, product.data.data(), n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) EXPECT_NEAR(product.row(i)[j], i == j ? 1.0 : 0.0, 1e-8);
}

TEST(Blas, CrossProductsAreTheSameOnAnyNumberOfThreads) {
  const int64_t m = 300, n = 270, rows = 7;
  Random random(4);
  std::vector<float> y(rows * m), x(rows * n);
  for (float& v : y) v = static_cast<float>(random.normal());
  for (float& v : x) v = static_cast<float>(random.normal());
  std::vector<double> total(m * n, 1.0);
  ThreadPool pool(3);
  add_cross_product(y.data(), m, x.data(), n, rows, false, total.data(), pool);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 1.0;
      for (int64_t r = 0; r < rows; ++r) sum += double(y[r * m + i]) * x[r * n + j];
      ASSERT_NEAR(total[i * n + j], sum, 1e-5);
    }
  ThreadPool one(1);
  std::vector<double> again(m * n, 1.0);
  add_cross_product(y.data(), m, x.data(), n, rows, false, again.data(), one);
  EXPECT_EQ(again, total);
}

TEST(Blas, IndefiniteMatricesAreRefused) {
  ThreadPool pool(2);
  SquareMatrix a(2);
  a.data = {1.0, 2.0, 2.0, 1.0};
  SquareMatrix b = a;
  std::vector<double> rhs{1.0, 1.0};
  EXPECT_FALSE(solve_positive(a, rhs.data(), 1, pool));
  EXPECT_FALSE(inverse_cholesky_upper(b, pool));

  SquareMatrix late = positive(200, 5);  // positive in its first block only
  late.row(180)[180] = -1.0;
  EXPECT_FALSE(solve_positive(late, std::vector<double>(200).data(), 1, pool));
}

}  // namespace
}  // namespace paro::calib
