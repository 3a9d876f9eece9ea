#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "runtime/scores.h"

namespace paro {
namespace {

// exp(-32) of the most likely token, 150,000 times over, still adds less than a float's last bit to the sum.
constexpr double kNegligible = 32.0;
// Below this temperature 1 / temperature leaves the range of f32; few logits have a weight then.
constexpr double kLeastTemperature = 1e-30;

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high)) fail_usage("{}: expected {} to {}, found {}", name, low, high, value);
}

[[noreturn]] void fail_logits() {
  fail_input("the model's logits are not finite: its weights are damaged or not meant for this software");
}

double number_at_most(const Json& config, const char* key, double fallback, double low, double high,
                      const std::string& place) {
  const double value = json_number(config, key, fallback, place);
  if (!(value >= low && value <= high)) fail_input("{}: {}: expected {} to {}, found {}", place, key, low, high, value);
  return value;
}

}  // namespace

void SamplingParams::check() const {
  check_range("temperature", temperature, 0.0, 100.0);
  if (top_k < 0) fail_usage("top-k: expected 0 (all) or more, found {}", top_k);
  check_range("top-p", top_p, 0.0, 1.0);
  check_range("min-p", min_p, 0.0, 1.0);
  check_range("repetition-penalty", repetition_penalty, 0.01, 100.0);
  check_range("presence-penalty", presence_penalty, -100.0, 100.0);
  check_range("frequency-penalty", frequency_penalty, -100.0, 100.0);
}

SamplingParams sampling_defaults(const Json& config, const std::string& place, const SamplingParams& fallback) {
  if (config.is_null()) return fallback;
  SamplingParams params = fallback;
  params.temperature = number_at_most(config, "temperature", fallback.temperature, 0.0, 100.0, place);
  params.top_k = json_int(config, "top_k", fallback.top_k, place);
  if (params.top_k < 0) fail_input("{}: top_k: expected 0 or more, found {}", place, params.top_k);
  params.top_p = number_at_most(config, "top_p", fallback.top_p, 0.0, 1.0, place);
  params.min_p = number_at_most(config, "min_p", fallback.min_p, 0.0, 1.0, place);
  params.repetition_penalty =
      number_at_most(config, "repetition_penalty", fallback.repetition_penalty, 0.01, 100.0, place);
  if (!json_bool(config, "do_sample", true, place)) params.temperature = 0.0;
  return params;
}

Sampler::Sampler(const SamplingParams& params) : params_(params), random_(params.seed) { params_.check(); }

void Sampler::add_prompt(std::span<const int32_t> ids) {
  if (params_.repetition_penalty == 1.0) return;
  for (const int32_t id : ids) counts_[id].prompt = true;
}

void Sampler::add_answer(int32_t id) { ++counts_[id].answer; }

std::span<const float> Sampler::penalised(std::span<const float> logits) {
  const bool none =
      params_.repetition_penalty == 1.0 && params_.presence_penalty == 0.0 && params_.frequency_penalty == 0.0;
  if (none || counts_.empty()) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  const auto repetition = static_cast<float>(params_.repetition_penalty);
  for (const auto& [id, count] : counts_) {
    if (id < 0 || id >= static_cast<int64_t>(logits.size())) continue;
    float& x = adjusted_[static_cast<size_t>(id)];
    x = x > 0 ? x / repetition : x * repetition;
    if (count.answer > 0) {
      x -= static_cast<float>(params_.presence_penalty + params_.frequency_penalty * count.answer);
    }
  }
  return adjusted_;
}

int32_t greedy_token(std::span<const float> logits) {
  PARO_CHECK(!logits.empty());
  constexpr size_t kBlocks = 64;
  constexpr size_t kPart = kBlocks * kScoreBlock;
  float max = -std::numeric_limits<float>::infinity();
  size_t place = 0;  // start of the first block that holds the maximum
  for (size_t begin = 0; begin < logits.size(); begin += kPart) {
    const auto part = logits.subspan(begin, std::min(kPart, logits.size() - begin));
    float maxima[kBlocks];
    if (!block_maxima(part.data(), static_cast<int64_t>(part.size()), maxima)) fail_logits();
    const auto blocks = static_cast<size_t>(score_blocks(static_cast<int64_t>(part.size())));
    for (size_t block = 0; block < blocks; ++block) {
      if (maxima[block] <= max) continue;
      max = maxima[block];
      place = begin + block * kScoreBlock;
    }
  }
  if (!(max >= std::numeric_limits<float>::lowest())) fail_logits();
  return static_cast<int32_t>(std::find(logits.begin() + static_cast<int64_t>(place), logits.end(), max) -
                              logits.begin());
}

