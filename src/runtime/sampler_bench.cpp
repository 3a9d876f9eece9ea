// Choosing the next token: logits like a model's (few far above many) and flat ones, by vocabulary.
#include "runtime/sampler.h"

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

namespace paro {
namespace {

/// Normal, and for a peaked distribution 30 of them raised.
std::vector<float> logits_of(int64_t vocab, bool peaked) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0.0f, 2.5f);
  std::vector<float> logits(static_cast<size_t>(vocab));
  for (float& x : logits) x = normal(random);
  if (peaked)
    for (int i = 0; i < 30; ++i) logits[random() % logits.size()] += 12.0f;
  return logits;
}

void sample(benchmark::State& state, const SamplingParams& params, bool peaked) {
  const std::vector<float> logits = logits_of(state.range(0), peaked);
  Sampler sampler(params);
  for (int i = 0; i < 100; ++i) sampler.add_answer(i);  // penalties have something to do
  for (auto _ : state) benchmark::DoNotOptimize(sampler.sample(logits));
}

void vocabularies(benchmark::internal::Benchmark* bench) {
  bench->Arg(49152)->Arg(151936)->Unit(benchmark::kMicrosecond);
}

BENCHMARK_CAPTURE(sample, greedy, {.temperature = 0.0}, true)->Apply(vocabularies);
BENCHMARK_CAPTURE(sample, temperature, {.temperature = 0.7}, true)->Apply(vocabularies);
BENCHMARK_CAPTURE(sample, top_k_40_top_p, {.temperature = 0.7, .top_k = 40, .top_p = 0.95}, true)->Apply(vocabularies);
BENCHMARK_CAPTURE(sample, top_k_40_top_p_flat, {.temperature = 0.7, .top_k = 40, .top_p = 0.95}, false)
    ->Apply(vocabularies);
BENCHMARK_CAPTURE(sample, top_p, {.temperature = 0.7, .top_p = 0.95}, true)->Apply(vocabularies);
BENCHMARK_CAPTURE(sample, top_p_flat, {.temperature = 0.7, .top_p = 0.95}, false)->Apply(vocabularies);
BENCHMARK_CAPTURE(sample, min_p, {.temperature = 0.7, .min_p = 0.05}, true)->Apply(vocabularies);
BENCHMARK_CAPTURE(sample, penalties, {.temperature = 0.7, .top_k = 40, .repetition_penalty = 1.1}, true)
    ->Apply(vocabularies);

}  // namespace
}  // namespace paro
