// A finished checkpoint opened as any user would, its logits beside those of the quantizer's own stream.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "calib/device.h"
#include "calib/streams.h"
#include "model/model.h"
#include "quant/cpu_linear.h"

namespace paro::calib {

/// The logits of the first `tokens` tokens of a window of the quantized stream, [tokens, vocab]; `ends` behind the last
/// layer.
std::vector<float> stream_logits(const Model& ends, Device& device, const Streams& streams, int64_t window,
                                 int64_t tokens);

/// Mean KL(expected || found) in nats over rows of logits. Throws Error{kDefect} when a logit is not finite.
double mean_divergence(std::span<const float> expected, std::span<const float> found, int64_t rows);

/// Mean KL(expected || found) in nats over the positions of one window; expected [ids, vocab] logits.
/// Throws Error{kDefect} when a logit is not finite.
double divergence_of_checkpoint(const std::filesystem::path& folder, const ModelConfig& config,
                                const std::vector<int32_t>& ids, const std::vector<float>& expected,
                                Activations activations, int threads);

/// Two rows of n logits: KL(p || q) in nats, and the logarithm of what each row's softmax divides by.
struct LogitsDivergence {
  double kl = 0.0;
  double p_log_total = 0.0;
  double q_log_total = 0.0;
};
LogitsDivergence compare_logits(const float* p, const float* q, int64_t n);

}  // namespace paro::calib