int32_t Sampler::sample(std::span<const float> logits) {
  logits = penalised(logits);
  if (params_.temperature == 0.0 || params_.top_k == 1) return greedy_token(logits);
  return draw(logits);
}

double Sampler::weight(float logit) const {
  return std::exp((static_cast<double>(logit) - max_) / params_.temperature);
}

/// A finite logit that all logits up to `distance` below the maximum reach.
float Sampler::reach(double distance) const {
  constexpr float lowest = std::numeric_limits<float>::lowest();
  const double least = std::max<double>(lowest, static_cast<double>(max_) - distance);
  return std::max(lowest, std::nextafter(static_cast<float>(least), -std::numeric_limits<float>::infinity()));
}

/// Fills block_weights_ and returns their sum.
double Sampler::weigh_blocks(std::span<const float> logits) {
  const double factor = 1.0 / params_.temperature;
  block_weights_.resize(maxima_.size());
  block_weights(logits.data(), static_cast<int64_t>(logits.size()),
                {max_, static_cast<float>(factor), reach(kNegligible * params_.temperature)}, maxima_.data(),
                block_weights_.data());
  return std::accumulate(block_weights_.begin(), block_weights_.end(), 0.0);
}

/// A logit, `least` or more, that the k largest of those above `least` reach and few others do: the k-th largest of the
/// blocks' maxima; `least` itself where there are fewer blocks.
float Sampler::kth_maximum(int64_t k, float least) {
  if (k > static_cast<int64_t>(maxima_.size())) return least;
  order_ = maxima_;
  std::nth_element(order_.begin(), order_.begin() + k - 1, order_.end(), std::greater<>());
  return std::max(least, order_[static_cast<size_t>(k) - 1]);
}

/// A logit such that those that reach it weigh `needed` or a little more (the error of f32 aside); `least` when not
/// even those that reach `least` surely do. From a histogram of distances to the maximum.
float Sampler::mass_threshold(std::span<const float> logits, double needed, float least) {
  constexpr double kBucketsPerUnit = 512.0;
  constexpr auto kBuckets = static_cast<size_t>(kNegligible * kBucketsPerUnit);
  histogram_.assign(kBuckets, 0);
  const auto factor = static_cast<float>(kBucketsPerUnit / params_.temperature);
  for (const float x : logits) {
    const float distance = (max_ - x) * factor;
    if (distance < static_cast<float>(kBuckets)) ++histogram_[static_cast<size_t>(distance)];
  }
  double mass = 0.0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    if (histogram_[bucket] == 0) continue;
    const double distance = static_cast<double>(bucket + 1) / kBucketsPerUnit;
    mass += histogram_[bucket] * std::exp(-distance);  // at least
    if (mass >= needed) return std::max(least, reach(distance * params_.temperature));
  }
  return least;
}

/// Fills candidates_ with the logits from `least` on, without their weights.
void Sampler::gather(std::span<const float> logits, float least) {
  candidates_.clear();
  for (size_t block = 0; block < maxima_.size(); ++block) {
    if (!(maxima_[block] >= least)) continue;
    const size_t begin = block * kScoreBlock;
    const size_t end = std::min(begin + kScoreBlock, logits.size());
    for (size_t i = begin; i < end; ++i)
      if (logits[i] >= least) candidates_.push_back({logits[i], static_cast<int32_t>(i), 0.0});
  }
}

double Sampler::weigh_candidates() {
  double total = 0.0;
  for (Candidate& candidate : candidates_) total += candidate.weight = weight(candidate.logit);
  return total;
}

/// Drops what comes behind `last`.
void Sampler::keep_until(const Candidate& last) {
  std::erase_if(candidates_, [&](const Candidate& candidate) { return last.before(candidate); });
}

void Sampler::keep_top_k(size_t k) {
  if (candidates_.size() <= k) return;
  selection_ = candidates_;
  const auto last = selection_.begin() + static_cast<int64_t>(k) - 1;
  std::nth_element(selection_.begin(), last, selection_.end(),
                   [](const Candidate& a, const Candidate& b) { return a.before(b); });
  keep_until(*last);
}

