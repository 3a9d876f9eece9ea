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

/// KL(p || q) in nats of two rows of n logits.
double divergence_of_logits(const float* p, const float* q, int64_t n);
/// -log probability of `id`.
double negative_log_likelihood(const float* logits, int64_t n, int32_t id);

}  // namespace paro::calib
