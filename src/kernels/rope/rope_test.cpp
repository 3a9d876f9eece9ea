#include "kernels/rope/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/test_variants.h"

namespace paro {
namespace {

TEST(RopeKernel, OddSizesAgainstDoubleAndNormKept) {
  for_each_variant(rope_variants(), [&](const RopeKernels& kernels) {
    for (int64_t half : {1, 3, 4, 8, 15, 16, 20, 32, 40, 64, 65, 128}) {
      const std::vector<float> angles = random_floats(half, 1, 3.0f);
      std::vector<float> cos, sin;
      for (float a : angles) cos.push_back(std::cos(a)), sin.push_back(std::sin(a));
      const std::vector<float> x = random_floats(2 * half, 2);
      std::vector<float> y = x;
      y.push_back(7.0f);
      kernels.rotate(y.data(), cos.data(), sin.data(), half);
      EXPECT_EQ(y.back(), 7.0f);
      for (size_t i = 0; i < angles.size(); ++i) {
        const double a = x[i], b = x[i + angles.size()], c = cos[i], s = sin[i];
        EXPECT_NEAR(y[i], a * c - b * s, 1e-6);
        EXPECT_NEAR(y[i + angles.size()], b * c + a * s, 1e-6);
      }
    }
  });
}

}  // namespace
}  // namespace paro
