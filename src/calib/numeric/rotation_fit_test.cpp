#include "calib/numeric/rotation_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "calib/numeric/random.h"

namespace paro::calib {
namespace {

struct Case {
  int64_t out, in, g, rounds;
  std::vector<float> weight, row_weight;
  std::vector<double> energy;
  PairRounds pairs;
  Case(int64_t out_, int64_t in_, int64_t g_, int64_t rounds_, PairKind kind = PairKind::kRandom)
      : out(out_),
        in(in_),
        g(g_),
        rounds(rounds_),
        weight(out * in),
        row_weight(out),
        energy(in / g),
        pairs(make_pairs(kind, in, g, rounds, 3)) {
    Random random(4);
    // A few strong channels, as in real layers: what rotations are for.
    for (int64_t o = 0; o < out; ++o)
      for (int64_t i = 0; i < in; ++i)
        weight[o * in + i] = static_cast<float>(random.normal() * (i % 13 == 0 ? 5.0 : 1.0));
    for (float& w : row_weight) w = static_cast<float>(0.5 + random.uniform());
    for (double& e : energy) e = 1.0 + random.uniform();
  }
  FitProblem problem() const { return {weight.data(), out, row_weight, energy}; }
};

/// The objective in double, straight from its formula.
double reference_loss(const Case& c, const std::vector<double>& theta, double levels) {
  double loss = 0.0;
  for (int64_t group = 0; group < c.in / c.g; ++group)
    for (int64_t o = 0; o < c.out; ++o) {
      std::vector<double> w(c.weight.begin() + o * c.in + group * c.g, c.weight.begin() + o * c.in + (group + 1) * c.g);
      for (int64_t k = 0; k < c.pairs.rounds; ++k)
        for (int64_t t = 0; t < c.g / 2; ++t) {
          const int16_t* pair = c.pairs.pairs.data() + k * c.in + group * c.g + 2 * t;
          const double angle = theta[k * c.in / 2 + group * c.g / 2 + t];
          const double a = w[pair[0]], b = w[pair[1]];
          w[pair[0]] = std::cos(angle) * a + std::sin(angle) * b;
          w[pair[1]] = std::cos(angle) * b - std::sin(angle) * a;
        }
      const double s = (std::max(0.0, *std::max_element(w.begin(), w.end())) -
                        std::min(0.0, *std::min_element(w.begin(), w.end()))) /
                       levels;
      loss += c.energy[group] / 12.0 * c.row_weight[o] * s * s;
    }
  return loss;
}

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> list;
  for (const Isa isa : supported_isas()) {
    const Kernels* k = &kernels_for(isa);
    if (std::find(list.begin(), list.end(), k) == list.end()) list.push_back(k);
  }
  return list;
}

TEST(RotationFit, GradientAgreesWithFiniteDifferences) {
  const Case c(37, 32, 32, 4);
  const int64_t rows = 64;
  Random random(9);
  std::vector<double> theta(c.pairs.rounds * c.in / 2);
  for (double& t : theta) t = 0.4 * random.normal();
  std::vector<float> cosine(theta.size()), sine(theta.size()), transposed(c.g * rows), padded(rows * c.g), weight(rows);
  for (size_t i = 0; i < theta.size(); ++i) {
    cosine[i] = static_cast<float>(std::cos(theta[i]));
    sine[i] = static_cast<float>(std::sin(theta[i]));
  }
  for (int64_t o = 0; o < c.out; ++o) {
    weight[o] = c.row_weight[o];
    for (int64_t i = 0; i < c.in; ++i) padded[o * c.in + i] = transposed[i * rows + o] = c.weight[o * c.in + i];
  }
  const FitGroup group{c.g,           rows,       transposed.data(),    padded.data(),
                       weight.data(), c.rounds,   c.pairs.pairs.data(), c.in,
                       cosine.data(), sine.data()};
  for (const Kernels* kernels : all_kernels()) {
    std::vector<float> gradient(c.g * c.g), scratch(c.g * c.g), slope(theta.size());
    const double loss = kernels->fit_group(group, 15.0f, gradient.data()) * c.energy[0] / 12.0;
    EXPECT_NEAR(loss, reference_loss(c, theta, 15.0), 1e-5 * loss);
    kernels->angle_gradient(group, gradient.data(), scratch.data(), slope.data());
    double largest = 0.0;
    for (const float s : slope) largest = std::max(largest, std::abs(double(s)));
    for (size_t i = 0; i < theta.size(); ++i) {
      std::vector<double> up = theta, down = theta;
      up[i] += 1e-7;
      down[i] -= 1e-7;
      const double expected = (reference_loss(c, up, 15.0) - reference_loss(c, down, 15.0)) / 2e-7;
      EXPECT_NEAR(slope[i] * c.energy[0] / 12.0, expected, 1e-3 * largest * c.energy[0] / 12.0) << i;
    }
  }
}

TEST(RotationFit, LowersTheExpectedErrorAndReportsIt) {
  ThreadPool pool(2);
  for (const PairKind kind : {PairKind::kRandom, PairKind::kButterfly}) {
    const Case c(96, 128, 64, 8, kind);
    const FitResult fit = fit_rotation(c.problem(), c.pairs, {}, kernels_for(active_isa()), pool);
    EXPECT_LT(fit.loss_after, 0.6 * fit.loss_before);
    const std::vector<double> zero(fit.theta.size());
    EXPECT_NEAR(fit.loss_before, reference_loss(c, zero, 15.0), 1e-4 * fit.loss_before);
    EXPECT_NEAR(fit.loss_after, reference_loss(c, {fit.theta.begin(), fit.theta.end()}, 15.0), 1e-4 * fit.loss_after);
    for (int64_t k = c.pairs.used_rounds; k < c.pairs.rounds; ++k)
      for (int64_t t = 0; t < c.in / 2; ++t) EXPECT_EQ(fit.theta[k * c.in / 2 + t], 0.0f);
    ThreadPool one(1);
    EXPECT_EQ(fit_rotation(c.problem(), c.pairs, {}, kernels_for(active_isa()), one).theta, fit.theta);
  }
}

TEST(RotationFit, ZeroWeightsAndNoRoundsSurvive) {
  ThreadPool pool(1);
  Case c(8, 64, 64, 8);
  std::fill(c.weight.begin(), c.weight.end(), 0.0f);
  for (const float t : fit_rotation(c.problem(), c.pairs, {}, kernels_for(active_isa()), pool).theta)
    EXPECT_TRUE(std::isfinite(t));
  const Case none(8, 64, 64, 0);
  for (const float t : fit_rotation(none.problem(), none.pairs, {}, kernels_for(active_isa()), pool).theta)
    EXPECT_EQ(t, 0.0f);
}

}  // namespace
}  // namespace paro::calib
