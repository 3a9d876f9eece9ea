// What each linear's rounding costs the model, at each width, before anything is quantized: for `--target-bits`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "calib/device.h"
#include "calib/options.h"
#include "calib/outline.h"
#include "io/weight_source.h"

namespace paro::calib {

struct LinearSensitivity {
  LinearOutline linear;
  std::map<int64_t, double> relative;  // by bits: trace of E H E^T over that of W H W^T, E the error of GPTQ
  double divergence = 0.0;             // mean KL of the model's logits with this linear alone at kProbeBits
};

/// What a linear may get.
constexpr int64_t kAllocatedWidths[] = {2, 3, 4, 8};
/// Width at which linears are probed.
constexpr int64_t kProbeBits = 4;

/// Runs the first tokens of `ids` (windows of seq_len) through the full-precision model, layer by layer, rounds every
/// linear for which `wanted` holds at 2, 3, 4 and 8 bits (as far as its outputs fill whole words) by second-order
/// rounding without rotation, and runs the rest of the model with each of them alone rounded to kProbeBits. `check` is
/// called between steps.
std::vector<LinearSensitivity> measure_sensitivity(const QuantizeOptions& options, const ModelConfig& config,
                                                   const WeightSource& source, const std::vector<int32_t>& ids,
                                                   int64_t seq_len,
                                                   const std::function<bool(const std::string&)>& wanted,
                                                   Device& device, const std::function<void()>& check);

/// What each width is expected to cost: the divergence, in proportion to the relative error.
std::map<int64_t, double> losses_of(const LinearSensitivity& linear);

/// What the outputs of a linear of this width must be a multiple of: a row's zero points fill whole words of 32 bits,
/// and 8 outputs lie together.
int64_t outputs_multiple(int64_t bits);

}  // namespace paro::calib
