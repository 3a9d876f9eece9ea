// What a run would cost, from counts of operations and the machine's measured arithmetic.
#include <algorithm>

#include "calib/allocate.h"
#include "calib/merged_fit.h"
#include "calib/quantize.h"
#include "calib/transform.h"
#include "io/checkpoint.h"
#include "model/config.h"
#include "model/open_checkpoint.h"

namespace paro::calib {
namespace {

/// Multiply-adds of training: a step's forward and backward pass are three times the forward one.
double training_macs(const QuantizeOptions& options, const ModelConfig& c) {
  const auto seq_len = static_cast<double>(options.seq_len);
  const double q = static_cast<double>(c.heads * c.head_dim);
  const double kv = static_cast<double>(c.kv_heads * c.head_dim);
  const auto dim = static_cast<double>(c.dim);
  const double body =
      static_cast<double>(c.layers) * (dim * (2 * q + 2 * kv) + 3 * dim * static_cast<double>(c.ffn_dim) + q * seq_len);
  const double head = dim * static_cast<double>(c.vocab_size);
  const double held_out = static_cast<double>(options.validation) * seq_len;
  double total = 0.0;
  if (options.trains_layers()) {
    const auto epochs = static_cast<double>(
        options.training.epochs + (options.method == Method::kParoQuant ? options.training.finish_epochs : 0));
    total += epochs * body * (3.0 * static_cast<double>(options.samples) * seq_len + held_out);
  }
  if (options.tuning.epochs > 0) {
    const double tokens = static_cast<double>(options.tuning_samples()) * seq_len;
    // The teacher once, then forward, again forward where it is computed twice, backward; both heads.
    total += tokens * body + static_cast<double>(options.tuning.epochs) * tokens * (4.0 * body + 3.0 * head);
    total += 5.0 * held_out * (body + 2.0 * head);
  }
  return total;
}

}  // namespace

Json estimate_quantize(const QuantizeOptions& options, Device& device, Trainer* trainer) {
  options.check();
  const Checkpoint checkpoint = open_checkpoint(options.model, {.tokenizer = false}, options.hub);
  const ModelConfig c = parse_model_config(checkpoint.config, checkpoint.config_place());
  const double q = static_cast<double>(c.heads * c.head_dim);
  const double kv = static_cast<double>(c.kv_heads * c.head_dim);
  const auto dim = static_cast<double>(c.dim);
  const auto ffn = static_cast<double>(c.ffn_dim);
  const double inputs = dim * (q + 2 * kv) + 2 * dim * ffn;  // weights of the sets q/k/v and gate/up
  const double outputs = q * dim + ffn * dim;                // of o and down
  const bool rtn = options.method == Method::kRtn;
  const bool full = options.corrected();
  const double tokens = rtn ? 64.0 : static_cast<double>(options.samples * options.seq_len);
  const double attention = 2.0 * q * static_cast<double>(rtn ? 64 : options.seq_len) / 2.0;
  // Multiply-adds a token and layer: both streams, then H (one triangle) and the cross moments.
  double macs = (inputs + outputs + attention) * (full || options.method == Method::kAwq ? 2.0 : 1.0);
  if (!rtn && !options.trains_layers())
    macs += (2 * dim * dim + q * q + ffn * ffn) / 2.0 + (full ? 2 * dim * dim + q * dim + ffn * dim : 0.0);
  macs *= tokens;
  // Once a layer: correction and rounding (Cholesky factor and updates), 200 steps of the rotation fit.
  if (options.method == Method::kAwq) {
    // Losses of 20 scales, then the clipping search: 17 ranges, products inside groups.
    macs += 20.0 * (inputs * dim + q * dim * q + ffn * dim * ffn);
    macs += 17.0 * 1.5 * static_cast<double>(options.group_size) * (inputs + outputs);
  } else if (options.collects_by_set()) {
    macs += 2.0 * (dim * dim * dim * 2 + q * q * q + ffn * ffn * ffn) / 3.0 + 4.0 * (inputs * dim + outputs * ffn);
    if (options.rotations > 0) macs += 200.0 * static_cast<double>(options.group_size) * 2.0 * (inputs + outputs);
  }
  const bool merged = options.transform != Transform::kOnline;
  const bool sampled = !rtn && options.calibration.empty();
  const double weights = (inputs + outputs) * static_cast<double>(c.layers);
  double total = macs * static_cast<double>(c.layers);
  if (sampled) total += tokens * (weights + dim * static_cast<double>(c.vocab_size));

  if (merged) {
    // One stream with second moments, then the steps.
    const double moments = inputs + outputs + attention + (2 * dim * dim + q * q) / 2.0;
    total += moments * static_cast<double>(c.layers) *
             static_cast<double>(transform_windows(options.samples, options.seq_len) * options.seq_len);
    total += merged_fit_macs(c);
  }

  const double trained = training_macs(options, c);
  double seconds = (2.0 * total + 2.0 * trained) / device.measure_rate();
  if (trained > 0.0 && trainer != nullptr)
    seconds = 2.0 * total / device.measure_rate() + 2.0 * trained / trainer->measure_rate();
  const double hidden = tokens * dim * 4.0 * (full ? 2.0 : 1.0);
  const double kept = tokens * std::max(ffn, q) * 4.0;
  const double layer = (inputs + outputs) * 4.0 * (full ? 2.0 : 1.0);
  const double moments = ffn * ffn * 8.0 * 4.0;
  const double quantized =
      weights / 8.0 * options.target_bits.value_or(bits_per_weight(options.bits, options.group_size));
  const double embeddings = dim * static_cast<double>(c.vocab_size) * 2.0 * (c.tied_embeddings && !merged ? 1.0 : 2.0);
  const bool spills = device.host_matrices() != nullptr && hidden > static_cast<double>(options.state_bytes());
  const double in_file = spills ? hidden : 0.0;
  const double memory = std::max(hidden - in_file + kept + layer + moments, merged ? merged_fit_bytes(c) : 0.0);
  return {{"settings", options.settings()},
          {"tokens", static_cast<int64_t>(tokens)},
          {"seconds", seconds},
          {"memory_bytes", static_cast<int64_t>(memory)},
          {"disk_bytes", static_cast<int64_t>(2.0 * quantized + embeddings + in_file)}};
}

}  // namespace paro::calib
