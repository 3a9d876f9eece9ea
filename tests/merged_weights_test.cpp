// Rotations merged into the weights of every family: the same function.
#include "calib/merged_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "calib/numeric/random.h"
#include "calib/numeric/rotation_descent.h"
#include "calib/transform.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "reference_ops.h"

namespace paro::calib {
namespace {

const std::filesystem::path kFixtures = std::filesystem::path(PARO_SOURCE_DIR) / "tests/fixtures/families";

struct Fixture {
  explicit Fixture(const std::string& name)
      : checkpoint(open_checkpoint_folder(kFixtures / name, {.tokenizer = false})),
        config(parse_model_config(checkpoint.config, checkpoint.config_place())) {
    ReferenceFactory factory;
    const auto model = Model::load(config, *checkpoint.weights, factory);
    std::vector<RotationPoints> points;
    for (const auto& layer : model->layers) points.push_back(layer->rotation_points());
    plan = MergePlan::of(points);
    const auto file = SafetensorsFile::open(kFixtures / name / "expected.safetensors");
    const LoadedTensor raw = file->load("ids");
    ids.resize(static_cast<size_t>(raw.view.elements()));
    std::memcpy(ids.data(), raw.view.data, static_cast<size_t>(raw.view.bytes()));
  }

  MergedRotations rotations() const {
    MergedRotations result;
    result.residual = random_orthogonal(config.dim, 11, 0);
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      result.values.emplace_back();
      for (int64_t head = 0; head < config.kv_heads; ++head)
        result.values.back().push_back(
            random_orthogonal(config.head_dim, 12, static_cast<uint64_t>(layer * config.kv_heads + head)));
    }
    return result;
  }
  ModelConfig untied() const {
    ModelConfig result = config;
    result.tied_embeddings = false;
    return result;
  }
  std::vector<float> logits(const ModelConfig& as, const WeightSource& weights) const {
    ReferenceOps ops;
    ReferenceFactory factory;
    const auto model = Model::load(as, weights, factory);
    ReferenceCache cache(as, std::ssize(ids));
    const Segment segments[] = {{&cache, 0, std::ssize(ids)}};
    std::vector<int64_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), 0);
    const OpsScope scope(ops);
    const Tensor result = model->forward(ops, {ids, segments}, rows);
    return {result.f32(), result.f32() + result.rows * result.dim};
  }

  Checkpoint checkpoint;
  ModelConfig config;
  MergePlan plan;
  std::vector<int32_t> ids;
};

double root_mean_square(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - double{b[i]}, 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

/// Embedding and head in F32, each value off by as much as rounding to F16 can be.
class NoisyEnds : public WeightSource {
 public:
  explicit NoisyEnds(const WeightSource& source) : source_(source) {}
  const std::vector<TensorInfo>& tensors() const override { return source_.tensors(); }
  LoadedTensor load(std::string_view name) const override {
    if (name != "model.embed_tokens.weight" && name != "lm_head.weight") return source_.load(name);
    const auto values = std::make_shared<std::vector<float>>(source_.load_f32(name));
    Random random(13);
    for (float& value : *values) value *= random.next() % 2 == 0 ? 1.0f + 0x1p-11f : 1.0f - 0x1p-11f;
    return {{DType::kF32, source_.require(name).shape, reinterpret_cast<const std::byte*>(values->data())}, values};
  }
  std::string place(std::string_view name) const override { return source_.place(name); }

 private:
  const WeightSource& source_;
};

using MergedFamilies = testing::TestWithParam<std::string>;

TEST_P(MergedFamilies, LogitsStayTheSame) {
  ThreadPool pool(2);
  const Fixture fixture(GetParam());
  ASSERT_TRUE(fixture.plan.residual);
  ASSERT_TRUE(fixture.plan.values);
  const std::vector<float> expected = fixture.logits(fixture.config, *fixture.checkpoint.weights);
  // Merging rounds embedding and head to F16 again; a value moves by up to 2^-11 of it, a third of that squared on
  // average. The source with all of its values moved by the whole 2^-11 bounds what that may do to logits; f32 rounding
  // adds 1e-5 (families_test.cpp).
  const double noise =
      root_mean_square(expected, fixture.logits(fixture.config, NoisyEnds(*fixture.checkpoint.weights)));
  ASSERT_LT(noise, 0.02);
  const MergedRotations all = fixture.rotations();
  MergedRotations values_only;
  values_only.values = all.values;
  MergePlan no_residual = fixture.plan;
  no_residual.residual = false;
  MergedRotations residual_only;
  residual_only.residual = all.residual;
  const struct {
    const char* what;
    const MergePlan& plan;
    MergedRotations rotations;
  } cases[] = {{"R1 and R2", fixture.plan, all},
               {"R1", fixture.plan, residual_only},
               {"R2", no_residual, values_only},
               {"norms", fixture.plan, {}}};
  for (const auto& one : cases) {
    const MergedWeights merged(fixture.checkpoint.weights, fixture.config, one.plan, one.rotations, pool);
    const std::vector<float> found = fixture.logits(one.plan.residual ? fixture.untied() : fixture.config, merged);
    const double difference = root_mean_square(expected, found);
    EXPECT_LE(difference, noise + 1e-5) << one.what;
    RecordProperty(one.what, fmt::format("{:.2g} of {:.2g}", difference, noise));
  }
}

TEST_P(MergedFamilies, WeightsAreTheProductsTheySaid) {
  ThreadPool pool(2);
  const Fixture fixture(GetParam());
  const ModelConfig& c = fixture.config;
  const MergedRotations rotations = fixture.rotations();
  const MergedWeights merged(fixture.checkpoint.weights, c, fixture.plan, rotations, pool);
  const WeightSource& source = *fixture.checkpoint.weights;
  const std::string layer = "model.layers.1.";
  const std::vector<float> norm = source.load_f32(layer + "input_layernorm.weight");
  const SquareMatrix& r1 = rotations.residual;
  // v: R2^T W D R1, in double.
  const std::vector<float> v = source.load_f32(layer + "self_attn.v_proj.weight");
  const std::vector<float> found = merged.load_f32(layer + "self_attn.v_proj.weight");
  const int64_t d = c.head_dim;
  for (int64_t o = 0; o < c.kv_heads * d; ++o)
    for (int64_t j = 0; j < c.dim; ++j) {
      double expected = 0.0;
      for (int64_t k = 0; k < d; ++k)
        for (int64_t i = 0; i < c.dim; ++i)
          expected += rotations.values[1][static_cast<size_t>(o / d)].row(k)[o % d] *
                      static_cast<double>(v[static_cast<size_t>((o / d * d + k) * c.dim + i)]) *
                      static_cast<double>(norm[static_cast<size_t>(i)]) * r1.row(i)[j];
      EXPECT_NEAR(found[static_cast<size_t>(o * c.dim + j)], expected, 1e-5);
    }
  for (const char* name :
       {"model.norm.weight", "model.layers.1.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight"})
    EXPECT_THAT(merged.load_f32(name), testing::Each(1.0f));
  EXPECT_EQ(merged.require("lm_head.weight").dtype, DType::kF16);
  EXPECT_EQ(merged.require("lm_head.weight").shape, source.require("model.embed_tokens.weight").shape);
  EXPECT_TRUE(std::is_sorted(merged.tensors().begin(), merged.tensors().end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
}

std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFixtures))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, MergedFamilies, testing::ValuesIn(fixture_names()),
                         [](const auto& given) { return given.param; });

