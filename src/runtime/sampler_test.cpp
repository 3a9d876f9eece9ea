#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "base/error.h"

namespace paro {
namespace {

std::vector<float> random_logits(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.0f, 2.5f);
  std::vector<float> logits(n);
  for (float& x : logits) x = normal(random);
  return logits;
}

/// The distribution by its definition: everything sorted, in f64, filter after filter.
std::vector<double> exact(const std::vector<float>& logits, const SamplingParams& p) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  std::vector<double> q(logits.size());
  for (size_t i = 0; i < q.size(); ++i) q[i] = std::exp((double{logits[order[i]]} - logits[order[0]]) / p.temperature);
  const auto normalise = [&] {
    const double sum = std::accumulate(q.begin(), q.end(), 0.0);
    for (double& x : q) x /= sum;
  };
  if (p.top_k > 0) std::fill(q.begin() + std::min<int64_t>(p.top_k, static_cast<int64_t>(q.size())), q.end(), 0.0);
  const double needed = p.top_p * std::accumulate(q.begin(), q.end(), 0.0);
  double before = 0.0;
  for (double& x : q) {
    const double own = x;
    if (p.top_p < 1.0 && before >= needed && before > 0.0) x = 0.0;
    before += own;
  }
  for (double& x : q) {
    if (x < p.min_p * q[0]) x = 0.0;
  }
  normalise();
  std::vector<double> result(q.size());
  for (size_t i = 0; i < q.size(); ++i) result[order[i]] = q[i];
  return result;
}

/// Chi-square of 6,000 draws; tokens expected less than 5 times share one bin.
void expect_distribution(const std::vector<float>& logits, SamplingParams params) {
  constexpr int kDraws = 6000;
  params.seed = 1234;
  const std::vector<double> p = exact(logits, params);
  Sampler sampler(params);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(sampler.sample(logits))];
  double chi = 0.0;
  double rest_expected = 0.0;
  int rest = 0;
  int bins = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0.0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " is filtered";
    } else if (p[i] * kDraws < 5.0) {
      rest_expected += p[i] * kDraws;
      rest += counts[i];
    } else {
      chi += std::pow(counts[i] - p[i] * kDraws, 2) / (p[i] * kDraws);
      ++bins;
    }
  }
  if (rest_expected > 0.5) {
    chi += std::pow(rest - rest_expected, 2) / rest_expected;
    ++bins;
  }
  // Mean and deviation of chi-square with bins - 1 degrees of freedom; 5 deviations never happen by chance.
  EXPECT_LT(chi, bins + 5.0 * std::sqrt(2.0 * bins) + 10.0) << bins << " bins";
}

TEST(Sampler, DrawsFromTheExactDistribution) {
  const std::vector<float> logits = random_logits(200, 1);
  expect_distribution(logits, {});
  expect_distribution(logits, {.temperature = 0.5});
  expect_distribution(logits, {.temperature = 1.7});
  expect_distribution(logits, {.top_k = 5});
  expect_distribution(logits, {.top_k = 120});
  expect_distribution(logits, {.top_p = 0.3});
  expect_distribution(logits, {.top_p = 0.9});
  expect_distribution(logits, {.top_p = 0.99});
  expect_distribution(logits, {.min_p = 0.05});
  expect_distribution(logits, {.temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05});
}

/// The token that `u` in [0, 1) means: kept tokens in the order of ids until their probabilities pass u.
int32_t exact_draw(const std::vector<double>& p, double u) {
  const double point = u * std::accumulate(p.begin(), p.end(), 0.0);
  double sum = 0.0;
  int32_t last = -1;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0.0) continue;
    last = static_cast<int32_t>(i);
    sum += p[i];
    if (sum > point) break;
  }
  return last;
}

