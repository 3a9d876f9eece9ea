// Whole models on the LibTorch op set against the scalar one (tests/reference_ops.h) and the CPU's; gradients through a
// layer against finite differences.
#include "train/torch_ops.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "model/random_model.h"
#include "reference_ops.h"

namespace paro::train {
namespace {

ModelConfig small_model(const std::string& family) {
  Json json = random_shape_config(family == "qwen3" ? "qwen3-0.6b" : "smollm2-135m", RandomFormat::kDense);
  json["model_type"] = family;
  json["hidden_size"] = 192;
  json["num_attention_heads"] = 6;
  json["num_key_value_heads"] = 2;
  json["head_dim"] = 32;
  json["intermediate_size"] = 320;
  json["num_hidden_layers"] = 2;
  json["vocab_size"] = 500;
  return parse_model_config(json, "test");
}

/// Logits of every row of sequences of these lengths.
std::vector<float> logits_of(const Model& model, Ops& ops, const std::vector<int64_t>& lengths,
                             const std::function<std::unique_ptr<KvCache>()>& make_cache,
                             const std::function<std::vector<float>(Tensor)>& values) {
  std::vector<std::unique_ptr<KvCache>> caches;
  std::vector<Segment> segments;
  std::vector<int32_t> ids;
  for (const int64_t length : lengths) {
    caches.push_back(make_cache());
    segments.push_back({caches.back().get(), 0, length});
    for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>((37 * i + 11 * length + 5) % 500));
  }
  std::vector<int64_t> rows(ids.size());
  std::iota(rows.begin(), rows.end(), 0);
  const OpsScope scope(ops);
  return values(model.forward(ops, {ids, segments}, rows));
}

std::vector<float> host_values(Tensor t) { return {t.f32(), t.f32() + t.rows * t.dim}; }
std::vector<float> torch_values(Tensor t) { return to_host(TorchOps::value(t)); }

double relative_error(const std::vector<float>& found, const std::vector<float>& expected) {
  EXPECT_EQ(found.size(), expected.size());
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double{found[i]} - expected[i], 2);
    size += std::pow(double{expected[i]}, 2);
  }
  return std::sqrt(difference / size);
}

double error_against_reference(const ModelConfig& config, const std::vector<int64_t>& lengths,
                               const TorchOptions& options = {}) {
  const c10::NoGradGuard no_gradients;
  const auto source = make_random_weights(config, 3);
  ReferenceFactory reference_factory;
  const auto reference = Model::load(config, *source, reference_factory);
  ReferenceOps reference_ops;
  const auto expected = logits_of(
      *reference, reference_ops, lengths, [&] { return std::make_unique<ReferenceCache>(config, 1000); }, host_values);
  TorchWeightFactory factory(at::kCPU);
  const auto model = Model::load(config, *source, factory);
  TorchOps ops(options);
  const auto found = logits_of(
      *model, ops, lengths, [] { return std::make_unique<TorchCache>(1000); }, torch_values);
  return relative_error(found, expected);
}

// Sums of up to 320 terms in f32 through two layers: about sqrt(320) * 2^-24 each, a dozen of them in a row.
constexpr double kF32Error = 2e-5;

TEST(TorchOps, EveryFamilyMatchesTheReference) {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "smollm3"})
    EXPECT_LT(error_against_reference(small_model(family), {70, 70, 33}), kF32Error) << family;
}

TEST(TorchOps, SlidingWindowsMatchTheReference) {
  ModelConfig config = small_model("llama");
  config.layer_window = {30, 0};
  EXPECT_LT(error_against_reference(config, {100}), kF32Error);
}

TEST(TorchOps, Bf16ProductsAreNear) {
  // Eight bits of each factor: 2^-9 a term, a dozen products in a row.
  const double error = error_against_reference(small_model("llama"), {70}, {.products = at::kBFloat16});
  EXPECT_LT(error, 0.03);
  EXPECT_GT(error, 1e-4);
}

TEST(TorchOps, MatchesTheCpuRuntime) {
  const c10::NoGradGuard no_gradients;
  const ModelConfig config = small_model("llama");
  const auto source = make_random_weights(config, 5);
  const auto cpu_factory = make_cpu_weight_factory({});
  const auto cpu_model = Model::load(config, *source, *cpu_factory);
  const auto cpu_ops = make_cpu_ops({.threads = 1, .activations = Activations::kF32});
  const auto expected = logits_of(
      *cpu_model, *cpu_ops, {90}, [&] { return make_cpu_cache(config, 100); }, host_values);
  TorchWeightFactory factory(at::kCPU);
  const auto model = Model::load(config, *source, factory);
  TorchOps ops({});
  // The CPU's cache holds f16.
  EXPECT_LT(relative_error(logits_of(
                               *model, ops, {90}, [] { return std::make_unique<TorchCache>(100); }, torch_values),
                           expected),
            1e-3);
}

// Head norm, rope, attention and what follows, by the weight of k.
TEST(TorchOps, GradientsThroughALayer) {
  const ModelConfig config = small_model("qwen3");
  const auto source = make_random_weights(config, 3);
  const Rope rope(config.rope, config.head_dim, config.max_positions);
  TorchWeightFactory factory(at::kCPU);
  const auto layer = load_layer(config, 0, rope, *source, factory);
  TorchOps ops({});
  at::manual_seed(1);
  const at::Tensor direction = at::randn({20, config.dim});
  const at::Tensor x = at::randn({20, config.dim});
  auto* weight = dynamic_cast<TorchLinear*>(layer->linear_slots()[1].weight->get());
  ASSERT_NE(weight, nullptr);
  const at::Tensor original = weight->weight;
  const auto run = [&](const at::Tensor& k) {
    weight->weight = k;
    TorchCache cache(20);
    const Segment segments[] = {{&cache, 0, 20}};
    const std::vector<int32_t> ids(20);
    const OpsScope scope(ops);
    const Tensor handle = ops.wrap(x);
    layer->forward(ops, handle, {ids, segments});
    return (TorchOps::value(handle).to(at::kDouble) * direction).sum();
  };
  const at::Tensor trained = original.clone().set_requires_grad(true);
  run(trained).backward();
  // Along a random direction. Outputs are off by some 1e-6 each, the difference by 1e-4; its curvature adds less.
  const c10::NoGradGuard no_gradients;
  const at::Tensor along = at::randn_like(original) * 0.002;
  const double expected = (run(original + along).item<double>() - run(original - along).item<double>()) / 2.0;
  const double found = (trained.grad() * along).sum().item<double>();
  EXPECT_NEAR(found, expected, 0.02 * std::abs(expected) + 1e-3);
}

TEST(TorchOps, QuantizedWeightsAreRefused) {
  ModelConfig config = small_model("llama");
  config.quantization = {.method = "paroquant", .bits = 4, .group_size = 64, .rotations = 8};
  const auto source = make_random_weights(config, 1);
  TorchWeightFactory factory(at::kCPU);
  try {
    factory.linear(*source, "model.layers.0.self_attn.q_proj", 192, 192, false);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(error.what()).find("q_proj"), std::string::npos);
  }
}

}  // namespace
}  // namespace paro::train
