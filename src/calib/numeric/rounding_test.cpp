#include "calib/numeric/rounding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "base/error.h"
#include "calib/numeric/pairs.h"
#include "calib/numeric/random.h"
#include "calib/numeric/rotate.h"

namespace paro::calib {
namespace {

std::vector<float> random_weight(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> w(count);
  for (float& v : w) v = static_cast<float>(random.normal());
  return w;
}

SquareMatrix correlated(int64_t n, uint64_t seed) {
  Random random(seed);
  const int64_t rows = 3 * n;
  std::vector<double> x(rows * n);
  for (int64_t r = 0; r < rows; ++r) {
    const double common = random.normal();
    for (int64_t i = 0; i < n; ++i) x[r * n + i] = random.normal() + 1.5 * common * (i % 3 == 0 ? 1.0 : -0.5);
  }
  SquareMatrix h(n);
  gemm(true, false, n, n, rows, 1.0 / static_cast<double>(rows), x.data(), n, x.data(), n, 0.0, h.data.data(), n);
  return h;
}

double value(const Rounded& r, int64_t in, int64_t g, int64_t o, int64_t i) {
  const int64_t at = o * (in / g) + i / g;
  return (double(r.codes[o * in + i]) - r.zeros[at]) * r.scales[at];
}

/// trace E H E^T in double.
double loss_of(const Rounded& r, const std::vector<float>& wt, int64_t out, int64_t g, const SquareMatrix& h) {
  double loss = 0.0;
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < h.n; ++i)
      for (int64_t j = 0; j < h.n; ++j)
        loss += (value(r, h.n, g, o, i) - wt[i * out + o]) * h.row(i)[j] * (value(r, h.n, g, o, j) - wt[j * out + o]);
  return loss;
}

TEST(Rounding, NearestFollowsTheFormatsFormula) {
  ThreadPool pool(2);
  const int64_t in = 64, out = 37, g = 32;
  const std::vector<float> wt = random_weight(in * out, 1);
  for (const Isa isa : supported_isas()) {
    const Rounded r = round_to_nearest(wt, out, {.group_size = g}, kernels_for(isa), pool);
    for (int64_t o = 0; o < out; ++o)
      for (int64_t group = 0; group < in / g; ++group) {
        float high = 0.0f, low = 0.0f;
        for (int64_t c = 0; c < g; ++c) {
          high = std::max(high, wt[(group * g + c) * out + o]);
          low = std::min(low, wt[(group * g + c) * out + o]);
        }
        const float s = f16_to_f32(f32_to_f16((high - low) / 15.0f));
        const float z = std::min(std::max(std::nearbyint(-low / s), 0.0f), 15.0f);
        EXPECT_EQ(r.scales[o * (in / g) + group], s);
        EXPECT_EQ(r.zeros[o * (in / g) + group], z);
        for (int64_t c = 0; c < g; ++c) {
          const float code = std::min(std::max(std::nearbyint(wt[(group * g + c) * out + o] / s) + z, 0.0f), 15.0f);
          EXPECT_EQ(r.codes[o * in + group * g + c], code);
        }
      }
  }
}

/// GPTQ by its definition: after each column the remaining ones are re-solved by explicit inversion of what is left of
/// H (optimal brain surgeon), for scales given.
TEST(Rounding, GptqEqualsTheExplicitRecursion) {
  ThreadPool pool(1);
  const int64_t in = 32, out = 3, g = 32;
  const std::vector<float> wt = random_weight(in * out, 2);
  SquareMatrix h = correlated(in, 3);
  const Rounded r =
      round_second_order(wt, out, h, {.group_size = g, .clip = false, .sweeps = 0}, kGenericKernels, pool);
  SquareMatrix damped = h;
  for (int64_t i = 0; i < in; ++i) damped.row(i)[i] += 0.01 * h.mean_diagonal();
  for (int64_t o = 0; o < out; ++o) {
    std::vector<double> w(in);
    for (int64_t i = 0; i < in; ++i) w[i] = wt[i * out + o];
    const double s = r.scales[o], z = r.zeros[o];
    for (int64_t j = 0; j < in; ++j) {
      const double code = std::min(std::max(std::nearbyint(w[j] / s) + z, 0.0), 15.0);
      EXPECT_EQ(r.codes[o * in + j], code) << o << " " << j;
      const double error = w[j] - (code - z) * s;
      // min over the rest m > j of the quadratic form: H_rest d = -H_rest,j (q - w)_j.
      const int64_t rest = in - j - 1;
      if (rest == 0) break;
      SquareMatrix a(rest);
      std::vector<double> b(rest);
      for (int64_t m = 0; m < rest; ++m) {
        b[m] = damped.row(j + 1 + m)[j] * error;
        for (int64_t k = 0; k < rest; ++k) a.row(m)[k] = damped.row(j + 1 + m)[j + 1 + k];
      }
      ASSERT_TRUE(solve_positive(a, b.data(), 1, pool));
      for (int64_t m = 0; m < rest; ++m) w[j + 1 + m] += b[m];
    }
  }
}

TEST(Rounding, EachRefinementLowersTheLoss) {
  ThreadPool pool(2);
  const int64_t in = 128, out = 40, g = 32;
  const std::vector<float> wt = random_weight(in * out, 4);
  const SquareMatrix h = correlated(in, 5);
  const Kernels& kernels = kernels_for(active_isa());
  const double nearest = loss_of(round_to_nearest(wt, out, {.group_size = g}, kernels, pool), wt, out, g, h);
  const double plain = loss_of(
      round_second_order(wt, out, h, {.group_size = g, .clip = false, .sweeps = 0}, kernels, pool), wt, out, g, h);
  const Rounded best = round_second_order(wt, out, h, {.group_size = g, .sweeps = 2}, kernels, pool);
  EXPECT_LT(plain, 0.9 * nearest);
  EXPECT_LT(best.loss, plain);
  EXPECT_NEAR(best.loss, loss_of(best, wt, out, g, h), 1e-4 * best.loss);
  ThreadPool one(1);
  EXPECT_EQ(round_second_order(wt, out, h, {.group_size = g, .sweeps = 2}, kernels, one).codes, best.codes);
}

/// The least e H_gg e^T over the 17 ranges, in double, for each row and group.
TEST(Rounding, ClippingFindsTheRangeWithTheLeastErrorOfTheBlock) {
  ThreadPool pool(2);
  const int64_t in = 64, out = 37, g = 32;
  const std::vector<float> wt = random_weight(in * out, 11);
  const SquareMatrix h = correlated(in, 12);
  for (const Isa isa : supported_isas()) {
    const Rounded r = round_clipped(wt, out, h, {.group_size = g}, kernels_for(isa), pool);
    EXPECT_NEAR(r.loss, loss_of(r, wt, out, g, h), 1e-4 * r.loss);
    int64_t shrunk = 0;
    for (int64_t o = 0; o < out; ++o)
      for (int64_t group = 0; group < in / g; ++group) {
        const auto block_loss = [&](const auto& value_of) {
          double loss = 0.0;
          for (int64_t i = group * g; i < (group + 1) * g; ++i)
            for (int64_t j = group * g; j < (group + 1) * g; ++j)
              loss += (value_of(i) - wt[i * out + o]) * h.row(i)[j] * (value_of(j) - wt[j * out + o]);
          return loss;
        };
        float high = 0.0f, low = 0.0f;
        for (int64_t i = group * g; i < (group + 1) * g; ++i) {
          high = std::max(high, wt[i * out + o]);
          low = std::min(low, wt[i * out + o]);
        }
        double best = std::numeric_limits<double>::infinity(), whole = 0.0;
        for (int step = 0; step < 17; ++step) {
          const double ratio = 1.0 - 0.025 * step;
          const double s = f16_to_f32(f32_to_f16(static_cast<float>((high - low) * ratio / 15.0)));
          const double z = std::min(std::max(std::nearbyint(-low * ratio / s), 0.0), 15.0);
          const double loss = block_loss([&](int64_t i) {
            return (std::min(std::max(std::nearbyint(wt[i * out + o] / s) + z, 0.0), 15.0) - z) * s;
          });
          if (step == 0) whole = loss;
          best = std::min(best, loss);
        }
        const double found = block_loss([&](int64_t i) { return value(r, in, g, o, i); });
        // Losses in f32, and scales that lie on the edge between two f16 values.
        EXPECT_LE(found, best * 1.02) << o << " " << group;
        shrunk += best < whole ? 1 : 0;
      }
    EXPECT_GT(shrunk, out / 2);
  }
  const Rounded plain = round_clipped(wt, out, h, {.group_size = g, .clip = false}, kernels_for(active_isa()), pool);
  EXPECT_EQ(plain.codes, round_to_nearest(wt, out, {.group_size = g}, kernels_for(active_isa()), pool).codes);
}

TEST(Rounding, NearestLossCountsScaledInputsByTheDefinition) {
  ThreadPool pool(2);
  const int64_t in = 64, out = 70, g = 32;
  const std::vector<float> wt = random_weight(in * out, 13);
  const SquareMatrix h = correlated(in, 14);
  const std::vector<float> h32(h.data.begin(), h.data.end());
  const Kernels& kernels = kernels_for(active_isa());
  std::vector<float> scale(in), scaled = wt;
  for (int64_t i = 0; i < in; ++i) {
    scale[i] = 0.5f + 0.05f * static_cast<float>(i);
    for (int64_t o = 0; o < out; ++o) scaled[i * out + o] *= scale[i];
  }
  // E diag(1/s) H diag(1/s) E^T: the loss of the scaled weight under inputs over s.
  SquareMatrix divided = h;
  for (int64_t i = 0; i < in; ++i)
    for (int64_t j = 0; j < in; ++j) divided.row(i)[j] /= static_cast<double>(scale[i]) * scale[j];
  const RoundOptions options = {.group_size = g};
  const double expected = loss_of(round_to_nearest(scaled, out, options, kernels, pool), scaled, out, g, divided);
  EXPECT_NEAR(nearest_loss(wt, out, scale, h32, options, kernels, pool), expected, 1e-4 * expected);
  const double plain = loss_of(round_to_nearest(wt, out, options, kernels, pool), wt, out, g, h);
  EXPECT_NEAR(nearest_loss(wt, out, {}, h32, options, kernels, pool), plain, 1e-4 * plain);
}

TEST(Rounding, ConstantAndZeroGroups) {
  ThreadPool pool(1);
  const int64_t g = 32;
  for (const float level : {0.0f, 1.0f, -3.0f, 1e-6f}) {
    const std::vector<float> wt(g * 2, level);
    const Rounded r = round_to_nearest(wt, 2, {.group_size = g}, kernels_for(active_isa()), pool);
    for (int64_t i = 0; i < g; ++i) EXPECT_NEAR(value(r, g, g, 1, i), level, 1e-3f * std::abs(level) + 1e-7f);
  }
  // All of one sign and far from zero: the range still contains 0.
  std::vector<float> wt(g * 2);
  for (size_t i = 0; i < wt.size(); ++i) wt[i] = 1.0f + 0.001f * static_cast<float>(i);
  const Rounded r = round_to_nearest(wt, 2, {.group_size = g}, kernels_for(active_isa()), pool);
  for (int64_t i = 0; i < g; ++i) EXPECT_NEAR(value(r, g, g, 1, i), wt[i * 2 + 1], 0.05);
}

TEST(Rounding, ScalesBeyondF16AreRefused) {
  ThreadPool pool(1);
  std::vector<float> wt(32, 0.0f);
  wt[3] = 2e6f;
  EXPECT_THROW(round_to_nearest(wt, 1, {.group_size = 32}, kernels_for(active_isa()), pool), Error);
}

TEST(Rounding, DeadInputsAreRoundedToo) {
  ThreadPool pool(1);
  const std::vector<float> wt = random_weight(32 * 4, 6);
  const Rounded r = round_second_order(wt, 4, SquareMatrix(32), {.group_size = 32}, kernels_for(active_isa()), pool);
  for (int64_t i = 0; i < 32; ++i) EXPECT_NEAR(value(r, 32, 32, 2, i), wt[i * 4 + 2], r.scales[2]);
}

TEST(Rotate, WeightAndSecondMomentTurnTogether) {
  ThreadPool pool(2);
  const int64_t in = 64, out = 6, g = 32;
  const PairRounds pairs = make_pairs(PairKind::kRandom, in, g, 4, 1);
  PairRotation rotation{in, g, pairs.rounds, {}, pairs.pairs, std::vector<float>(in, 1.0f)};
  Random random(8);
  for (int64_t i = 0; i < pairs.rounds * in / 2; ++i) rotation.theta.push_back(static_cast<float>(random.normal()));
  for (float& s : rotation.channel_scales) s = static_cast<float>(0.5 + random.uniform());
  std::vector<float> wt = random_weight(in * out, 7);
  SquareMatrix h = correlated(in, 9);
  const auto quadratic = [&](const std::vector<float>& w, const SquareMatrix& m) {
    double sum = 0.0;
    for (int64_t o = 0; o < out; ++o)
      for (int64_t i = 0; i < in; ++i)
        for (int64_t j = 0; j < in; ++j) sum += double(w[i * out + o]) * m.row(i)[j] * w[j * out + o];
    return sum;
  };
  const double before = quadratic(wt, h);
  rotate_transposed(rotation, wt.data(), out, pool);
  rotate_second_moment(rotation, h, pool);
  EXPECT_NEAR(quadratic(wt, h), before, 1e-4 * before);
  for (int64_t i = 0; i < in; ++i)
    for (int64_t j = 0; j < in; ++j) EXPECT_NEAR(h.row(i)[j], h.row(j)[i], 1e-9);
}

}  // namespace
}  // namespace paro::calib