TEST(MergedWeightsTest, ValuesBeyondF16AreNamed) {
  ThreadPool pool(1);
  const Fixture fixture("llama");
  struct Scaled : NoisyEnds {
    using NoisyEnds::NoisyEnds;
    LoadedTensor load(std::string_view name) const override {
      if (name != "model.norm.weight") return NoisyEnds::load(name);
      const auto values = std::make_shared<std::vector<float>>(require(name).shape[0], 1e7f);
      return {{DType::kF32, require(name).shape, reinterpret_cast<const std::byte*>(values->data())}, values};
    }
  };
  const auto scaled = std::make_shared<Scaled>(*fixture.checkpoint.weights);
  const MergedWeights merged(scaled, fixture.config, fixture.plan, fixture.rotations(), pool);
  EXPECT_THAT(
      [&] { merged.load("lm_head.weight"); },
      testing::ThrowsMessage<Error>(testing::AllOf(testing::HasSubstr("lm_head.weight"), testing::HasSubstr("65504"))));
  EXPECT_NO_THROW(merged.load("model.embed_tokens.weight"));
}

TEST(MergedWeightsTest, WhatCannotBeMergedIsRotatedOnline) {
  const Fixture fixture("qwen3");
  ReferenceFactory factory;
  const auto model = Model::load(fixture.config, *fixture.checkpoint.weights, factory);
  const auto slots = model->layers[0]->linear_slots();
  const auto online = [&](Transform transform, bool residual, bool values) {
    std::vector<RotationPoints> points = fixture.plan.layers;
    // One layer with a norm in between is enough to stop the whole stream.
    if (!residual) points.back().readers.clear();
    if (!values) points.back().value.clear();
    return online_sets(transform, MergePlan::of(points), slots);
  };
  using Sets = std::vector<bool>;  // q k v, o, gate up, down
  EXPECT_EQ(online(Transform::kOnline, true, true), Sets({true, true, true, true}));
  EXPECT_EQ(online(Transform::kHybrid, true, true), Sets({false, false, false, true}));
  EXPECT_EQ(online(Transform::kMerged, true, true), Sets({false, false, false, false}));
  EXPECT_EQ(online(Transform::kHybrid, false, true), Sets({true, false, true, true}));
  EXPECT_EQ(online(Transform::kHybrid, true, false), Sets({false, true, false, true}));
  EXPECT_EQ(online(Transform::kHybrid, false, false), Sets({true, true, true, true}));
  EXPECT_EQ(online(Transform::kMerged, false, false), Sets({true, true, true, false}));
  EXPECT_EQ(MergePlan::of({RotationPoints{}}).residual, false);
}

}  // namespace
}  // namespace paro::calib
