#include "calib/numeric/rotation_descent.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "calib/numeric/random.h"

namespace paro::calib {
namespace {

constexpr int64_t kRows = 32;
constexpr double kOrthogonal = 1e-13;  // where f64 rounding keeps the iteration for n up to some thousands
constexpr int kMaxIterations = 40;

/// r = r (3 I - r^T r) / 2; `product` and `old` [n, n] are scratch. Singular values go to 1 quadratically.
template <typename T>
void newton_schulz(T* r, T* product, T* old, int64_t n, ThreadPool& pool) {
  gemm(true, false, n, n, n, T{-0.5}, r, n, r, n, T{0}, product, n, pool);
  for (int64_t i = 0; i < n; ++i) product[i * n + i] += T{1.5};
  std::copy(r, r + n * n, old);
  gemm(false, false, n, n, n, T{1}, old, n, product, n, T{0}, r, n, pool);
}

/// Adam on the entries above the diagonals of skew-symmetric matrices.
class SkewAdam {
 public:
  SkewAdam(int64_t n, const DescentOptions& options)
      : n_(n), options_(options), first_(static_cast<size_t>(n * n)), second_(static_cast<size_t>(n * n)) {}

  /// skew [n, n] = gradient -> step; moments are those of this matrix alone.
  void step(int64_t index, float* skew, ThreadPool& pool) {
    const double done = static_cast<double>(index) / static_cast<double>(options_.steps);
    const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
    const double rate = options_.learning_rate * (options_.final_rate + (1.0 - options_.final_rate) * cosine);
    const double bias1 = 1.0 - std::pow(options_.beta1, static_cast<double>(index + 1));
    const double bias2 = 1.0 - std::pow(options_.beta2, static_cast<double>(index + 1));
    const auto beta1 = static_cast<float>(options_.beta1);
    const auto beta2 = static_cast<float>(options_.beta2);
    const auto scale = static_cast<float>(rate / bias1);
    const auto root_scale = static_cast<float>(1.0 / std::sqrt(bias2));
    const auto epsilon = static_cast<float>(options_.epsilon);
    pool.parallel_for(n_, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        for (int64_t j = i + 1; j < n_; ++j) {
          float& m = first_[static_cast<size_t>(i * n_ + j)];
          float& v = second_[static_cast<size_t>(i * n_ + j)];
          const float slope = skew[i * n_ + j];
          m = beta1 * m + (1.0f - beta1) * slope;
          v = beta2 * v + (1.0f - beta2) * slope * slope;
          const float step = -scale * m / (std::sqrt(v) * root_scale + epsilon);
          skew[i * n_ + j] = step;
          skew[j * n_ + i] = -step;
        }
      for (int64_t i = begin; i < end; ++i) skew[i * n_ + i] = 0.0f;
    });
  }

 private:
  int64_t n_;
  const DescentOptions& options_;
  std::vector<float> first_, second_;  // [n, n], above the diagonal
};

/// r = r (I + D (I + D/2 (I + D/3))), then made orthogonal.
void move_along(float* r, const float* step, float* next, float* scratch, int64_t n, ThreadPool& pool) {
  std::vector<float> base(r, r + n * n);
  for (const float order : {3.0f, 2.0f, 1.0f}) {
    // next = base + r D / order; the factors nest from the inside.
    std::copy(base.begin(), base.end(), next);
    gemm(false, false, n, n, n, 1.0f / order, r, n, step, n, 1.0f, next, n, pool);
    std::copy(next, next + n * n, r);
  }
  newton_schulz(r, next, scratch, n, pool);
}

}  // namespace

SquareMatrix random_orthogonal(int64_t n, uint64_t seed, uint64_t stream) {
  Random random(seed, stream);
  SquareMatrix result(n);
  for (double& value : result.data) value = random.normal();
  orthonormalize_rows(result);
  return result;
}

double orthogonality_error(const SquareMatrix& r, ThreadPool& pool) {
  SquareMatrix product(r.n);
  gemm(true, false, r.n, r.n, r.n, 1.0, r.data.data(), r.n, r.data.data(), r.n, 0.0, product.data.data(), r.n, pool);
  double largest = 0.0;
  for (int64_t i = 0; i < r.n; ++i)
    for (int64_t j = 0; j < r.n; ++j) {
      const double error = std::abs(product.row(i)[j] - (i == j ? 1.0 : 0.0));
      largest = error <= largest ? largest : error;  // NaN wins
    }
  return largest;
}

void orthogonalize(SquareMatrix& r, ThreadPool& pool) {
  SquareMatrix product(r.n);
  SquareMatrix old(r.n);
  double error = orthogonality_error(r, pool);
  for (int i = 0; i < kMaxIterations && !(error < kOrthogonal); ++i) {
    newton_schulz(r.data.data(), product.data.data(), old.data.data(), r.n, pool);
    const double before = error;
    error = orthogonality_error(r, pool);
    if (before < 1e-10 && error >= before) break;  // at the rounding of f64
  }
  PARO_CHECK(error < 1e-10);
}

void skew_gradient(const float* r, const float* gradient, int64_t n, float* skew, ThreadPool& pool) {
  gemm(true, false, n, n, n, 1.0f, r, n, gradient, n, 0.0f, skew, n, pool);
  for (int64_t i = 0; i < n; ++i) {
    skew[i * n + i] = 0.0f;
    for (int64_t j = i + 1; j < n; ++j) {
      const float difference = skew[i * n + j] - skew[j * n + i];
      skew[i * n + j] = difference;
      skew[j * n + i] = -difference;
    }
  }
}

std::vector<SquareMatrix> descend(
    const std::vector<SquareMatrix>& start,
    const std::function<void(int64_t step, const float* rotations, float* gradient)>& loss_gradient,
    const DescentOptions& options, ThreadPool& pool) {
  PARO_CHECK(!start.empty());
  const int64_t n = start.front().n;
  const int64_t size = n * n;
  std::vector<float> rotations;
  for (const SquareMatrix& r : start) rotations.insert(rotations.end(), r.data.begin(), r.data.end());
  std::vector<float> gradient(rotations.size());
  std::vector<float> skew(static_cast<size_t>(size)), next(skew.size()), scratch(skew.size());
  std::vector<SkewAdam> adam(start.size(), SkewAdam(n, options));
  for (int64_t step = 0; step < options.steps; ++step) {
    loss_gradient(step, rotations.data(), gradient.data());
    for (size_t i = 0; i < start.size(); ++i) {
      float* r = rotations.data() + static_cast<int64_t>(i) * size;
      skew_gradient(r, gradient.data() + static_cast<int64_t>(i) * size, n, skew.data(), pool);
      adam[i].step(step, skew.data(), pool);
      move_along(r, skew.data(), next.data(), scratch.data(), n, pool);
    }
  }
  std::vector<SquareMatrix> result;
  for (size_t i = 0; i < start.size(); ++i) {
    result.emplace_back(n);
    std::copy_n(rotations.data() + static_cast<int64_t>(i) * size, size, result.back().data.data());
    orthogonalize(result.back(), pool);
  }
  return result;
}

}  // namespace paro::calib
