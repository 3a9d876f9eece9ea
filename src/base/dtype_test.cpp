#include "base/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "base/error.h"
#include "base/tensor.h"

namespace paro {
namespace {

TEST(DType, EveryHalfRoundTrips) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float value = f16_to_f32(static_cast<uint16_t>(h));
    const uint32_t exponent = (h >> 10) & 31;
    const uint32_t fraction = h & 1023;
    if (exponent == 31 && fraction != 0) {
      ASSERT_TRUE(std::isnan(value));
      ASSERT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value))));
      continue;
    }
    // The definition of binary16.
    const double magnitude = exponent == 31  ? HUGE_VAL
                             : exponent == 0 ? std::ldexp(fraction, -24)
                                             : std::ldexp(1024.0 + fraction, static_cast<int>(exponent) - 25);
    ASSERT_EQ(value, (h & 0x8000) != 0 ? -magnitude : magnitude) << h;
    ASSERT_EQ(std::signbit(value), (h & 0x8000) != 0);
    ASSERT_EQ(f32_to_f16(value), h);
  }
}

// Nearest, ties to the even fraction: searched among all halves.
TEST(DType, HalfRoundsToNearestEven) {
  std::mt19937 engine(1);
  std::uniform_real_distribution<float> exponent(-27.0f, 16.1f);
  for (int i = 0; i < 20000; ++i) {
    float x = std::exp2(exponent(engine));
    if (i % 2 == 0) {  // a tie
      const auto h = static_cast<uint16_t>(engine() % 0x7bff);
      x = 0.5f * (f16_to_f32(h) + f16_to_f32(static_cast<uint16_t>(h + 1)));
    }
    const uint16_t h = f32_to_f16(x);
    if (x >= 65520.0f) {
      ASSERT_EQ(h, 0x7c00);
      continue;
    }
    const double error = std::abs(static_cast<double>(f16_to_f32(h)) - x);
    for (int step : {-1, 1}) {
      if (h == 0 && step < 0) continue;
      const auto neighbour = static_cast<uint16_t>(h + step);
      const double value = neighbour == 0x7c00 ? 65536.0 : f16_to_f32(neighbour);
      const double other = std::abs(value - x);
      ASSERT_LE(error, other) << x;
      if (error == other) {
        ASSERT_EQ(h & 1, 0) << x;
      }
    }
    ASSERT_EQ(f32_to_f16(-x), h | 0x8000);
  }
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(1e38f), 0x7c00);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0);  // a tie with 0
  EXPECT_EQ(f32_to_f16(0x1.000002p-25f), 1);
  EXPECT_EQ(f32_to_f16(1e-45f), 0);
}

TEST(DType, BFloatRoundsToNearestEven) {
  for (uint32_t b = 0; b < 65536; ++b) {
    const float value = bf16_to_f32(static_cast<uint16_t>(b));
    if (std::isnan(value))
      ASSERT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(value))));
    else
      ASSERT_EQ(f32_to_bf16(value), b);
  }
  EXPECT_EQ(f32_to_bf16(1.00390625f), 0x3f80);  // tie, down to even
  EXPECT_EQ(f32_to_bf16(1.01171875f), 0x3f82);  // tie, up to even
  EXPECT_EQ(f32_to_bf16(3.4e38f), 0x7f80);
}

TEST(Tensor, CopiesUnalignedFloatsOfEveryType) {
  const float values[] = {1.0f, -2.5f, 0.0f, 1024.0f};
  for (DType type : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16}) {
    std::byte bytes[1 + 4 * 8];
    for (int i = 0; i < 4; ++i) {
      std::byte* to = bytes + 1 + i * dtype_size(type);
      const double d = values[i];
      const uint16_t h = type == DType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
      if (type == DType::kF64)
        std::memcpy(to, &d, 8);
      else if (type == DType::kF32)
        std::memcpy(to, &values[i], 4);
      else
        std::memcpy(to, &h, 2);
    }
    const TensorView view{type, {2, 2}, bytes + 1};
    float out[3];
    copy_as_f32(view, 1, 3, out);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(out[i], values[i + 1]) << dtype_name(type);
    EXPECT_THROW(copy_as_f32(view, 2, 3, out), Error);
  }
  EXPECT_EQ(shape_text({2, 3}), "[2, 3]");
  EXPECT_EQ(shape_text({}), "[]");
}

// Values just beside the middle between two narrow numbers: rounding to float first would move them onto it.
TEST(DType, DoublesAreRoundedOnce) {
  const double nudge = 0x1p-40;
  // Halves are 2^-10 apart at 1, bfloat16 2^-7.
  EXPECT_EQ(f64_to_f16(1.0 + 0x1p-11), f32_to_f16(1.0f));
  EXPECT_EQ(f64_to_f16(1.0 + 0x1p-11 + nudge), f32_to_f16(1.0f) + 1);
  EXPECT_EQ(f64_to_f16(1.0 + 3 * 0x1p-11 - nudge), f32_to_f16(1.0f) + 1);
  EXPECT_EQ(f64_to_f16(-1.0 - 0x1p-11 - nudge), f32_to_f16(-1.0f) + 1);
  EXPECT_EQ(f64_to_bf16(1.0 + 0x1p-8 + nudge), f32_to_bf16(1.0f) + 1);
  EXPECT_EQ(f64_to_bf16(1.0 + 3 * 0x1p-8 - nudge), f32_to_bf16(1.0f) + 1);
  // The smallest halves are 2^-24 apart.
  EXPECT_EQ(f64_to_f16(0x1p-25), 0);
  EXPECT_EQ(f64_to_f16(0x1p-25 * (1 + nudge)), 1);
  EXPECT_EQ(f64_to_f16(1e-300), 0);
  EXPECT_EQ(f64_to_f16(-1e-300), 0x8000);
  EXPECT_EQ(f64_to_f16(65520.0 - 1e-9), 0x7bff);
  EXPECT_EQ(f64_to_f16(65520.0), 0x7c00);
  EXPECT_EQ(f64_to_f16(1e300), 0x7c00);
  EXPECT_EQ(f64_to_bf16(1e300), 0x7f80);
  EXPECT_TRUE(std::isnan(f16_to_f32(f64_to_f16(NAN))));
  std::mt19937 engine(3);
  std::uniform_real_distribution<double> exponent(-26.0, 15.9);
  for (int i = 0; i < 20000; ++i) {
    // Around the middle between two halves, nearer to it than a float tells.
    const auto h = static_cast<uint16_t>(f32_to_f16(static_cast<float>(std::exp2(exponent(engine)))) & 0x7bfe);
    const double low = f16_to_f32(h), high = f16_to_f32(static_cast<uint16_t>(h + 1));
    const double middle = 0.5 * (low + high), little = (high - low) * 0x1p-30;
    ASSERT_EQ(f64_to_f16(middle - little), h);
    ASSERT_EQ(f64_to_f16(middle), h);  // h is even
    ASSERT_EQ(f64_to_f16(middle + little), h + 1);
  }
}

}  // namespace
}  // namespace paro
