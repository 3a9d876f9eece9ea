#include "calib/numeric/rotation_objective.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "calib/numeric/random.h"
#include "calib/numeric/rotation_descent.h"

namespace paro::calib {
namespace {

constexpr double kLevels = 15.0;
constexpr int64_t kGroup = 8;

/// A term with its numbers.
template <typename T>
struct Owned {
  std::vector<T> x, h;
  RotatedTerm<T> term;
};

/// blocks of a symmetric positive second moment for kInput; weights with a few strong channels, so that extremes
/// differ.
template <typename T>
Owned<T> make_term(RotatedSide side, int64_t rows, int64_t n, int64_t blocks, int64_t sharing, uint64_t seed) {
  Random random(seed);
  Owned<T> owned;
  for (int64_t i = 0; i < rows * blocks * n; ++i)
    owned.x.push_back(static_cast<T>(random.normal() * (i % 5 == 0 ? 4.0 : 1.0)));
  owned.term = {.side = side, .rows = rows, .blocks = blocks, .sharing = sharing, .weight = 0.5 + random.uniform()};
  if (side == RotatedSide::kInput) {
    for (int64_t b = 0; b < blocks; ++b) {
      std::vector<double> a(static_cast<size_t>(n * n));
      for (double& value : a) value = random.normal();
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0.0;
          for (int64_t k = 0; k < n; ++k) sum += a[i * n + k] * a[j * n + k];
          owned.h.push_back(static_cast<T>(sum));
        }
    }
  } else {
    for (int64_t g = 0; g < rows / kGroup; ++g) owned.term.energy.push_back(0.5 + random.uniform());
  }
  return owned;
}

template <typename T>
std::vector<RotatedTerm<T>> terms_of(std::vector<Owned<T>>& owned) {
  std::vector<RotatedTerm<T>> terms;
  for (Owned<T>& one : owned) {
    one.term.x = one.x.data();
    one.term.second_moment = one.h.empty() ? nullptr : one.h.data();
    terms.push_back(one.term);
  }
  return terms;
}

/// The formula, term by term, in double.
double reference(const std::vector<Owned<double>>& owned, const std::vector<double>& rotations, int64_t n) {
  double loss = 0.0;
  for (const Owned<double>& one : owned) {
    const RotatedTerm<double>& t = one.term;
    const int64_t columns = t.blocks * n;
    const auto r = [&](int64_t block, int64_t i, int64_t j) { return rotations[(block / t.sharing * n + i) * n + j]; };
    std::vector<double> y(t.rows * columns), energies(columns);
    for (int64_t row = 0; row < t.rows; ++row)
      for (int64_t c = 0; c < columns; ++c)
        for (int64_t k = 0; k < n; ++k)
          y[row * columns + c] += one.x[row * columns + c / n * n + k] * r(c / n, k, c % n);
    const auto s2 = [&](int64_t first, int64_t stride) {
      double high = 0.0, low = 0.0;
      for (int64_t i = 0; i < kGroup; ++i) {
        high = std::max(high, y[first + i * stride]);
        low = std::min(low, y[first + i * stride]);
      }
      return (high - low) * (high - low) / kLevels / kLevels;
    };
    if (t.side == RotatedSide::kOutput) {
      for (int64_t g = 0; g < t.rows / kGroup; ++g)
        for (int64_t c = 0; c < columns; ++c) loss += t.weight * t.energy[g] * s2(g * kGroup * columns + c, columns);
      continue;
    }
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t i = 0; i < n; ++i)
        for (int64_t k = 0; k < n; ++k)
          energies[c] += r(c / n, i, c % n) * one.h[(c / n * n + i) * n + k] * r(c / n, k, c % n);
    for (int64_t g = 0; g < columns / kGroup; ++g) {
      double energy = 0.0;
      for (int64_t i = 0; i < kGroup; ++i) energy += energies[g * kGroup + i];
      for (int64_t row = 0; row < t.rows; ++row) loss += t.weight * energy * s2(row * columns + g * kGroup, 1);
    }
  }
  return loss;
}

struct Shape {
  int64_t n, count;
  std::vector<Owned<double>> terms;
};

/// The two uses: R1 alone over whole rows; R2 of two KV heads, three query heads each, groups that span heads of both.
std::vector<Shape> shapes() {
  std::vector<Shape> list(2);
  list[0] = {24, 1, {}};
  list[0].terms.push_back(make_term<double>(RotatedSide::kInput, 19, 24, 1, 1, 1));
  list[0].terms.push_back(make_term<double>(RotatedSide::kOutput, 16, 24, 1, 1, 2));
  list[1] = {4, 2, {}};
  list[1].terms.push_back(make_term<double>(RotatedSide::kInput, 10, 4, 6, 3, 3));
  list[1].terms.push_back(make_term<double>(RotatedSide::kOutput, 24, 4, 2, 1, 4));
  return list;
}

