#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "kernels/test_variants.h"
#include "quant/method.h"
#include "quant/paro4/bit_streams.h"
#include "quant/paro4/effective.h"
#include "quant/paro4/rtn.h"
#include "quant/test_source.h"

namespace paro {
namespace {

using ::testing::HasSubstr;

QuantizationConfig gptq_config(int64_t group_size, int64_t bits = 4, bool v1 = false) {
  return {.method = "gptq", .bits = bits, .group_size = group_size, .zeros_minus_one = v1};
}

struct Case {
  std::string name;
  int64_t out, group, bits;
  bool v1;
};

TEST(Gptq, FixtureOfAnIndependentWriter) {
  const auto source = SafetensorsFile::open(PARO_SOURCE_DIR "/tests/fixtures/awq_gptq.safetensors");
  ThreadPool pool(3);
  for (const Case& c :
       {Case{"gptq_32", 16, 32, 4, true}, Case{"gptq_v2", 8, 128, 4, false}, Case{"gptq_row", 8, -1, 4, false},
        Case{"gptq_order", 24, 64, 4, true}, Case{"gptq_2bit", 16, 64, 2, true}, Case{"gptq_3bit", 32, 64, 3, true},
        Case{"gptq_8bit", 8, 64, 8, true}}) {
    const QuantizationConfig config = gptq_config(c.group, c.bits, c.v1);
    const std::vector<float> expected = source->load_f32(c.name + ".expected");
    for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
      const auto linear = make_cpu_linear(*source, c.name, c.out, 256, false, config, {.pool = threads});
      const std::vector<float> w = linear->dequantize();
      ASSERT_EQ(w.size(), expected.size());
      // Nothing is rounded.
      for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(w[i], expected[i]) << c.name << " " << i;
    }
    // As numbers every width is exact; inputs come back in the linear's own order.
    const Paro4Weight numbers = kGptqFormat.read({*source, c.name, c.out, 256, false, config});
    EXPECT_EQ(dequantize_paro4(numbers), expected) << c.name;
    std::vector<double> effective(expected.size());
    EffectiveWeight(numbers).rows(0, c.out, effective.data());
    EXPECT_TRUE(std::equal(effective.begin(), effective.end(), expected.begin())) << c.name;
  }
}

// The product with scattered groups is that of the dense weight, for any number of rows and either kind of activations;
// linears with one order share the prepared input.
TEST(Gptq, ActOrderMultipliesLikeItsDenseWeight) {
  const auto source = SafetensorsFile::open(PARO_SOURCE_DIR "/tests/fixtures/awq_gptq.safetensors");
  const auto linear = make_cpu_linear(*source, "gptq_order", 24, 256, false, gptq_config(64, 4, true));
  const auto same = make_cpu_linear(*source, "gptq_order", 24, 256, false, gptq_config(64, 4, true));
  const auto other = make_cpu_linear(*source, "awq_64", 16, 256, true, {.method = "awq", .bits = 4, .group_size = 64});
  EXPECT_TRUE(linear->same_input(*same));
  EXPECT_FALSE(linear->same_input(*other));
  const std::vector<float> w = source->load_f32("gptq_order.expected");
  Arena arena;
  ThreadPool pool(2);
  for (const int64_t rows : {1, 3, 17, 40}) {
    const std::vector<float> x = random_floats(rows * 256, 5);
    for (const Isa isa : supported_isas())
      for (const Activations activations : {Activations::kF32, Activations::kInt8}) {
        const ArenaScope scope(arena);
        const CpuContext context{pool, arena, isa, activations};
        std::vector<float> y(static_cast<size_t>(rows * 24));
        linear->multiply(context, linear->prepare(context, {x.data()}, rows), y.data());
        for (int64_t k = 0; k < rows * 24; ++k) {
          double expected = 0.0, xx = 0.0, ww = 0.0;
          for (int64_t i = 0; i < 256; ++i) {
            const double a = x[static_cast<size_t>(k / 24 * 256 + i)], b = w[static_cast<size_t>(k % 24 * 256 + i)];
            expected += a * b;
            xx += a * a;
            ww += b * b;
          }
          // As in cpu_linear_test.cpp: rounding of f32 sums; half a step of 1/127 of each group's largest value.
          const double tolerance = activations == Activations::kF32 ? 1e-5 : 1e-2;
          ASSERT_NEAR(y[static_cast<size_t>(k)], expected, tolerance * std::sqrt(xx * ww)) << isa_name(isa);
        }
      }
  }
}

Paro4Weight make_weight(int64_t out, int64_t in, int64_t group, bool act_order = false) {
  Paro4Weight weight = quantize_rtn(random_floats(out * in, 1).data(), out, in, group, identity_rotation(in, group));
  for (float v : random_floats(out, 3)) weight.bias.push_back(f16_to_f32(f32_to_f16(v)));
  if (act_order) {
    weight.order.resize(static_cast<size_t>(in));
    // 5 has no factor in common with a power of two: a permutation.
    for (int64_t i = 0; i < in; ++i) weight.order[static_cast<size_t>(i)] = static_cast<int32_t>(i * 5 % in);
  }
  return weight;
}

TEST(Gptq, MeansTheSameWhenReadBack) {
  for (const int64_t group : {32, 64, 128})
    for (const bool act_order : {false, true}) {
      const Paro4Weight weight = make_weight(24, 256, group, act_order);
      MemorySource source;
      const QuantizationConfig config = gptq_config(group);
      source.add(kGptqFormat.tensors("x", weight, config));
      EXPECT_EQ(source.require("x.qweight", {32, 24}).dtype, DType::kI32);
      EXPECT_EQ(source.require("x.g_idx", {256}).dtype, DType::kI32);
      const std::string name = "x";
      const Paro4Weight read = kGptqFormat.read({source, name, 24, 256, true, config});
      // Inside a group the order may be another one.
      EXPECT_EQ(dequantize_paro4(read), dequantize_paro4(weight));
      EXPECT_EQ(read.order.empty(), !act_order);
      EXPECT_EQ(read.bias, weight.bias);
      EXPECT_EQ(make_cpu_linear(source, "x", 24, 256, true, config)->dequantize(), dequantize_paro4(weight));
    }
}

TEST(Gptq, StreamsOfBitsComeBack) {
  for (const int bits : {2, 3, 4, 8}) {
    const int64_t rows = 64, columns = 5;
    std::vector<uint8_t> codes(static_cast<size_t>(rows * columns));
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 37 % (1u << bits));
    const std::vector<uint32_t> words = pack_streams(codes.data(), rows, columns, bits);
    EXPECT_EQ(std::ssize(words), rows * bits / 32 * columns);
    for (int64_t row = 0; row < rows; ++row) {
      std::vector<uint8_t> found(static_cast<size_t>(columns));
      unpack_stream_row(reinterpret_cast<const std::byte*>(words.data()), columns, bits, row, found.data());
      for (int64_t c = 0; c < columns; ++c)
        EXPECT_EQ(found[static_cast<size_t>(c)], codes[static_cast<size_t>(row * columns + c)]) << bits << " " << row;
    }
  }
}

