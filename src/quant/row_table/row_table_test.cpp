#include "quant/row_table/row_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/test_variants.h"
#include "quant/test_source.h"

namespace paro {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kRows = 37, kIn = 128;

std::vector<float> weight() {
  std::vector<float> w = random_floats(kRows * kIn, 1);
  std::fill(w.begin() + 5 * kIn, w.begin() + 6 * kIn, 0.0f);  // a token that was never seen
  w[3 * kIn + 7] = 40.0f;
  return w;
}

RowTableBytes rounded(int64_t bits, ThreadPool& pool) {
  const std::vector<float> w = weight();
  return round_row_table({DType::kF32, {kRows, kIn}, reinterpret_cast<const std::byte*>(w.data())}, bits, pool, "w");
}

MemorySource stored(int64_t bits, ThreadPool& pool) {
  MemorySource source;
  source.add(row_table_tensors("x", std::make_shared<const RowTableBytes>(rounded(bits, pool))));
  return source;
}

// Half a step of 8 bits; of 4 bits a step, for a smaller range may cut the ends off, and no more than without one.
TEST(RowTable, RoundsToTheNearestOfItsSteps) {
  ThreadPool pool(2);
  const std::vector<float> w = weight();
  for (const int64_t bits : {8, 4}) {
    const std::vector<float> found = rounded(bits, pool).dequantize();
    const int64_t group = bits == 8 ? kIn : 32;
    for (int64_t g = 0; g < kRows * kIn / group; ++g) {
      float low = 0.0f, high = 0.0f;
      double error = 0.0;
      for (int64_t i = g * group; i < (g + 1) * group; ++i) {
        const auto at = static_cast<size_t>(i);
        low = std::min(low, w[at]);
        high = std::max(high, w[at]);
        error += std::pow(found[at] - w[at], 2.0);
      }
      const double step = bits == 8 ? std::max(-low, high) / 127.0 : (high - low) / 15.0;
      // F16 scales are off by 2^-11 of the largest value.
      const double most = 0.5 * step + std::max(-low, high) * 0x1p-10;
      EXPECT_LE(std::sqrt(error / static_cast<double>(group)), most) << bits << " " << g;
    }
  }
}

// Rows looked up, the product's weight and the bytes to write are the same numbers; the product is theirs.
TEST(RowTable, LooksUpAndMultipliesWhatItHolds) {
  ThreadPool pool(2);
  Arena arena;
  for (const int64_t bits : {8, 4}) {
    const std::vector<float> expected = rounded(bits, pool).dequantize();
    const MemorySource source = stored(bits, pool);
    ASSERT_TRUE(is_row_table(source, "x"));
    EXPECT_EQ(source.require("x.qweight").shape, (std::vector<int64_t>{kRows, kIn * bits / 8}));
    const RowTable table = read_row_table(source, "x", kRows, kIn);
    EXPECT_EQ(table.bits, bits);
    std::vector<float> row(kIn);
    for (int64_t r = 0; r < kRows; ++r) {
      table.copy_row(r, row.data());
      EXPECT_TRUE(std::equal(row.begin(), row.end(), expected.begin() + r * kIn)) << bits << " " << r;
    }
    const auto linear = make_cpu_linear(source, "x", kRows, kIn, false, {}, {.pool = &pool});
    EXPECT_EQ(linear->name, "x");
    EXPECT_EQ(linear->dequantize(), expected);
    for (const int64_t rows : {1, 3, 20}) {
      const std::vector<float> x = random_floats(rows * kIn, 2);
      for (const Isa isa : supported_isas()) {
        const ArenaScope scope(arena);
        const CpuContext context{pool, arena, isa, Activations::kF32};
        std::vector<float> y(static_cast<size_t>(rows * kRows));
        linear->multiply(context, linear->prepare(context, {x.data()}, rows), y.data());
        for (int64_t k = 0; k < rows * kRows; ++k) {
          double sum = 0.0, xx = 0.0, ww = 0.0;
          for (int64_t i = 0; i < kIn; ++i) {
            const double a = x[static_cast<size_t>(k / kRows * kIn + i)];
            const double b = expected[static_cast<size_t>(k % kRows * kIn + i)];
            sum += a * b;
            xx += a * a;
            ww += b * b;
          }
          // Few rows of 8 bits are rounded to 16 bits first.
          ASSERT_NEAR(y[static_cast<size_t>(k)], sum, 1e-4 * std::sqrt(xx * ww)) << bits << " " << isa_name(isa);
        }
      }
    }
  }
}

TEST(RowTable, BadTensorsAreNamed) {
  ThreadPool pool(1);
  const auto message = [&](int64_t bits, const std::function<void(MemorySource&)>& spoil, int64_t in = kIn) {
    MemorySource source = stored(bits, pool);
    spoil(source);
    return error_of([&] { make_cpu_linear(source, "x", kRows, in, false, {}); });
  };
  for (const int64_t bits : {8, 4}) {
    EXPECT_EQ(message(bits, [](MemorySource&) {}), "(no error)");
    EXPECT_THAT(message(bits, [](MemorySource& s) { s.remove("x.scales"); }), HasSubstr("x.scales"));
    EXPECT_THAT(message(bits, [](MemorySource& s) { s.info("x.scales").shape = {3}; }), HasSubstr("[3]"));
    EXPECT_THAT(message(bits, [](MemorySource& s) { s.info("x.qweight").shape = {1, 2}; }), HasSubstr("[1, 2]"));
    EXPECT_THAT(message(bits, [](MemorySource& s) { s.set_value<uint16_t>("x.scales", 3, 0x7c00); }),
                HasSubstr("finite"));
    EXPECT_THAT(message(bits, [](MemorySource& s) { s.add("x.bias", DType::kF16, {1}, std::vector<uint16_t>(1)); }),
                HasSubstr("x.bias: a table of 4 or 8 bits has no bias"));
  }
  EXPECT_THAT(message(4, [](MemorySource& s) { s.remove("x.qzeros"); }), HasSubstr("x.qzeros"));
  EXPECT_THAT(message(4, [](MemorySource& s) { s.info("x.qzeros").dtype = DType::kI8; }), HasSubstr("found I8"));
  EXPECT_THAT(message(
                  4, [](MemorySource&) {}, 96),
              HasSubstr("multiple of 64 inputs; the model asks for 96"));
  std::vector<float> infinite(64, 1.0f);
  infinite[3] = INFINITY;
  for (const int64_t bits : {8, 4})
    EXPECT_THAT(error_of([&] {
                  round_row_table({DType::kF32, {1, 64}, reinterpret_cast<const std::byte*>(infinite.data())}, bits,
                                  pool, "here");
                }),
                HasSubstr("here: row 0: expected finite values"));
}

}  // namespace
}  // namespace paro