std::vector<double> random_rotations(int64_t n, int64_t count) {
  std::vector<double> rotations;
  for (int64_t i = 0; i < count; ++i) {
    const SquareMatrix r = random_orthogonal(n, 5, static_cast<uint64_t>(i));
    rotations.insert(rotations.end(), r.data.begin(), r.data.end());
  }
  return rotations;
}

TEST(RotationObjective, ValueAndGradientAgreeWithTheFormula) {
  ThreadPool pool(2);
  for (Shape& shape : shapes()) {
    const std::vector<double> rotations = random_rotations(shape.n, shape.count);
    const auto terms = terms_of(shape.terms);
    RotationObjective<double> objective(shape.n, shape.count, kGroup, kLevels, pool);
    std::vector<double> gradient(rotations.size());
    const double loss = objective.evaluate(terms, rotations.data(), gradient.data());
    EXPECT_NEAR(loss, reference(shape.terms, rotations, shape.n), 1e-12 * loss);
    double largest = 0.0;
    for (const double g : gradient) largest = std::max(largest, std::abs(g));
    for (size_t i = 0; i < rotations.size(); ++i) {
      std::vector<double> up = rotations, down = rotations;
      up[i] += 1e-6;
      down[i] -= 1e-6;
      const double expected = (reference(shape.terms, up, shape.n) - reference(shape.terms, down, shape.n)) / 2e-6;
      // Differences of values near `loss` over 2e-6, each off by some 1e-16 of it.
      EXPECT_NEAR(gradient[i], expected, 1e-7 * largest) << "n " << shape.n << ", entry " << i;
    }
  }
}

TEST(RotationObjective, F32AgreesWithF64AndThreadsDoNotMatter) {
  for (Shape& shape : shapes()) {
    const std::vector<double> rotations = random_rotations(shape.n, shape.count);
    const std::vector<float> narrow(rotations.begin(), rotations.end());
    std::vector<Owned<float>> narrow_terms;
    for (const Owned<double>& wide : shape.terms) {
      Owned<float>& one = narrow_terms.emplace_back();
      one.x.assign(wide.x.begin(), wide.x.end());
      one.h.assign(wide.h.begin(), wide.h.end());
      one.term = {.side = wide.term.side,
                  .rows = wide.term.rows,
                  .blocks = wide.term.blocks,
                  .sharing = wide.term.sharing,
                  .energy = wide.term.energy,
                  .weight = wide.term.weight};
    }
    const auto terms = terms_of(narrow_terms);
    std::vector<std::vector<float>> gradients;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      RotationObjective<float> objective(shape.n, shape.count, kGroup, kLevels, pool);
      gradients.emplace_back(narrow.size());
      const double loss = objective.evaluate(terms, narrow.data(), gradients.back().data());
      const double expected = reference(shape.terms, rotations, shape.n);
      // Dot products of n values: n half-ulps of f32 each, twice over.
      EXPECT_NEAR(loss, expected, 4.0 * static_cast<double>(shape.n) * 0x1p-24 * expected);
      EXPECT_EQ(gradients.back(), gradients.front()) << threads << " threads";
      EXPECT_EQ(objective.evaluate(terms, narrow.data(), nullptr), loss);
    }
  }
}

TEST(RotationObjective, ZeroWeightsHaveNoLossAndNoSlope) {
  ThreadPool pool(1);
  std::vector<Owned<float>> owned;
  owned.push_back(make_term<float>(RotatedSide::kInput, 5, 16, 1, 1, 1));
  owned.push_back(make_term<float>(RotatedSide::kOutput, 8, 16, 1, 1, 2));
  for (Owned<float>& one : owned) std::fill(one.x.begin(), one.x.end(), 0.0f);
  RotationObjective<float> objective(16, 1, kGroup, kLevels, pool);
  const std::vector<double> wide = random_rotations(16, 1);
  const std::vector<float> r(wide.begin(), wide.end());
  std::vector<float> gradient(r.size(), 1.0f);
  EXPECT_EQ(objective.evaluate(terms_of(owned), r.data(), gradient.data()), 0.0);
  for (const float g : gradient) EXPECT_EQ(g, 0.0f);
}

}  // namespace
}  // namespace paro::calib
