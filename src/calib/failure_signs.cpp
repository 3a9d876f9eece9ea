#include "calib/failure_signs.h"

#include <fmt/format.h>

namespace paro::calib {
namespace {

// The smallest normal number of F16: below it a scale loses bits.
constexpr double kSmallestScale = 0x1p-14;
// All steps of a larger scale leave F16.
constexpr double kLargestReach = 65504.0;
constexpr double kLargestChannelScale = 65504.0;
// A group of equal weights is nothing odd in a dead channel; many of them are.
constexpr double kMaxEqualShare = 0.001;
// Held-out divergence over that of the calibration text. The noise of both together is about a fifth (four windows of
// 256 positions each, standard deviation twice the mean).
constexpr double kMaxOverfit = 1.5;

/// Linears with the same sign, the worst of them by name.
struct Finding {
  int64_t count = 0;
  double worst = 0.0;
  std::string where;

  void add(double value, const Json& linear) {
    if (count == 0 || value > worst) {
      worst = value;
      where = linear.value("name", "?");
    }
    ++count;
  }
};

double number(const Json& object, const char* group, const char* key, double fallback) {
  const auto found = object.find(group);
  if (found == object.end() || !found->is_object()) return fallback;
  const auto value = found->find(key);
  return value == found->end() || !value->is_number() ? fallback : value->get<double>();
}

std::string places(const Finding& finding) {
  return finding.count == 1 ? finding.where : fmt::format("{} linears, worst {}", finding.count, finding.where);
}

}  // namespace

std::vector<FailureSign> failure_signs(const Json& layers, const Json& quality) {
  Finding tiny, huge, channels, equal;
  int64_t lost_angles = 0;
  std::string lost_in;
  for (const Json& layer : layers) {
    for (const Json& set : layer.value("sets", Json::array())) {
      const int64_t lost = set.value("lost_angles", int64_t{0});
      if (lost > 0 && lost_in.empty() && !set["linears"].empty()) lost_in = set["linears"][0].get<std::string>();
      lost_angles += lost;
    }
    for (const Json& linear : layer.value("linears", Json::array())) {
      const double groups = linear.value("groups", 0.0);
      const double same = linear.contains("weights") ? number(linear["weights"], "before", "equal_groups", 0.0) : 0.0;
      if (groups > 0.0 && same / groups > kMaxEqualShare) equal.add(same / groups, linear);
      // Groups of zeros have the smallest scale there is, which is no sign.
      const double least = number(linear, "scales", "min", 1.0);
      if (same == 0.0 && least < kSmallestScale) tiny.add(1.0 / least, linear);
      const double most = number(linear, "scales", "max", 1.0);
      if (most * linear.value("levels", 15.0) > kLargestReach) huge.add(most, linear);
      const double channel_most = number(linear, "channel_scales", "max", 1.0);
      const double channel_least = number(linear, "channel_scales", "min", 1.0);
      if (channel_most > kLargestChannelScale || channel_least < kSmallestScale)
        channels.add(std::max(channel_most, 1.0 / std::max(channel_least, 1e-30)), linear);
    }
  }
  std::vector<FailureSign> signs;
  if (lost_angles > 0)
    signs.push_back({"angles",
                     fmt::format("{} angles were not finite and became 0 (first in {})", lost_angles, lost_in),
                     "look for weights or activations beyond about 1e15 there; --skip leaves the linear in 16 bits"});
  if (tiny.count > 0)
    signs.push_back({"scales",
                     fmt::format("scales down to {:.1e}, where F16 loses bits ({})", 1.0 / tiny.worst, places(tiny)),
                     "weights this small hardly count; if quality is off, --skip the linear"});
  if (huge.count > 0)
    signs.push_back({"scales", fmt::format("scales up to {:.1f}: values leave F16 ({})", huge.worst, places(huge)),
                     "--correction off keeps targets near the given weights; or --skip the linear"});
  if (channels.count > 0)
    signs.push_back({"scales", fmt::format("channel scales near the ends of F16 ({})", places(channels)),
                     "--skip the linear, or leave channel scales at 1"});
  if (equal.count > 0)
    signs.push_back(
        {"equal weights",
         fmt::format("groups whose weights are all equal, up to {:.1f} % ({})", 100.0 * equal.worst, places(equal)),
         "are these dead channels of the source model? They are kept exactly as far as F16 allows"});
  if (quality.is_object()) {
    const double fitted = number(quality, "calibration", "kl", 0.0);
    const double held_out = number(quality, "held_out", "kl", 0.0);
    if (fitted > 0.0 && held_out > kMaxOverfit * fitted)
      signs.push_back({"overfit",
                       fmt::format("KL {:.4f} on held-out text, {:.4f} on the text fitted to", held_out, fitted),
                       "use more --samples or longer ones (--seq-len), or text of more kinds"});
    for (FailureSign& sign : perplexity_signs(number(quality, "held_out", "perplexity_ratio", 1.0)))
      signs.push_back(std::move(sign));
  }
  return signs;
}

std::vector<FailureSign> perplexity_signs(double ratio) {
  if (!(ratio > kMaxPerplexityRatio)) return {};
  return {{"perplexity", fmt::format("perplexity {:.1f} % above full precision", 100.0 * (ratio - 1.0)),
           "use a smaller --group-size, more --samples, calibration text like the text measured on, more --rotations; "
           "--skip linears whose loss stands out in the report"}};
}

Json signs_json(const std::vector<FailureSign>& signs) {
  Json list = Json::array();
  for (const FailureSign& sign : signs)
    list.push_back({{"sign", sign.sign}, {"message", sign.message}, {"advice", sign.advice}});
  return list;
}

}  // namespace paro::calib
