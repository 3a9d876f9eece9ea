#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "model/config_reader.h"
#include "model/rope_config.h"

namespace paro {
namespace {

const std::filesystem::path kFixture = std::filesystem::path(PARO_SOURCE_DIR) / "tests/fixtures/families/rope.json";

TEST(Rope, EveryScalingIsAsTransformersHasIt) {
  int64_t compared = 0;
  for (const Json& item : read_json(kFixture)) {
    const auto head_dim = item["head_dim"].get<int64_t>();
    const auto positions = item["max_position_embeddings"].get<int64_t>();
    const ConfigReader reader(item, "rope.json");
    const Rope rope(parse_rope_config(reader, 10000.0, positions, head_dim), head_dim, positions);
    ASSERT_EQ(rope.half(), head_dim / 2);
    std::vector<float> cos(static_cast<size_t>(rope.half()));
    std::vector<float> sin(cos);
    for (const Json& sample : item["samples"]) {
      const auto position = sample["position"].get<int64_t>();
      rope.fill(position, sample["length"].get<int64_t>(), cos.data(), sin.data());
      // transformers computes angles in f32: an error of 6e-8 of the angle, and of the frequency's own rounding.
      const double tolerance = 2e-6 + 2e-7 * static_cast<double>(position);
      for (size_t i = 0; i < cos.size(); ++i, ++compared) {
        EXPECT_NEAR(cos[i], sample["cos"][i].get<double>(), tolerance) << item["rope_parameters"] << sample << i;
        EXPECT_NEAR(sin[i], sample["sin"][i].get<double>(), tolerance) << item["rope_parameters"] << sample << i;
      }
    }
  }
  EXPECT_GT(compared, 1500);
}

TEST(Rope, WithoutScalingIsTheFormula) {
  const Rope rope({.theta = 500.0}, 8, 100);
  float cos[4];
  float sin[4];
  rope.fill(7, 8, cos, sin);
  for (int i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(cos[i], static_cast<float>(std::cos(7.0 / std::pow(500.0, 2.0 * i / 8.0))));
    EXPECT_FLOAT_EQ(sin[i], static_cast<float>(std::sin(7.0 / std::pow(500.0, 2.0 * i / 8.0))));
  }
}

TEST(Rope, DynamicScalingStartsBeyondTheContext) {
  const Rope plain({.theta = 10000.0}, 8, 100);
  const Rope dynamic({.scaling = RopeConfig::Scaling::kDynamic, .factor = 4.0}, 8, 100);
  float expected[4];
  float found[4];
  float sin[4];
  plain.fill(60, 100, expected, sin);
  dynamic.fill(60, 100, found, sin);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(found[i], expected[i]);
  dynamic.fill(60, 101, found, sin);
  EXPECT_NE(found[1], expected[1]);
}

RopeConfig parse(const char* text) {
  const Json config = parse_json(text, "config.json");
  return parse_rope_config(ConfigReader(config, "config.json"), 10000.0, 4096, 64);
}

TEST(RopeConfigTest, KeysOfBothGenerationsMeanTheSame) {
  const RopeConfig new_keys = parse(
      R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 5e5, "factor": 4, "original_max_position_embeddings": 1024}})");
  for (
      const char* text :
      {R"({"rope_theta": 5e5, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}})",
       R"({"rope_theta": 5e5, "rope_scaling": {"rope_type": "yarn", "type": "linear", "factor": 4.0, "original_max_position_embeddings": 1024}})",
       R"({"rope_theta": 5e5, "original_max_position_embeddings": 1024, "rope_scaling": {"rope_type": "yarn", "original_max_position_embeddings": 7}})"}) {
    const RopeConfig old_keys = parse(text);
    EXPECT_EQ(old_keys.scaling, RopeConfig::Scaling::kYarn);
    EXPECT_EQ(old_keys.theta, new_keys.theta);
    EXPECT_EQ(old_keys.factor, new_keys.factor);
    EXPECT_EQ(old_keys.original_max_positions, new_keys.original_max_positions);
  }
}

TEST(RopeConfigTest, Defaults) {
  for (const char* text : {"{}", R"({"rope_scaling": null})", R"({"rope_scaling": {}, "rope_parameters": {}})",
                           R"({"rope_parameters": {"rope_type": "default"}})"}) {
    const RopeConfig rope = parse(text);
    EXPECT_EQ(rope.scaling, RopeConfig::Scaling::kNone);
    EXPECT_EQ(rope.theta, 10000.0);
  }
  const RopeConfig yarn =
      parse(R"({"rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": 0, "beta_slow": null}})");
  EXPECT_EQ(yarn.original_max_positions, 4096);
  EXPECT_EQ(yarn.beta_fast, 32.0);
  EXPECT_EQ(yarn.beta_slow, 1.0);
  EXPECT_TRUE(yarn.truncate);
}

}  // namespace
}  // namespace paro