/// The same seed gives the tokens that sorting the vocabulary would give.
void expect_exact_draws(const std::vector<float>& logits, SamplingParams params, int draws = 50) {
  params.seed = 99;
  const std::vector<double> p = exact(logits, params);
  std::mt19937_64 random(params.seed);
  Sampler sampler(params);
  for (int i = 0; i < draws; ++i) {
    const double u = static_cast<double>(random() >> 11) * 0x1p-53;
    ASSERT_EQ(sampler.sample(logits), exact_draw(p, u))
        << logits.size() << " logits, temperature " << params.temperature << ", top-k " << params.top_k << ", top-p "
        << params.top_p << ", min-p " << params.min_p;
  }
}

std::vector<SamplingParams> many_params() {
  std::vector<SamplingParams> list;
  for (const double temperature : {1e-300, 1e-3, 0.7, 1.0, 100.0})
    for (const int64_t top_k : {0, 2, 40, 700, 1 << 20})
      for (const double top_p : {0.0, 0.3, 0.95, 0.9999, 1.0})
        for (const double min_p : {0.0, 0.05, 1.0})
          list.push_back({.temperature = temperature, .top_k = top_k, .top_p = top_p, .min_p = min_p});
  return list;
}

TEST(Sampler, DrawsEqualThoseOfASortedVocabulary) {
  // Around whole blocks and with a rest; few blocks and many.
  for (const size_t n : {size_t{1}, size_t{2}, size_t{127}, size_t{128}, size_t{129}, size_t{3000}, size_t{20011}}) {
    const std::vector<float> logits = random_logits(n, n);
    for (const SamplingParams& params : many_params()) expect_exact_draws(logits, params, 4);
  }
}

TEST(Sampler, DrawsEqualThoseOfASortedVocabularyInOddCases) {
  const float inf = std::numeric_limits<float>::infinity();
  const float largest = std::numeric_limits<float>::max();
  std::vector<float> rising(2000);
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = 0.01f * static_cast<float>(i);
  std::vector<float> falling(rising.rbegin(), rising.rend());
  std::vector<float> steps(2000);  // many ties
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<float>((i * 7919) % 10);
  std::vector<float> masked(2000, -inf);  // all but three
  masked[5] = 1.0f;
  masked[1000] = 1.5f;
  masked[1999] = -3.0f;
  std::vector<float> extremes(300, -largest);
  extremes[17] = largest;
  extremes[299] = largest;
  std::vector<float> tiny(300);
  for (size_t i = 0; i < tiny.size(); ++i) tiny[i] = 1e-40f * static_cast<float>(i % 7);
  for (const auto& logits : {rising, falling, steps, masked, extremes, tiny})
    for (const SamplingParams& params : many_params()) expect_exact_draws(logits, params, 3);
}

TEST(Sampler, GreedyFindsTheFirstMaximumAnywhere) {
  for (const size_t n : {size_t{1}, size_t{100}, size_t{8192}, size_t{8193}, size_t{30000}}) {
    std::vector<float> logits = random_logits(n, 5);
    for (const size_t at : {size_t{0}, n / 2, n - 1}) {
      logits[at] += 100.0f;
      const auto first = std::max_element(logits.begin(), logits.end()) - logits.begin();
      EXPECT_EQ(greedy_token(logits), first) << n;
    }
    EXPECT_EQ(greedy_token(std::vector<float>(n, -1.0f)), 0) << n;
  }
}

TEST(Sampler, ManyEqualLogits) {
  std::vector<float> logits(1000, 0.0f);
  expect_distribution(logits, {.top_k = 50});
  expect_distribution(logits, {.top_p = 0.01001});
}

TEST(Sampler, TopPAboveTheFirstSortedPart) {
  // 150 tokens are needed: more than the first part that the sampler sorts.
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = -0.001f * static_cast<float>((i * 7919) % 1000);
  expect_distribution(logits, {.top_p = 0.2});
  expect_distribution(logits, {.top_p = 0.9});
}

TEST(Sampler, SameSeedSameTokens) {
  const std::vector<float> logits = random_logits(500, 2);
  const auto draw = [&](uint64_t seed) {
    Sampler sampler({.seed = seed});
    std::vector<int32_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(sampler.sample(logits));
    return ids;
  };
  EXPECT_EQ(draw(3), draw(3));
  EXPECT_NE(draw(3), draw(4));
}

