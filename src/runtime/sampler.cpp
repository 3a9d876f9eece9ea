#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace paro {
namespace {

// exp(-32) of the most likely token, 150,000 times over, still adds less than a float's last bit to the sum.
constexpr float kNegligible = 32.0f;

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high)) fail_usage("{}: expected {} to {}, found {}", name, low, high, value);
}

/// The largest value; NaN and +infinity are errors. One pass that the compiler vectorises.
float checked_max(std::span<const float> logits) {
  PARO_CHECK(!logits.empty());
  float max = -std::numeric_limits<float>::infinity();
  int32_t bad = 0;
  for (const float x : logits) {
    max = x > max ? x : max;
    bad |= static_cast<int32_t>(!(x <= std::numeric_limits<float>::max()));
  }
  if (bad != 0 || !(max >= std::numeric_limits<float>::lowest())) {
    fail_input("the model's logits are not finite: its weights are damaged or not meant for this software");
  }
  return max;
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
  const float max = checked_max(logits);
  return static_cast<int32_t>(std::find(logits.begin(), logits.end(), max) - logits.begin());
}

int32_t Sampler::sample(std::span<const float> logits) {
  logits = penalised(logits);
  if (params_.temperature == 0.0 || params_.top_k == 1) return greedy_token(logits);
  return draw(logits, checked_max(logits));
}

/// Fills candidates_ with the k largest logits above `least`, in any order.
void Sampler::keep_top_k(std::span<const float> logits, float least) {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const size_t k = params_.top_k == 0 ? logits.size() : std::min(static_cast<size_t>(params_.top_k), logits.size());
  const size_t room = k >= logits.size() / 4 ? logits.size() : 4 * k + 64;
  candidates_.clear();
  const auto shrink = [&] {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(k) - 1, candidates_.end(), better);
    candidates_.resize(k);
    least = std::max(least, candidates_[k - 1].logit);
  };
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] >= least)) continue;
    candidates_.push_back({logits[i], static_cast<int32_t>(i)});
    if (candidates_.size() > room) shrink();
  }
  if (candidates_.size() > k) shrink();
}

/// Keeps the most likely candidates until their weights reach top_p of `total`; parallel to weights_.
void Sampler::keep_top_p(double total) {
  std::vector<Candidate>& c = candidates_;
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const double temperature = params_.temperature;
  double sum = 0.0;
  size_t sorted = 0;
  const double needed = params_.top_p * total;
  float max = 0.0f;
  while (sorted < c.size()) {
    const size_t end = std::min(c.size(), std::max<size_t>(64, 4 * sorted));
    std::partial_sort(c.begin() + static_cast<int64_t>(sorted), c.begin() + static_cast<int64_t>(end), c.end(), better);
    if (sorted == 0) max = c[0].logit;
    for (; sorted < end; ++sorted) {
      weights_[sorted] = std::exp((static_cast<double>(c[sorted].logit) - max) / temperature);
      sum += weights_[sorted];
      if (sum >= needed) {
        c.resize(sorted + 1);
        weights_.resize(sorted + 1);
        return;
      }
    }
  }
}

int32_t Sampler::draw(std::span<const float> logits, float max) {
  const double temperature = params_.temperature;
  keep_top_k(logits, max - kNegligible * static_cast<float>(temperature));
  double total = 0.0;
  weights_.resize(candidates_.size());
  for (size_t i = 0; i < candidates_.size(); ++i) {
    weights_[i] = std::exp((static_cast<double>(candidates_[i].logit) - max) / temperature);
    total += weights_[i];
  }
  if (params_.top_p < 1.0) keep_top_p(total);
  // The most likely token has weight 1.
  total = 0.0;
  for (double& weight : weights_) {
    if (weight < params_.min_p) weight = 0.0;
    total += weight;
  }
  // 53 random bits: the standard fixes the generator's numbers but not those of its distributions.
  const double point = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  double sum = 0.0;
  size_t last = 0;
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] == 0.0) continue;
    last = i;
    sum += weights_[i];
    if (sum > point) break;
  }
  return candidates_[last].id;
}

}  // namespace paro
