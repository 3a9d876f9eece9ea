#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "kernels/test_variants.h"
#include "quant/method.h"
#include "quant/paro4/packed_weight.h"
#include "quant/paro4/rtn.h"
#include "quant/test_source.h"

namespace paro {
namespace {

using ::testing::HasSubstr;

QuantizationConfig awq_config(int64_t group_size) { return {.method = "awq", .bits = 4, .group_size = group_size}; }

TEST(Awq, FixtureOfAnIndependentWriter) {
  const auto source = SafetensorsFile::open(PARO_SOURCE_DIR "/tests/fixtures/awq_gptq.safetensors");
  for (const auto& [name, out, group, bias] : {std::tuple<std::string, int64_t, int64_t, bool>{"awq_64", 16, 64, true},
                                               {"awq_row", 8, -1, false},
                                               {"awq_row", 8, 256, false}}) {
    const QuantizationConfig config = awq_config(group);
    const auto linear = make_cpu_linear(*source, name, out, 256, bias, config);
    // One product of an f16 and a small integer: exact in f32.
    EXPECT_EQ(linear->dequantize(), source->load_f32(name + ".expected")) << name;
    EXPECT_EQ(dequantize_paro4(kAwqFormat.read({*source, name, out, 256, bias, config})), linear->dequantize());
  }
}

Paro4Weight make_weight(int64_t out, int64_t in, int64_t group) {
  Paro4Weight weight = quantize_rtn(random_floats(out * in, 1).data(), out, in, group, identity_rotation(in, group));
  for (float v : random_floats(out, 3)) weight.bias.push_back(f16_to_f32(f32_to_f16(v)));
  return weight;
}

TEST(Awq, ReadsBackWhatItWrote) {
  for (const int64_t group : {32, 64, 128}) {
    const Paro4Weight weight = make_weight(24, 256, group);
    MemorySource source;
    source.add(kAwqFormat.tensors("x", weight, awq_config(group)));
    EXPECT_EQ(source.tensors().size(), 4u);
    const std::string name = "x";
    const QuantizationConfig config = awq_config(group);
    const Paro4Weight read = kAwqFormat.read({source, name, 24, 256, true, config});
    EXPECT_EQ(read.codes, weight.codes);
    EXPECT_EQ(read.group_size, group);
    EXPECT_EQ(dequantize_paro4(read), dequantize_paro4(weight));
    EXPECT_EQ(read.bias, weight.bias);
    EXPECT_TRUE(read.order.empty());
  }
}

// Each spoils one thing of a good linear; the message names tensor, expected and found.
TEST(Awq, BadTensorsAreNamed) {
  const auto message = [](const std::function<void(MemorySource&)>& spoil, int64_t group = 64, bool bias = true) {
    MemorySource source;
    source.add(kAwqFormat.tensors("x", make_weight(16, 128, 64), awq_config(64)));
    spoil(source);
    return error_of([&] { make_cpu_linear(source, "x", 16, 128, bias, awq_config(group)); });
  };
  EXPECT_EQ(message([](MemorySource&) {}), "(no error)");
  for (const char* part : {"qzeros", "scales", "bias", "qweight"}) {
    const std::string name = std::string("x.") + part;
    EXPECT_THAT(message([&](MemorySource& s) { s.remove(name); }), HasSubstr(name)) << part;
    EXPECT_THAT(message([&](MemorySource& s) { s.info(name).shape = {3, 5}; }), HasSubstr("[3, 5]")) << part;
    EXPECT_THAT(message([&](MemorySource& s) { s.info(name).shape = {}; }), HasSubstr(name)) << part;
    EXPECT_THAT(message([&](MemorySource& s) { s.info(name).dtype = DType::kI16; }), HasSubstr("found I16")) << part;
  }
  EXPECT_THAT(message([](MemorySource&) {}, 32), HasSubstr("groups of 32, the shape [2, 16] means groups of 64"));
  EXPECT_THAT(message([](MemorySource&) {}, -1), HasSubstr("groups of 128"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<uint16_t>("x.scales", 3, 0x7c00); }), HasSubstr("finite"));
  const auto small_groups = [](MemorySource& s) {
    s.add("x.scales", DType::kF16, {8, 16}, std::vector<uint16_t>(128, 0x3c00));
  };
  EXPECT_THAT(message(small_groups, 16), HasSubstr("groups of 16 inputs; multiples of 32"));
  // AutoAWQ writes zeros where there is no bias; anything else would be lost.
  EXPECT_THAT(message([](MemorySource&) {}, 64, false), HasSubstr("x.bias: a bias is there"));
  const auto zero_bias = [](MemorySource& s) { s.add("x.bias", DType::kF16, {16}, std::vector<uint16_t>(16, 0)); };
  EXPECT_EQ(message(zero_bias, 64, false), "(no error)");
  MemorySource source;
  source.add(kAwqFormat.tensors("x", make_weight(16, 128, 64), awq_config(64)));
  const QuantizationConfig paroquant = {.method = "paroquant", .bits = 4, .group_size = 64, .rotations = 8};
  EXPECT_THAT(error_of([&] { make_cpu_linear(source, "x", 16, 128, true, paroquant); }), HasSubstr("x.theta is not"));
  EXPECT_THAT(error_of([&] { make_cpu_linear(source, "x", 16, 128, true, {.method = "other"}); }),
              HasSubstr("\"other\"; there are \"paroquant\", \"awq\", \"gptq\""));
}

TEST(Awq, ConfigurationAsItsToolsWriteIt) {
  EXPECT_EQ(kAwqFormat.describe(awq_config(128), {}).dump(),
            R"({"quant_method":"awq","bits":4,"group_size":128,"zero_point":true,"version":"gemm",)"
            R"("modules_to_not_convert":null})");
  EXPECT_EQ(
      kAwqFormat.describe(awq_config(128), {.kept = {"model.layers.0.mlp.up_proj"}})["modules_to_not_convert"].dump(),
      R"(["model.layers.0.mlp.up_proj"])");
}

}  // namespace
}  // namespace paro
