#include "calib/numeric/rotation_descent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "calib/numeric/random.h"
#include "calib/numeric/rotation_objective.h"

namespace paro::calib {
namespace {

std::vector<float> narrowed(const SquareMatrix& r) { return {r.data.begin(), r.data.end()}; }

TEST(RotationDescent, RandomMatricesAreOrthogonalAndTheSeeds) {
  ThreadPool pool(2);
  for (const int64_t n : {1, 2, 33, 200}) {
    const SquareMatrix r = random_orthogonal(n, 1, 2);
    EXPECT_LT(orthogonality_error(r, pool), 1e-13) << n;
    EXPECT_EQ(r.data, random_orthogonal(n, 1, 2).data);
    if (n > 1) {
      EXPECT_NE(r.data, random_orthogonal(n, 1, 3).data);
      EXPECT_NE(r.data, random_orthogonal(n, 2, 2).data);
    }
  }
}

TEST(RotationDescent, TheNearestOrthogonalMatrixIsFound) {
  ThreadPool pool(2);
  const SquareMatrix exact = random_orthogonal(150, 3, 1);
  // R P with P symmetric positive definite has R as its nearest orthogonal matrix.
  SquareMatrix p(exact.n);
  Random random(4);
  for (int64_t i = 0; i < p.n; ++i) {
    p.row(i)[i] = 1.0 + 0.05 * random.uniform();
    for (int64_t j = 0; j < i; ++j) p.row(i)[j] = p.row(j)[i] = 1e-4 * random.normal();
  }
  SquareMatrix off(exact.n);
  gemm(exact.n, exact.n, exact.n, 1.0, exact.data.data(), p.data.data(), 0.0, off.data.data(), pool);
  EXPECT_GT(orthogonality_error(off, pool), 0.05);
  orthogonalize(off, pool);
  EXPECT_LT(orthogonality_error(off, pool), 1e-12);
  for (size_t i = 0; i < off.data.size(); ++i) EXPECT_NEAR(off.data[i], exact.data[i], 1e-12);
}

TEST(RotationDescent, TheSkewGradientIsTheDerivativeAlongPlaneRotations) {
  ThreadPool pool(1);
  const int64_t n = 16;
  Random random(6);
  std::vector<double> x(40 * n), h(n * n);
  for (double& value : x) value = random.normal();
  for (int64_t i = 0; i < n; ++i) h[i * n + i] = 0.5 + random.uniform();
  const RotatedTerm<double> term{.side = RotatedSide::kInput, .x = x.data(), .rows = 40, .second_moment = h.data()};
  RotationObjective<double> objective(n, 1, 8, 15.0, pool);
  const SquareMatrix r = random_orthogonal(n, 7, 0);
  std::vector<double> gradient(n * n);
  objective.evaluate({&term, 1}, r.data.data(), gradient.data());
  const std::vector<float> narrow_gradient(gradient.begin(), gradient.end());
  std::vector<float> skew(n * n);
  skew_gradient(narrowed(r).data(), narrow_gradient.data(), n, skew.data(), pool);
  double largest = 0.0;
  for (const float s : skew) largest = std::max(largest, std::abs(double{s}));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i + 1; j < n; ++j) {
      EXPECT_EQ(skew[i * n + j], -skew[j * n + i]);
      // R expm(t (e_i e_j^T - e_j e_i^T)) turns columns i and j.
      const auto turned = [&](double t) {
        SquareMatrix result = r;
        for (int64_t k = 0; k < n; ++k) {
          result.row(k)[i] = std::cos(t) * r.row(k)[i] - std::sin(t) * r.row(k)[j];
          result.row(k)[j] = std::sin(t) * r.row(k)[i] + std::cos(t) * r.row(k)[j];
        }
        return objective.evaluate({&term, 1}, result.data.data(), nullptr);
      };
      const double expected = (turned(1e-6) - turned(-1e-6)) / 2e-6;
      // n products of f32 for each entry.
      EXPECT_NEAR(skew[i * n + j], expected, 16.0 * 0x1p-23 * largest) << i << " " << j;
    }
}

TEST(RotationDescent, ReachesAKnownMatrixAndStaysOrthogonal) {
  ThreadPool pool(2);
  const int64_t n = 24;
  // |R - Q|^2 / 2 over two rotations at once, from points a finite way off (in the same half of the group).
  std::vector<SquareMatrix> target, start;
  for (uint64_t i = 0; i < 2; ++i) {
    target.push_back(random_orthogonal(n, 8, i));
    start.push_back(target.back());
    for (int64_t k = 0; k < n; ++k) {
      double& a = start.back().row(k)[i];
      double& b = start.back().row(k)[i + 5];
      std::tie(a, b) = std::pair(std::cos(1.2) * a - std::sin(1.2) * b, std::sin(1.2) * a + std::cos(1.2) * b);
    }
  }
  const auto slope = [&](int64_t, const float* rotations, float* gradient) {
    for (int64_t i = 0; i < 2 * n * n; ++i)
      gradient[i] = rotations[i] - static_cast<float>(target[i / (n * n)].data[i % (n * n)]);
  };
  const std::vector<SquareMatrix> found = descend(start, slope, {.steps = 400, .learning_rate = 0.02}, pool);
  ASSERT_EQ(found.size(), 2u);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LT(orthogonality_error(found[i], pool), 1e-12);
    // The last steps are a twentieth of the learning rate.
    for (size_t k = 0; k < found[i].data.size(); ++k) EXPECT_NEAR(found[i].data[k], target[i].data[k], 2e-3);
  }
  EXPECT_EQ(found[0].data, descend(start, slope, {.steps = 400, .learning_rate = 0.02}, pool)[0].data);
}

TEST(RotationDescent, LowersTheExpectedRoundingErrorOfWeightsWithOutliers) {
  ThreadPool pool(2);
  const int64_t n = 64;
  Random random(9);
  std::vector<float> x(300 * n), h(n * n);
  for (int64_t i = 0; i < 300 * n; ++i) x[i] = static_cast<float>(random.normal() * (i % n % 17 == 0 ? 6.0 : 1.0));
  for (int64_t i = 0; i < n; ++i) h[i * n + i] = i % 11 == 0 ? 20.0f : 1.0f;
  const RotatedTerm<float> term{.side = RotatedSide::kInput, .x = x.data(), .rows = 300, .second_moment = h.data()};
  RotationObjective<float> objective(n, 1, 32, 15.0, pool);
  SquareMatrix identity(n);
  for (int64_t i = 0; i < n; ++i) identity.row(i)[i] = 1.0;
  const SquareMatrix start = random_orthogonal(n, 10, 0);
  const auto loss = [&](const SquareMatrix& r) { return objective.evaluate({&term, 1}, narrowed(r).data(), nullptr); };
  const SquareMatrix found = descend(
                                 {start},
                                 [&](int64_t, const float* r, float* gradient) {
                                   objective.evaluate({&term, 1}, r, gradient);
                                 },
                                 {.steps = 200, .learning_rate = 0.02}, pool)
                                 .front();
  EXPECT_LT(loss(found), 0.9 * loss(start));
  EXPECT_LT(loss(found), 0.9 * loss(identity));
  EXPECT_LT(orthogonality_error(found, pool), 1e-12);
}

}  // namespace
}  // namespace paro::calib