// Each spoils one thing of a good linear; the message names tensor, expected and found.
TEST(Gptq, BadTensorsAreNamed) {
  const auto message = [](const std::function<void(MemorySource&)>& spoil,
                          const std::function<void(QuantizationConfig&)>& change = {}) {
    MemorySource source;
    QuantizationConfig config = gptq_config(64);
    source.add(kGptqFormat.tensors("x", make_weight(16, 128, 64, true), config));
    spoil(source);
    if (change) change(config);
    return error_of([&] { make_cpu_linear(source, "x", 16, 128, true, config); });
  };
  const auto nothing = [](MemorySource&) {};
  EXPECT_EQ(message(nothing), "(no error)");
  for (const char* part : {"qzeros", "scales", "bias", "qweight", "g_idx"}) {
    const std::string name = std::string("x.") + part;
    EXPECT_THAT(message([&](MemorySource& s) { s.remove(name); }, [](QuantizationConfig& c) { c.act_order = true; }),
                HasSubstr(name))
        << part;
    EXPECT_THAT(message([&](MemorySource& s) { s.info(name).shape = {3, 5}; }), HasSubstr("[3, 5]")) << part;
    EXPECT_THAT(message([&](MemorySource& s) { s.info(name).shape = {}; }), HasSubstr(name)) << part;
    EXPECT_THAT(message([&](MemorySource& s) { s.info(name).dtype = DType::kI16; }), HasSubstr("found I16")) << part;
  }
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<int32_t>("x.g_idx", 7, 2); }),
              HasSubstr("x.g_idx: at 7: expected a group 0 to 1, found 2"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<int32_t>("x.g_idx", 7, -1); }), HasSubstr("found -1"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<int32_t>("x.g_idx", 0, 1 - s.value<int32_t>("x.g_idx", 0)); }),
              HasSubstr("x.g_idx: group 0: expected 64 inputs"));
  EXPECT_THAT(message(nothing, [](QuantizationConfig& c) { c.bits = 3; }), HasSubstr("x.qweight"));
  EXPECT_THAT(message(nothing, [](QuantizationConfig& c) { c.group_size = 128; }), HasSubstr("groups of 128"));
  // Where linears may differ, the tensors say how.
  EXPECT_EQ(message(nothing,
                    [](QuantizationConfig& c) {
                      c.mixed = true;
                      c.bits = 8;
                      c.group_size = 32;
                    }),
            "(no error)");
  MemorySource source;
  EXPECT_THAT(error_of([&] {
                source.add("x.qweight", DType::kI32, {1, 1}, std::vector<int32_t>{0});
                make_cpu_linear(source, "x", 8, 64, false, gptq_config(64, 3));
              }),
              HasSubstr("a 3-bit weight needs"));
}

TEST(Gptq, ConfigurationAsItsToolsWriteIt) {
  const Json json =
      kGptqFormat.describe({.method = "gptq", .bits = 4, .group_size = 64, .act_order = true},
                           {.quantized = {"model.layers.1.mlp.up_proj"}, .kept = {"model.layers.0.mlp.up_proj"}});
  EXPECT_EQ(json["quant_method"], "gptq");
  EXPECT_EQ(json["checkpoint_format"], "gptq_v2");
  EXPECT_EQ(json["desc_act"], true);
  EXPECT_EQ(json["sym"], false);
  EXPECT_EQ(json["dynamic"].dump(), R"({"-:^model\\.layers\\.0\\.mlp\\.up_proj$":{}})");
  EXPECT_EQ(json["modules_in_block_to_quantize"].dump(), R"([["model.layers.1.mlp.up_proj"]])");
  EXPECT_FALSE(kGptqFormat.describe(gptq_config(64), {}).contains("dynamic"));
}

}  // namespace
}  // namespace paro