TEST(Sampler, GreedyTakesTheFirstLargest) {
  Sampler sampler({.temperature = 0.0});
  EXPECT_EQ(sampler.sample(std::vector<float>{1.0f, 3.0f, 2.0f, 3.0f}), 1);
}

TEST(Sampler, PenaltiesChangeTheLogitsAsDefined) {
  const std::vector<float> logits = {2.0f, 1.9f, -1.0f, -1.1f};
  Sampler repetition({.temperature = 0.0, .repetition_penalty = 1.2});
  repetition.add_prompt(std::vector<int32_t>{0});
  EXPECT_EQ(repetition.sample(logits), 1);  // 2.0 / 1.2 < 1.9

  Sampler negative({.temperature = 0.0, .repetition_penalty = 1.2});
  negative.add_prompt(std::vector<int32_t>{0, 1, 2});
  EXPECT_EQ(negative.sample(std::vector<float>{-3.0f, -3.0f, -1.0f, -1.1f}), 3);  // -1.0 * 1.2 < -1.1

  Sampler presence({.temperature = 0.0, .presence_penalty = 0.2});
  presence.add_prompt(std::vector<int32_t>{0});
  EXPECT_EQ(presence.sample(logits), 0) << "the prompt does not count";
  presence.add_answer(0);
  EXPECT_EQ(presence.sample(logits), 1);

  Sampler frequency({.temperature = 0.0, .frequency_penalty = 0.06});
  frequency.add_answer(0);
  EXPECT_EQ(frequency.sample(logits), 0);
  frequency.add_answer(0);
  EXPECT_EQ(frequency.sample(logits), 1);  // 2.0 - 2 * 0.06 < 1.9
}

TEST(Sampler, LogitsThatAreNotFiniteAreAnError) {
  for (const double temperature : {0.0, 1.0}) {
    Sampler sampler({.temperature = temperature});
    const float inf = std::numeric_limits<float>::infinity();
    EXPECT_THROW(sampler.sample(std::vector<float>{1.0f, std::nanf("")}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{1.0f, inf}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{-inf, -inf}), Error);
    EXPECT_EQ(sampler.sample(std::vector<float>{-inf, 0.0f}), 1) << "minus infinity is a mask";
    for (const size_t at : {size_t{0}, size_t{130}, size_t{9999}}) {  // in any lane, block and rest
      for (const float bad : {std::nanf(""), inf}) {
        std::vector<float> logits = random_logits(10000, 6);
        logits[at] = bad;
        EXPECT_THROW(sampler.sample(logits), Error) << at;
      }
    }
  }
}

TEST(Sampler, WrongParametersAreUsageErrors) {
  EXPECT_THROW(Sampler({.temperature = -1.0}), Error);
  EXPECT_THROW(Sampler({.temperature = std::nan("")}), Error);
  EXPECT_THROW(Sampler({.top_k = -1}), Error);
  EXPECT_THROW(Sampler({.top_p = 1.5}), Error);
  EXPECT_THROW(Sampler({.repetition_penalty = 0.0}), Error);
}

TEST(SamplingDefaults, ReadsAGenerationConfig) {
  const Json config = Json::parse(R"({"temperature": 0.6, "top_k": 20, "top_p": 0.95, "do_sample": true})");
  const SamplingParams params = sampling_defaults(config, "g.json", {.min_p = 0.1});
  EXPECT_EQ(params.temperature, 0.6);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_EQ(params.top_p, 0.95);
  EXPECT_EQ(params.min_p, 0.1);
  EXPECT_EQ(sampling_defaults(Json::parse(R"({"do_sample": false})"), "g.json", {}).temperature, 0.0);
  EXPECT_THROW(sampling_defaults(Json::parse(R"({"top_p": 7})"), "g.json", {}), Error);
  EXPECT_THROW(sampling_defaults(Json::parse(R"({"top_k": "x"})"), "g.json", {}), Error);
}

}  // namespace
}  // namespace paro