/// Keeps the most likely candidates until their weights reach `needed`.
void Sampler::keep_top_p(double needed) {
  const auto before = [](const Candidate& a, const Candidate& b) { return a.before(b); };
  selection_ = candidates_;
  auto begin = selection_.begin();
  auto end = selection_.end();
  double sum = 0.0;  // of what comes before `begin`
  // The last one kept lies in [begin, end): half of it is ruled out at a time.
  while (end - begin > 32) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, before);
    double first_half = 0.0;
    for (auto i = begin; i != middle; ++i) first_half += i->weight;
    if (sum + first_half >= needed) {
      end = middle;
    } else {
      sum += first_half;
      begin = middle;
    }
  }
  std::sort(begin, end, before);
  for (; end - begin > 1; ++begin) {
    sum += begin->weight;
    if (sum >= needed) break;
  }
  keep_until(*begin);
}

/// In [0, 1), of 53 random bits: the standard fixes the generator's numbers but not those of its distributions.
double Sampler::uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

int32_t Sampler::draw_from_all(std::span<const float> logits) {
  const double point = uniform() * weigh_blocks(logits);
  double sum = 0.0;  // of the blocks before `chosen`
  size_t chosen = 0;
  for (size_t block = 0; block < block_weights_.size(); ++block) {
    if (block_weights_[block] == 0.0) continue;
    if (block > 0) sum += block_weights_[chosen];
    chosen = block;
    if (sum + block_weights_[block] > point) break;
  }
  const size_t begin = chosen * kScoreBlock;
  size_t last = begin;
  for (size_t i = begin; i < std::min(begin + kScoreBlock, logits.size()); ++i) {
    const double own = weight(logits[i]);
    if (own == 0.0) continue;
    last = i;
    sum += own;
    if (sum > point) break;
  }
  return static_cast<int32_t>(last);
}

int32_t Sampler::draw_from_candidates() {
  // The most likely token has weight 1.
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight == 0.0 || c.weight < params_.min_p; });
  double total = 0.0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  const double point = uniform() * total;
  double sum = 0.0;
  for (const Candidate& candidate : candidates_) {
    sum += candidate.weight;
    if (sum > point) return candidate.id;
  }
  return candidates_.back().id;
}

int32_t Sampler::draw(std::span<const float> logits) {
  PARO_CHECK(!logits.empty());
  const auto n = static_cast<int64_t>(logits.size());
  maxima_.resize(static_cast<size_t>(score_blocks(n)));
  if (!block_maxima(logits.data(), n, maxima_.data())) fail_logits();
  max_ = *std::max_element(maxima_.begin(), maxima_.end());
  if (!(max_ >= std::numeric_limits<float>::lowest())) fail_logits();

  const bool top_p = params_.top_p < 1.0;
  const double temperature = params_.temperature;
  const float all = reach(kNegligible * temperature);
  const float min_p =
      params_.min_p == 0.0 ? all : std::max(all, reach(temperature * (1e-9 - 1.001 * std::log(params_.min_p))));
  if (params_.top_k > 0 || temperature < kLeastTemperature) {
    const int64_t k = params_.top_k > 0 ? std::min(params_.top_k, n) : n;
    gather(logits, kth_maximum(k, top_p ? all : min_p));
    keep_top_k(static_cast<size_t>(k));
    const double total = weigh_candidates();
    if (top_p) keep_top_p(params_.top_p * total);
  } else if (top_p) {
    const double needed = params_.top_p * weigh_blocks(logits);
    // Mostly a few tokens are enough; then as many as it takes; then all, should rounding have left some out.
    gather(logits, kth_maximum(64, min_p));
    double mass = weigh_candidates();
    for (const bool last : {false, true}) {
      if (mass >= needed) break;
      gather(logits, last ? min_p : mass_threshold(logits, needed, min_p));
      mass = weigh_candidates();
    }
    if (mass > needed) keep_top_p(needed);
  } else if (params_.min_p > 0.0) {
    gather(logits, min_p);
    weigh_candidates();
  } else {
    return draw_from_all(logits);
  }
  return draw_from_candidates();
}

}  // namespace paro
