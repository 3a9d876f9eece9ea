// Values against plain loops, gradients against central differences in double precision.
#include "train/autograd_functions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "calib/numeric/random.h"
#include "quant/paro4/format.h"

namespace paro::train {
namespace {

const at::TensorOptions kDouble = at::TensorOptions(at::kDouble);

at::Tensor random_tensor(std::vector<int64_t> shape, uint64_t seed, double spread = 1.0, double mean = 0.0) {
  calib::Random random(seed);
  at::Tensor result = at::empty(shape, kDouble);
  double* data = result.data_ptr<double>();
  for (int64_t i = 0; i < result.numel(); ++i) data[i] = mean + spread * random.normal();
  return result;
}

/// Of sum(weights * f) by each element of `x`, one after the other.
at::Tensor central_differences(const at::Tensor& x, const at::Tensor& weights, const std::function<at::Tensor()>& f,
                               double step = 1e-6) {
  at::Tensor result = at::empty_like(x);
  double* data = x.data_ptr<double>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double kept = data[i];
    data[i] = kept + step;
    const double above = (weights * f()).sum().item<double>();
    data[i] = kept - step;
    const double below = (weights * f()).sum().item<double>();
    data[i] = kept;
    result.data_ptr<double>()[i] = (above - below) / (2.0 * step);
  }
  return result;
}

at::Tensor trainable(const at::Tensor& x) { return x.detach().clone().set_requires_grad(true); }

void expect_close(const at::Tensor& found, const at::Tensor& expected, double tolerance, const char* what) {
  ASSERT_TRUE(found.defined()) << what;
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  EXPECT_LT((found - expected).abs().max().item<double>(), tolerance * (1.0 + expected.abs().max().item<double>()))
      << what;
}

// Rounding errors of the differences are about 1e-16 / 1e-6 times the sum's size, their own error 1e-12.
constexpr double kTolerance = 1e-7;

TEST(RotatePairs, MatchesTheFormatsReference) {
  const calib::PairRounds pairs = calib::make_pairs(calib::PairKind::kRandom, 64, 32, 5, 7);
  PairRotation rotation;
  rotation.in = 64;
  rotation.group_size = 32;
  rotation.rounds = 5;
  rotation.pairs = pairs.pairs;
  calib::Random random(3);
  for (int i = 0; i < 5 * 32; ++i) rotation.theta.push_back(static_cast<float>(random.normal()));
  for (int i = 0; i < 64; ++i) rotation.channel_scales.push_back(static_cast<float>(std::exp(random.normal())));
  std::vector<float> x(3 * 64);
  for (float& value : x) value = static_cast<float>(random.normal());
  const auto as_tensor = [](std::vector<float>& values, int64_t rows) {
    return at::from_blob(values.data(), {rows, static_cast<int64_t>(values.size()) / rows}, at::kFloat).clone();
  };
  const RotationRounds rounds = rotation_rounds(pairs, at::TensorOptions(at::kFloat));
  const at::Tensor found = rotate_pairs(as_tensor(x, 3), as_tensor(rotation.theta, 5),
                                        as_tensor(rotation.channel_scales, 1).view({64}), rounds);
  rotate_activations_reference(rotation, x.data(), 3);
  EXPECT_LT((found - as_tensor(x, 3)).abs().max().item<float>(), 2e-5f);
}

TEST(RotatePairs, GradientsAreThoseOfCentralDifferences) {
  for (const auto kind : {calib::PairKind::kRandom, calib::PairKind::kButterfly}) {
    const RotationRounds rounds = rotation_rounds(calib::make_pairs(kind, 64, 32, 4, 1), kDouble);
    // Far from angle 0, where a wrong gradient would show.
    const at::Tensor x = trainable(random_tensor({3, 64}, 1)), theta = trainable(random_tensor({4, 32}, 2, 0.8)),
                     scales = trainable(random_tensor({64}, 3, 0.2, 1.0)), weights = random_tensor({3, 64}, 4);
    (rotate_pairs(x, theta, scales, rounds) * weights).sum().backward();
    const auto plain = [&] { return rotate_pairs(x.detach(), theta.detach(), scales.detach(), rounds); };
    expect_close(x.grad(), central_differences(x.detach(), weights, plain), kTolerance, "x");
    expect_close(theta.grad(), central_differences(theta.detach(), weights, plain), kTolerance, "theta");
    expect_close(scales.grad(), central_differences(scales.detach(), weights, plain), kTolerance, "scales");
  }
}

TEST(RotatePairs, NoRoundsOnlyScale) {
  const RotationRounds rounds = rotation_rounds(calib::idle_pairs(32, 32, 0), kDouble);
  const at::Tensor x = random_tensor({2, 32}, 1), scales = random_tensor({32}, 2);
  expect_close(rotate_pairs(x, at::zeros({0, 16}, kDouble), scales, rounds), x * scales, 1e-15, "scaled");
}

/// The straight-through function: rounding replaced by adding what it added at (w, s, z).
struct StraightThrough {
  StraightThrough(const at::Tensor& w, const at::Tensor& s, const at::Tensor& z, ClampGradient gradient)
      : passes(gradient == ClampGradient::kPassThrough) {
    const at::Tensor u = w.view({w.size(0), s.size(1), -1}) / s.unsqueeze(2);
    const at::Tensor zero = z.round().clamp(0, 15).unsqueeze(2);
    added = u.round() - u;
    clamped = (u.round() + zero).clamp(0, 15) - zero - u;
    zero_added = z.round().clamp(0, 15) - z;
  }
  at::Tensor operator()(const at::Tensor& w, const at::Tensor& s, const at::Tensor& z) const {
    const at::Tensor scale = s.unsqueeze(2), u = w.view({w.size(0), s.size(1), -1}) / scale;
    const at::Tensor zero = (z + zero_added).unsqueeze(2);
    if (passes) return ((u + clamped) * scale).view(w.sizes());
    // Codes 0 and 15 are inside: the clamp acts half a step beyond them, and from there on by that half less.
    const at::Tensor code = u + added + zero;
    const at::Tensor limited = code.clamp(-0.5, 15.5) + 0.5 * code.lt(-0.5) - 0.5 * code.gt(15.5);
    return ((limited - zero) * scale).view(w.sizes());
  }
  bool passes;
  at::Tensor added, clamped, zero_added;
};

TEST(FakeQuantize, GradientsAreThoseOfTheStraightThroughFunction) {
  for (const ClampGradient gradient : {ClampGradient::kTrue, ClampGradient::kPassThrough}) {
    const at::Tensor w = trainable(random_tensor({4, 64}, 1));
    // Scales so small that a part of the weights is outside, zero points between two integers.
    const at::Tensor s = trainable(random_tensor({4, 2}, 2, 0.01, 0.15)),
                     z = trainable(random_tensor({4, 2}, 3, 1.0, 7.3));
    const at::Tensor weights = random_tensor({4, 64}, 4);
    const at::Tensor value = fake_quantize(w, s, z, 15.0, gradient);
    const StraightThrough function(w.detach(), s.detach(), z.detach(), gradient);
    expect_close(value.detach(), function(w.detach(), s.detach(), z.detach()), 1e-12, "value");
    (value * weights).sum().backward();
    const auto plain = [&] { return function(w.detach(), s.detach(), z.detach()); };
    expect_close(w.grad(), central_differences(w.detach(), weights, plain), kTolerance, "w");
    expect_close(s.grad(), central_differences(s.detach(), weights, plain), kTolerance, "s");
    if (gradient == ClampGradient::kTrue)
      expect_close(z.grad(), central_differences(z.detach(), weights, plain), kTolerance, "z");
    else
      EXPECT_FALSE(z.grad().defined());
    // Both kinds of weights took part.
    const at::Tensor code = (w / s.repeat_interleave(32, 1)).round() + z.round().repeat_interleave(32, 1);
    EXPECT_TRUE(at::logical_or(code.lt(0), code.gt(15)).any().item<bool>());
    EXPECT_TRUE(at::logical_and(code.ge(0), code.le(15)).any().item<bool>());
  }
}

TEST(FakeQuantize, CodesStayInRangeAndZeroIsRepresented) {
  const at::Tensor w = at::cat({at::zeros({1, 32}, kDouble), at::full({1, 32}, 1e9, kDouble)});
  const at::Tensor value =
      fake_quantize(w, at::full({2, 1}, 0.5, kDouble), at::full({2, 1}, 99.0, kDouble), 15.0, ClampGradient::kTrue);
  EXPECT_EQ(value[0].abs().max().item<double>(), 0.0);
  EXPECT_EQ(value[1].abs().max().item<double>(), 0.0);  // the zero point is 15: nothing above it
}

TEST(ScaledCodes, GradientOfTheScale) {
  const at::Tensor codes = (random_tensor({3, 64}, 1) * 4).round().to(at::kChar);
  const at::Tensor s = trainable(random_tensor({3, 2}, 2)), weights = random_tensor({3, 64}, 3);
  const at::Tensor value = scaled_codes(codes, s);
  expect_close(value.detach(), codes.to(at::kDouble) * s.detach().repeat_interleave(32, 1), 1e-15, "value");
  (value * weights).sum().backward();
  expect_close(s.grad(), central_differences(s.detach(), weights, [&] { return scaled_codes(codes, s.detach()); }),
               kTolerance, "s");
}

}  // namespace
}  // namespace paro::train
