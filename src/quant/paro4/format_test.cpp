#include "quant/paro4/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/rotate/test_rotation.h"
#include "kernels/test_variants.h"
#include "quant/paro4/rtn.h"
#include "quant/test_source.h"

namespace paro {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const PairRotation> make_rotation(int64_t in, int64_t group_size, int64_t rounds, uint32_t seed) {
  RandomRotation r = random_rotation(in, group_size, rounds, seed);
  auto rotation = std::make_shared<PairRotation>();
  rotation->in = in;
  rotation->group_size = group_size;
  rotation->rounds = rounds;
  for (float& v : r.theta) v = f16_to_f32(f32_to_f16(v));
  for (float& v : r.channel_scales) v = f16_to_f32(f32_to_f16(v));
  rotation->theta = r.theta;
  rotation->pairs = r.pairs;
  rotation->channel_scales = r.channel_scales;
  return rotation;
}

Paro4Weight make_weight(int64_t out = 16, int64_t in = 64, int64_t group_size = 32) {
  Paro4Weight weight =
      quantize_rtn(random_floats(out * in, 1).data(), out, in, group_size, make_rotation(in, group_size, 2, 2));
  for (float v : random_floats(out, 3)) weight.bias.push_back(f16_to_f32(f32_to_f16(v)));
  return weight;
}

TEST(Paro4Format, BytesAsTheFormatSays) {
  Paro4Weight weight;
  weight.in = 32;
  weight.out = 8;
  weight.group_size = 32;
  weight.codes.resize(8 * 32);
  // Column c (output) of input 0 holds c: 0..7 pack to 0x75316420. Input 1 holds 15 - c.
  for (size_t o = 0; o < 8; ++o) {
    weight.codes[o * 32] = static_cast<uint8_t>(o);
    weight.codes[o * 32 + 1] = static_cast<uint8_t>(15 - o);
  }
  weight.zeros = {0, 1, 2, 3, 4, 5, 6, 7};
  weight.scales = {1.0f, 2.0f, 0.5f, 1.0f, 1.0f, 1.0f, 1.0f, -1.0f};
  auto rotation = std::make_shared<PairRotation>();
  rotation->in = rotation->group_size = 32;
  rotation->rounds = 1;
  for (int16_t i = 0; i < 32; ++i) rotation->pairs.push_back(static_cast<int16_t>(31 - i));
  rotation->theta.assign(16, 0.5f);
  rotation->channel_scales.assign(32, 2.0f);
  weight.rotation = rotation;
  weight.bias.assign(8, 1.0f);
  MemorySource source;
  source.add(paro4_tensors("x", weight));

  EXPECT_EQ(source.tensors().size(), 7u);
  EXPECT_EQ(source.require("x.qweight", {32, 1}).dtype, DType::kI32);
  EXPECT_EQ(source.value<uint32_t>("x.qweight", 0), 0x75316420u);
  EXPECT_EQ(source.value<uint32_t>("x.qweight", 1), 0x8ace9bdfu);
  EXPECT_EQ(source.value<uint32_t>("x.qweight", 2), 0u);
  EXPECT_EQ(source.require("x.qzeros", {1, 1}).dtype, DType::kI32);
  EXPECT_EQ(source.value<uint32_t>("x.qzeros", 0), 0x75316420u);
  EXPECT_EQ(source.require("x.scales", {1, 8}).dtype, DType::kF16);
  EXPECT_EQ(source.value<uint16_t>("x.scales", 1), 0x4000u);
  EXPECT_EQ(source.value<uint16_t>("x.scales", 7), 0xbc00u);
  EXPECT_EQ(source.require("x.theta", {1, 16}).dtype, DType::kF16);
  EXPECT_EQ(source.value<uint16_t>("x.theta", 3), 0x3800u);
  EXPECT_EQ(source.require("x.pairs", {1, 32}).dtype, DType::kI16);
  EXPECT_EQ(source.value<int16_t>("x.pairs", 0), 31);
  EXPECT_EQ(source.require("x.channel_scales", {1, 32}).dtype, DType::kF16);
  EXPECT_EQ(source.value<uint16_t>("x.channel_scales", 0), 0x4000u);
  EXPECT_EQ(source.require("x.bias", {8}).dtype, DType::kF16);
}

TEST(Paro4Format, ReadsBackWhatItWrote) {
  for (int64_t group_size : {32, 64, 128}) {
    const Paro4Weight weight = make_weight(24, 256, group_size);
    MemorySource source;
    source.add(paro4_tensors("layer.q_proj", weight));
    const Paro4Weight read = read_paro4(source, "layer.q_proj", 24, 256, true);
    EXPECT_EQ(read.codes, weight.codes);
    EXPECT_EQ(read.zeros, weight.zeros);
    EXPECT_EQ(read.scales, weight.scales);
    EXPECT_EQ(read.bias, weight.bias);
    EXPECT_EQ(read.group_size, group_size);
    EXPECT_TRUE(*read.rotation == *weight.rotation);
  }
}

TEST(Paro4Format, FixtureOfAnIndependentWriter) {
  const auto source = SafetensorsFile::open(PARO_SOURCE_DIR "/tests/fixtures/paro4.safetensors");
  for (const auto& [name, out, bias] :
       {std::tuple{"q", 24, true}, {"k", 8, false}, {"v", 8, false}, {"o", 16, false}}) {
    const Paro4Weight weight = read_paro4(*source, name, out, 64, bias);
    const std::vector<float> expected = source->load_f32(std::string(name) + ".expected");
    const std::vector<float> w = dequantize_paro4(weight);
    ASSERT_EQ(w.size(), expected.size());
    // Both are computed in double and rounded once.
    for (size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(w[i], expected[i], 1e-6) << name;
  }
}

TEST(Paro4Format, RotationsOfWeightsAndActivationsBelongTogether) {
  const int64_t in = 128, out = 19;
  const auto rotation = make_rotation(in, 64, 8, 5);
  const std::vector<float> w = random_floats(out * in, 6);
  const std::vector<float> x = random_floats(in, 7);
  ThreadPool pool(2);
  for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
    std::vector<float> rotated = w;
    rotate_weight(*rotation, rotated.data(), out, threads);
    std::vector<float> rotated_x = x;
    rotate_activations_reference(*rotation, rotated_x.data(), 1);
    std::vector<float> back = rotated;
    unrotate_weight(*rotation, back.data(), out, threads);
    for (int64_t o = 0; o < out; ++o) {
      double expected = 0.0, product = 0.0;
      for (int64_t i = 0; i < in; ++i) {
        const auto at = static_cast<size_t>(o * in + i);
        expected += static_cast<double>(w[at]) * x[static_cast<size_t>(i)];
        product += static_cast<double>(rotated[at]) * rotated_x[static_cast<size_t>(i)];
        EXPECT_NEAR(back[at], w[at], 1e-5);
      }
      EXPECT_NEAR(product, expected, 1e-3);
    }
  }
}

// Each spoils one thing of a good linear; the message names tensor, expected and found.
TEST(Paro4Format, BadTensorsAreNamed) {
  const auto message = [](const std::function<void(MemorySource&)>& spoil, bool bias = true) {
    MemorySource source;
    source.add(paro4_tensors("x", make_weight()));
    spoil(source);
    return error_of([&] { read_paro4(source, "x", 16, 64, bias); });
  };
  for (const char* part : {"qzeros", "scales", "theta", "pairs", "channel_scales", "bias", "qweight"}) {
    const std::string name = std::string("x.") + part;
    EXPECT_THAT(message([&](MemorySource& s) { s.remove(name); }), HasSubstr(name)) << part;
    EXPECT_THAT(message([&](MemorySource& s) { s.info(name).shape = {3, 5}; }), HasSubstr("[3, 5]")) << part;
    EXPECT_THAT(message([&](MemorySource& s) { s.info(name).shape = {}; }), HasSubstr(name)) << part;
  }
  EXPECT_THAT(message([](MemorySource& s) { s.info("x.qweight").dtype = DType::kF32; }),
              HasSubstr("expected type I32, found F32"));
  EXPECT_THAT(message([](MemorySource& s) { s.info("x.pairs").dtype = DType::kF16; }),
              HasSubstr("expected type I16, found F16"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<uint16_t>("x.theta", 3, 0x7e00); }), HasSubstr("x.theta"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<uint16_t>("x.scales", 3, 0x7c00); }), HasSubstr("x.scales"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<uint16_t>("x.channel_scales", 3, 0); }),
              HasSubstr("must not be 0"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<int16_t>("x.pairs", 5, 32); }), HasSubstr("found 32"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value<int16_t>("x.pairs", 5, -1); }), HasSubstr("found -1"));
  EXPECT_THAT(message([](MemorySource& s) { s.set_value("x.pairs", 5, s.value<int16_t>("x.pairs", 6)); }),
              HasSubstr("two pairs"));
  EXPECT_THAT(message([](MemorySource&) {}, false), HasSubstr("x.bias"));
}

