#include "kernels/elementwise/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/test_variants.h"

namespace paro {
namespace {

TEST(Elementwise, ExpStaysInsideItsBound) {
  std::vector<float> x;
  for (double v = -87.3; v <= 88.0; v += 0.0007) x.push_back(static_cast<float>(v));
  for_each_variant(elementwise_variants(), [&](const ElementKernels& kernels) {
    std::vector<float> out(x.size());
    kernels.exp(x.data(), out.data(), static_cast<int64_t>(x.size()));
    double worst = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i] < -87.3f) continue;
      const double expected = std::exp(static_cast<double>(x[i]));
      worst = std::max(worst, std::abs(out[i] - expected) / expected);
    }
    EXPECT_LT(worst, 2e-7) << isa_name(kernels.isa);
  });
}

TEST(Elementwise, ExpOfSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const float x[] = {-inf, 0.0f, -100.0f, inf, 200.0f, std::nanf(""), -0.0f};
  for_each_variant(elementwise_variants(), [&](const ElementKernels& kernels) {
    float out[7];
    kernels.exp(x, out, 7);
    EXPECT_EQ(out[0], 0.0f);
    EXPECT_EQ(out[1], 1.0f);
    EXPECT_EQ(out[2], 0.0f);
    EXPECT_NEAR(out[3] / std::exp(88.0), 1.0, 3e-7);
    EXPECT_EQ(out[4], out[3]);
    EXPECT_TRUE(std::isnan(out[5]));
    EXPECT_EQ(out[6], 1.0f);
  });
}

TEST(Elementwise, SiluMulOverOddSizes) {
  for_each_variant(elementwise_variants(), [&](const ElementKernels& kernels) {
    for (int64_t n : {0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 1000}) {
      std::vector<float> gate = random_floats(n, 1, 20.0f);
      const std::vector<float> up = random_floats(n, 2);
      std::vector<float> out(static_cast<size_t>(n) + 1, 7.0f);
      kernels.silu_mul(gate.data(), up.data(), out.data(), n);
      EXPECT_EQ(out.back(), 7.0f);
      for (size_t i = 0; i < gate.size(); ++i) {
        const double g = gate[i];
        const double expected = g / (1.0 + std::exp(-g)) * up[i];
        EXPECT_NEAR(out[i], expected, std::abs(expected) * 6e-7 + 1e-36);
      }
      kernels.silu_mul(gate.data(), up.data(), gate.data(), n);  // in place
      for (size_t i = 0; i < gate.size(); ++i) EXPECT_EQ(gate[i], out[i]);
    }
  });
}

TEST(Elementwise, AddIsExact) {
  for_each_variant(elementwise_variants(), [&](const ElementKernels& kernels) {
    for (int64_t n : {0, 1, 5, 8, 13, 16, 29, 100}) {
      const std::vector<float> before = random_floats(n, 4);
      const std::vector<float> y = random_floats(n, 5);
      std::vector<float> x = before;
      kernels.add(x.data(), y.data(), n);
      for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(x[i], before[i] + y[i]);
    }
  });
}

}  // namespace
}  // namespace paro
