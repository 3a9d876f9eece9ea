#include "kernels/rms_norm/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/test_variants.h"

namespace paro {
namespace {

void expect_norm(const std::vector<float>& x, const std::vector<float>& weight, float eps,
                 const std::vector<float>& out) {
  long double sum = 0.0L;
  for (float v : x) sum += static_cast<long double>(v) * v;
  const long double factor = 1.0L / std::sqrt(sum / static_cast<long double>(x.size()) + eps);
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = static_cast<double>(x[i] * factor * weight[i]);
    EXPECT_NEAR(out[i], expected, std::abs(expected) * 1e-6 + 1e-30) << i << " of " << x.size();
  }
}

TEST(RmsNorm, OddSizesAgainstLongDouble) {
  for_each_variant(norm_variants(), [&](const NormKernels& kernels) {
    for (int64_t dim : {1, 3, 8, 17, 63, 64, 65, 80, 100, 576, 2049}) {
      const std::vector<float> x = random_floats(dim, 1, 3.0f);
      const std::vector<float> y = random_floats(dim, 2);
      const std::vector<float> weight = random_floats(dim, 3);
      std::vector<float> out(x.size() + 1, 7.0f);
      kernels.rms_norm(x.data(), weight.data(), 1e-5f, dim, out.data());
      EXPECT_EQ(out.back(), 7.0f);
      expect_norm(x, weight, 1e-5f, out);

      std::vector<float> sum = x;
      const float factor = kernels.add_factor(sum.data(), y.data(), 1e-5f, dim);
      kernels.scale(sum.data(), factor, weight.data(), dim, out.data());
      for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(sum[i], x[i] + y[i]);
      expect_norm(sum, weight, 1e-5f, out);

      std::vector<float> in_place = x;
      kernels.rms_norm(in_place.data(), weight.data(), 1e-5f, dim, in_place.data());
      expect_norm(x, weight, 1e-5f, in_place);
    }
  });
}

TEST(RmsNorm, MassiveActivationsAndTinyOnes) {
  for_each_variant(norm_variants(), [&](const NormKernels& kernels) {
    std::vector<float> x = random_floats(2048, 4);
    x[7] = 22600.0f;
    x[2047] = -9e5f;
    const std::vector<float> weight(x.size(), 1.0f);
    std::vector<float> out(x.size());
    kernels.rms_norm(x.data(), weight.data(), 1e-6f, 2048, out.data());
    expect_norm(x, weight, 1e-6f, out);
    for (float& v : x) v *= 1e-12f;
    kernels.rms_norm(x.data(), weight.data(), 1e-6f, 2048, out.data());
    expect_norm(x, weight, 1e-6f, out);
    std::fill(x.begin(), x.end(), 0.0f);
    kernels.rms_norm(x.data(), weight.data(), 1e-6f, 2048, out.data());
    for (float v : out) EXPECT_EQ(v, 0.0f);
  });
}

}  // namespace
}  // namespace paro
