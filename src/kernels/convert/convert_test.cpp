#include "kernels/convert/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/dtype.h"
#include "kernels/test_variants.h"

namespace paro {
namespace {

TEST(Convert, AllSixteenBitValuesWidenExactly) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  for_each_variant(convert_variants(), [&](const ConvertKernels& kernels) {
    std::vector<float> f16(all.size()), bf16(all.size());
    kernels.f16_to_f32(all.data(), 65536, f16.data());
    kernels.bf16_to_f32(all.data(), 65536, bf16.data());
    for (size_t i = 0; i < all.size(); ++i) {
      const float expected = f16_to_f32(all[i]);
      if (std::isnan(expected))
        ASSERT_TRUE(std::isnan(f16[i])) << i;
      else
        ASSERT_EQ(std::bit_cast<uint32_t>(f16[i]), std::bit_cast<uint32_t>(expected)) << i;
      ASSERT_EQ(std::bit_cast<uint32_t>(bf16[i]), static_cast<uint32_t>(i) << 16);
    }
  });
}

TEST(Convert, NarrowsLikeTheScalarConversion) {
  std::mt19937 engine(1);
  std::vector<float> values;
  for (int i = 0; i < 200000; ++i) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(engine())));
  // Halfway cases between neighbours, subnormals included, and both sides of them.
  for (uint32_t h = 0; h < 0x7c00; ++h) {
    const float middle = 0.5f * (f16_to_f32(static_cast<uint16_t>(h)) + f16_to_f32(static_cast<uint16_t>(h + 1)));
    for (float v : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) values.push_back(-v);
  }
  for (float v : {65504.0f, 65519.99f, 65520.0f, 1e30f, HUGE_VALF, 0.0f, 5.9e-8f, 2.9e-8f, 1e-45f})
    values.insert(values.end(), {v, -v});
  for_each_variant(convert_variants(), [&](const ConvertKernels& kernels) {
    std::vector<uint16_t> out(values.size());
    kernels.f32_to_f16(values.data(), static_cast<int64_t>(values.size()), out.data());
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i]))
        ASSERT_TRUE(std::isnan(f16_to_f32(out[i])));
      else
        ASSERT_EQ(out[i], f32_to_f16(values[i])) << values[i];
    }
  });
}

TEST(Convert, WritesExactlyNElements) {
  for_each_variant(convert_variants(), [&](const ConvertKernels& kernels) {
    for (int64_t n = 0; n < 40; ++n) {
      const std::vector<float> from = random_floats(n, 3);
      std::vector<uint16_t> half(static_cast<size_t>(n) + 1, 7);
      std::vector<float> back(static_cast<size_t>(n) + 1, 7.0f);
      kernels.f32_to_f16(from.data(), n, half.data());
      kernels.f16_to_f32(half.data(), n, back.data());
      EXPECT_EQ(half.back(), 7);
      EXPECT_EQ(back.back(), 7.0f);
      for (size_t i = 0; i < from.size(); ++i) EXPECT_NEAR(back[i], from[i], std::abs(from[i]) * 0x1p-11f);
    }
  });
}

}  // namespace
}  // namespace paro
