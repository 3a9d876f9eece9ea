#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/test_variants.h"
#include "quant/method.h"
#include "quant/paro4/paro4_linear.h"
#include "quant/paro4/rtn.h"
#include "quant/test_linear.h"
#include "quant/test_source.h"

namespace paro {
namespace {

using ::testing::HasSubstr;

// Rotations in f32 and in double.
void expect_near(const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-5) << i;
}

// Codes of 8 bits are two products of 4 bits: what they add up to is the product with (q - z) s, for any number of
// rows, every instruction set and each kind of activations; and it comes back from the files of both formats.
TEST(Paro4Widths, EightBitsMeanTheirCodes) {
  const int64_t in = 192, out = 40, g = 64;
  Paro4Weight weight;
  weight.in = in;
  weight.out = out;
  weight.group_size = g;
  weight.bits = 8;
  const std::vector<float> random = random_floats(out * in, 21);
  for (int64_t i = 0; i < out * in; ++i)
    weight.codes.push_back(static_cast<uint8_t>(
        i < 4 ? i % 2 * 255 : static_cast<int64_t>((random[static_cast<size_t>(i)] + 8.0f) * 1000.0f) % 256));
  for (int64_t i = 0; i < out * in / g; ++i) weight.zeros.push_back(static_cast<uint8_t>(i * 37 % 256));
  for (int64_t i = 0; i < out * in / g; ++i)
    weight.scales.push_back(f16_to_f32(f32_to_f16(0.001f * static_cast<float>(1 + i % 7))));
  weight.rotation = make_rotation(in, g, 5);
  weight.bias = random_floats(out, 3);
  std::vector<float> expected(static_cast<size_t>(out * in));
  for (size_t i = 0; i < expected.size(); ++i)
    expected[i] = static_cast<float>(weight.codes[i] - weight.zeros[i / static_cast<size_t>(g)]) *
                  weight.scales[i / static_cast<size_t>(g)];
  unrotate_weight(*weight.rotation, expected.data(), out);
  const auto linear = make_paro4_linear(weight);
  expect_near(linear->dequantize(), expected);
  Arena arena;
  ThreadPool pool(2);
  for (const int64_t rows : {1, 2, 7, 40}) {
    const std::vector<float> x = random_floats(rows * in, 4);
    for (const Isa isa : supported_isas()) {
      expect_product(*linear, x, weight.bias, run(*linear, {pool, arena, isa, Activations::kF32}, x), 1e-5);
      expect_product(*linear, x, weight.bias, run(*linear, {pool, arena, isa, Activations::kInt8}, x), 1e-2);
    }
  }
  for (const bool gptq : {false, true}) {
    const QuantizationFormat& format = gptq ? kGptqFormat : kParo4Format;
    Paro4Weight stored = weight;
    for (float& v : stored.bias) v = f16_to_f32(f32_to_f16(v));
    if (gptq) stored.rotation = identity_rotation(in, g);
    const QuantizationConfig config = {.method = std::string(format.method), .bits = 8, .group_size = g};
    MemorySource source;
    source.add(format.tensors("x", stored, config));
    EXPECT_EQ(source.require("x.qweight").shape, (std::vector<int64_t>{in / 4, out}));
    const std::string name = "x";
    const Paro4Weight read = format.read({source, name, out, in, true, config});
    EXPECT_EQ(read.codes, stored.codes);
    EXPECT_EQ(read.zeros, stored.zeros);
    EXPECT_EQ(read.scales, stored.scales);
    EXPECT_EQ(read.bits, 8);
    for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
      const auto loaded = make_cpu_linear(source, "x", out, in, true, config, {.pool = threads});
      expect_near(loaded->dequantize(), dequantize_paro4(stored));
    }
    // 16 times the scale must fit F16.
    source.set_value<uint16_t>("x.scales", 0, f32_to_f16(5000.0f));
    EXPECT_THAT(error_of([&] { make_cpu_linear(source, "x", out, in, true, config); }),
                HasSubstr("x.scales: a scale of 8-bit codes: expected up to 4094, found 5000"));
  }
}

// Linears of different widths under one configuration, with one rotation: the input is prepared once for all.
TEST(Paro4Widths, WidthsDifferByName) {
  const auto rotation = make_rotation(64, 32, 2);
  QuantizationConfig config = {.method = "paroquant", .bits = 4, .group_size = 32, .rotations = 8};
  MemorySource source;
  std::vector<std::unique_ptr<CpuLinear>> linears;
  for (const int64_t bits : {4, 3, 8, 2}) {
    const std::string name = "x" + std::to_string(bits);
    Paro4Weight weight = quantize_rtn(random_floats(32 * 64, 1).data(), 32, 64, 32, rotation);
    for (uint8_t& code : weight.codes) code = static_cast<uint8_t>(code & ((1 << bits) - 1));
    for (uint8_t& zero : weight.zeros) zero = static_cast<uint8_t>(zero & ((1 << bits) - 1));
    weight.bits = bits;
    source.add(kParo4Format.tensors(name, weight, config));
    if (bits != 4) config.linear_bits[name] = bits;
    linears.push_back(make_cpu_linear(source, name, 32, 64, false, config));
    expect_near(linears.back()->dequantize(), dequantize_paro4(weight));
    EXPECT_TRUE(linears.back()->same_input(*linears.front()));
  }
  config.linear_bits.erase("x3");
  EXPECT_THAT(error_of([&] { make_cpu_linear(source, "x3", 32, 64, false, config); }), HasSubstr("x3.qweight"));
}

}  // namespace
}  // namespace paro
