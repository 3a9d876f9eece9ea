#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace paro {
namespace {

/// 1 / theta^(2i / d) for i = 0 .. d/2 - 1.
std::vector<double> plain_frequencies(double theta, int64_t head_dim) {
  std::vector<double> frequencies(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  return frequencies;
}

/// Long waves are stretched by `factor`, short ones stay, those between are blended.
void scale_llama3(const RopeConfig& rope, std::vector<double>& frequencies) {
  const auto context = static_cast<double>(rope.original_max_positions);
  for (double& frequency : frequencies) {
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength < context / rope.high_freq_factor) continue;
    if (wavelength > context / rope.low_freq_factor) {
      frequency /= rope.factor;
      continue;
    }
    const double smooth =
        (context / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
    frequency = (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
  }
}

/// The dimension whose wave turns `turns` times within the original context.
double correction_dimension(const RopeConfig& rope, double turns, double dim) {
  const auto context = static_cast<double>(rope.original_max_positions);
  return dim * std::log(context / (turns * 2.0 * std::numbers::pi)) / (2.0 * std::log(rope.theta));
}

/// Dimensions below `low` keep their frequency, those above `high` are stretched by `factor`, a ramp between.
void scale_yarn(const RopeConfig& rope, std::vector<double>& frequencies, int64_t head_dim) {
  const auto dim = static_cast<double>(head_dim);
  double low = correction_dimension(rope, rope.beta_fast, dim);
  double high = correction_dimension(rope, rope.beta_slow, dim);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double stretched = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / rope.factor * stretched + frequencies[i] * (1.0 - stretched);
  }
}

double yarn_mscale(double factor, double mscale) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

double yarn_attention_factor(const RopeConfig& rope) {
  if (rope.attention_factor > 0.0) return rope.attention_factor;
  if (rope.mscale != 0.0 && rope.mscale_all_dim != 0.0)
    return yarn_mscale(rope.factor, rope.mscale) / yarn_mscale(rope.factor, rope.mscale_all_dim);
  return yarn_mscale(rope.factor, 1.0);
}

}  // namespace

Rope::Rope(const RopeConfig& config, int64_t head_dim, int64_t max_positions)
    : config_(config),
      head_dim_(head_dim),
      max_positions_(max_positions),
      inverse_frequencies_(plain_frequencies(config.theta, head_dim)) {
  PARO_CHECK(head_dim >= 2 && head_dim % 2 == 0 && max_positions > 0);
  if (config_.original_max_positions == 0) config_.original_max_positions = max_positions;
  switch (config_.scaling) {
    case RopeConfig::Scaling::kNone:
    case RopeConfig::Scaling::kDynamic: break;
    case RopeConfig::Scaling::kLinear:
      for (double& frequency : inverse_frequencies_) frequency /= config_.factor;
      break;
    case RopeConfig::Scaling::kLlama3: scale_llama3(config_, inverse_frequencies_); break;
    case RopeConfig::Scaling::kYarn:
      scale_yarn(config_, inverse_frequencies_, head_dim);
      attention_factor_ = yarn_attention_factor(config_);
      break;
  }
}

double Rope::dynamic_stretch(int64_t length) const {
  if (config_.scaling != RopeConfig::Scaling::kDynamic || length <= max_positions_) return 1.0;
  // theta' = theta * base^(d / (d - 2)), so frequency i is divided by base^(2i / (d - 2)).
  const double ratio = static_cast<double>(length) / static_cast<double>(max_positions_);
  const double base = config_.factor * ratio - (config_.factor - 1.0);
  return std::pow(base, -2.0 / static_cast<double>(head_dim_ - 2));
}

void Rope::fill(int64_t position, int64_t length, float* cos, float* sin) const {
  const auto at = static_cast<double>(position);
  const double step = dynamic_stretch(length);
  double stretch = 1.0;
  for (size_t i = 0; i < inverse_frequencies_.size(); ++i) {
    const double angle = at * inverse_frequencies_[i] * stretch;
    cos[i] = static_cast<float>(std::cos(angle) * attention_factor_);
    sin[i] = static_cast<float>(std::sin(angle) * attention_factor_);
    stretch *= step;
  }
}

}  // namespace paro
