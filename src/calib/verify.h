// A finished checkpoint opened as any user would, its logits beside those of the quantizer's own stream.
#pragma once

#include <filesystem>
#include <vector>

#include "model/model.h"
#include "quant/cpu_linear.h"

namespace paro::calib {

/// Mean KL(expected || found) in nats over the positions of one window; expected [ids, vocab] logits.
/// Throws Error{kDefect} when a logit is not finite.
double divergence_of_checkpoint(const std::filesystem::path& folder, const ModelConfig& config,
                                const std::vector<int32_t>& ids, const std::vector<float>& expected,
                                Activations activations, int threads);

}  // namespace paro::calib
