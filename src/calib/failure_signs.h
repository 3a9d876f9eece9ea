// Signs that a quantization went wrong, from the figures of its report, each with what to do about it.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace paro::calib {

struct FailureSign {
  std::string sign;     // "angles", "scales", "equal weights", "perplexity", "overfit"
  std::string message;  // what was found, and where
  std::string advice;   // what to do
};

// Above this share of the full-precision perplexity a quantization has failed.
inline constexpr double kMaxPerplexityRatio = 1.05;

/// Of a report's "layers" and "quality" (stream_quality, or null). Entries that are missing are no signs.
std::vector<FailureSign> failure_signs(const Json& layers, const Json& quality);
/// Of a measured perplexity: above kMaxPerplexityRatio.
std::vector<FailureSign> perplexity_signs(double ratio);

Json signs_json(const std::vector<FailureSign>& signs);

}  // namespace paro::calib
