// Whole models on the CUDA op set against the scalar one (tests/reference_ops.h): every primitive takes part.
#include "backends/cuda/cuda_ops.h"

#include <cmath>
#include <numeric>

#include "gpu_test.h"
#include "model/random_model.h"
#include "reference_ops.h"

namespace paro {
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

struct Step {
  std::vector<int64_t> rows;  // of each sequence
};

/// Logits of every row of every step.
std::vector<float> run(const Model& model, Ops& ops, const std::vector<std::unique_ptr<KvCache>>& caches,
                       const std::vector<Step>& steps, const std::function<std::vector<float>(Tensor)>& to_host) {
  std::vector<float> logits;
  for (const Step& step : steps) {
    std::vector<int32_t> ids;
    std::vector<Segment> segments;
    for (size_t s = 0; s < caches.size(); ++s) {
      segments.push_back({caches[s].get(), caches[s]->length, step.rows[s]});
      for (int64_t i = 0; i < step.rows[s]; ++i)
        ids.push_back(static_cast<int32_t>((37 * (caches[s]->length + i) + 11 * static_cast<int64_t>(s) + 5) % 500));
    }
    std::vector<int64_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), 0);
    const OpsScope scope(ops);
    const std::vector<float> some = to_host(model.forward(ops, {ids, segments}, rows));
    logits.insert(logits.end(), some.begin(), some.end());
  }
  return logits;
}

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

class CudaOpsTest : public GpuTest {
 protected:
  double error_against_reference(const ModelConfig& config, const CudaOptions& options, CacheUse use,
                                 const std::vector<Step>& steps) {
    const auto source = make_random_weights(config, 3);
    ReferenceFactory reference_factory;
    const auto reference = Model::load(config, *source, reference_factory);
    const auto factory = make_cuda_weight_factory(context());
    const auto model = Model::load(config, *source, *factory);
    std::vector<std::unique_ptr<KvCache>> caches, reference_caches;
    for (size_t s = 0; s < steps[0].rows.size(); ++s) {
      caches.push_back(make_cuda_cache(context(), config, 1000, use));
      reference_caches.push_back(std::make_unique<ReferenceCache>(config, 1000));
    }
    const auto ops = make_cuda_ops(context(), options);
    const std::vector<float> found = run(*model, *ops, caches, steps, [&](Tensor t) {
      std::vector<float> values(static_cast<size_t>(t.rows * t.dim));
      cuda_check(cudaMemcpyAsync(values.data(), t.data, values.size() * sizeof(float), cudaMemcpyDeviceToHost,
                                 context().stream()),
                 "reading logits");
      context().synchronize();
      return values;
    });
    ReferenceOps reference_ops;
    const std::vector<float> expected = run(*reference, reference_ops, reference_caches, steps, [](Tensor t) {
      return std::vector<float>(t.f32(), t.f32() + t.rows * t.dim);
    });
    return relative_error(found, expected);
  }
};

// Sums of up to 320 terms in f32 through two layers: about sqrt(320) * 2^-24 each, a dozen of them in a row.
constexpr double kF32Error = 2e-5;

TEST_F(CudaOpsTest, WholeSequencesMatchTheReference) {
  for (const char* family : {"llama", "qwen2", "qwen3", "smollm3"}) {
    const double error = error_against_reference(small_model(family), {}, CacheUse::kWholeOnly, {{{70, 70, 33}}});
    EXPECT_LT(error, kF32Error) << family;
  }
}

TEST_F(CudaOpsTest, ContinuedSequencesMatchTheReference) {
  const double error =
      error_against_reference(small_model("llama"), {}, CacheUse::kKeep, {{{70, 5}}, {{1, 1}}, {{3, 40}}});
  EXPECT_LT(error, kF32Error);
}

TEST_F(CudaOpsTest, SlidingWindowsAndLongSequencesMatchTheReference) {
  ModelConfig config = small_model("llama");
  config.layer_window = {100, 0};
  // More than one block of queries.
  EXPECT_LT(error_against_reference(config, {}, CacheUse::kWholeOnly, {{{600}}}), kF32Error);
}

TEST_F(CudaOpsTest, SplitProductsKeepSixteenBits) {
  const double error = error_against_reference(small_model("llama"), {.products = CudaProducts::kSplit3},
                                               CacheUse::kWholeOnly, {{{70, 70}}});
  // Each factor is off by up to 2^-17, the product left out is below 2^-17 of the whole; a dozen products in a row.
  EXPECT_LT(error, 12 * 0x1p-16);
}

}  // namespace
}  // namespace paro