TEST(Paro4Format, ShapesThatTheFormatCannotHold) {
  MemorySource source;
  source.add(paro4_tensors("x", make_weight()));
  EXPECT_THAT(error_of([&] { read_paro4(source, "x", 12, 64, true); }), HasSubstr("multiples of 8"));
  EXPECT_THAT(error_of([&] { read_paro4(source, "x", 16, 48, true); }), HasSubstr("multiples of 32"));
  EXPECT_THAT(error_of([&] { read_paro4(source, "x", 32, 64, true); }), HasSubstr("x.qweight"));
  EXPECT_THAT(error_of([&] { read_paro4(source, "x", 0, 0, true); }), HasSubstr("[0, 0]"));
  source.add("x.scales", DType::kF16, {4, 16}, std::vector<uint16_t>(64, 0x3c00));
  EXPECT_THAT(error_of([&] { read_paro4(source, "x", 16, 64, true); }), HasSubstr("groups of 16"));
}

TEST(Rtn, RangesContainZeroAndErrorsStayWithinHalfAStep) {
  // A group in 1..1.1, one of a single value, zeros, tiny values, both signs.
  std::vector<float> w(5 * 32);
  for (size_t i = 0; i < 32; ++i) {
    w[i] = 1.0f + 0.1f * static_cast<float>(i) / 31.0f;
    w[32 + i] = -0.7f;
    w[96 + i] = 1e-9f;
    w[128 + i] = static_cast<float>(i) - 11.0f;
  }
  const Paro4Weight weight = quantize_rtn(w.data(), 5, 32, 32, identity_rotation(32, 32));
  const std::vector<float> back = dequantize_paro4(weight);
  for (size_t i = 0; i < w.size(); ++i) {
    const float scale = weight.scales[i / 32];
    EXPECT_GT(scale, 0.0f);
    // Half a step, and up to 15 steps times the rounding of the scale to f16 (coarse where it is subnormal).
    EXPECT_NEAR(back[i], w[i], 0.51f * scale + 15.0f * std::max(scale * 0x1p-11f, 0x1p-25f)) << i;
  }
  EXPECT_EQ(rtn_scale_zero(0.0f, 15.0f), (std::pair<float, uint8_t>{1.0f, 0}));
  EXPECT_EQ(rtn_scale_zero(-15.0f, -3.0f), (std::pair<float, uint8_t>{1.0f, 15}));
  EXPECT_EQ(rtn_scale_zero(-4.5f, 10.5f), (std::pair<float, uint8_t>{1.0f, 4}));  // 4.5 rounds to even
  w[3] = std::nanf("");
  EXPECT_THAT(error_of([&] { quantize_rtn(w.data(), 5, 32, 32, identity_rotation(32, 32)); }), HasSubstr("row 0"));
  w[3] = 3e7f;
  EXPECT_THAT(error_of([&] { quantize_rtn(w.data(), 5, 32, 32, identity_rotation(32, 32)); }), HasSubstr("16 bits"));
}

}  // namespace
}  // namespace paro
