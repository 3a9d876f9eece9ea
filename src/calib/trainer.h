// Where calibration meets training: what the optional train/ module (LibTorch) implements. Nothing here knows tensors
// of another library.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/json.h"
#include "calib/layer_quantizer.h"
#include "calib/linear_bits.h"
#include "calib/options.h"
#include "io/weight_source.h"
#include "model/config.h"

namespace paro::calib {

/// A model and the windows to train it on. What is referred to outlives the task's user.
struct TrainingTask {
  const QuantizeOptions& options;
  const LinearBits& bits;
  const ModelConfig& config;
  const WeightSource& source;  // full precision, rotations merged into it where there are such
  int64_t seq_len = 0;
  std::vector<int32_t> ids;       // [windows, seq_len]
  std::vector<int32_t> held_out;  // [validation windows, seq_len]
  std::vector<bool> online;       // by set (model.h): its input gets a rotation of its own
};

struct TunedModel {
  std::vector<QuantizedLayer> layers;
  /// [tokens, vocab], of the first tokens of the task's last window.
  std::vector<float> logits;
  Json report;  // held-out losses before and after, steps, seconds
};

class Trainer {
 public:
  virtual ~Trainer() = default;
  /// QuantizeOptions::trains_layers: one layer after the other.
  virtual std::unique_ptr<LayerQuantizer> layer_trainer(TrainingTask task) = 0;
  /// End-to-end tuning of `layers` with their codes frozen (options.tuning). Never returns worse layers than it was
  /// given, by the held-out windows. Throws Cancelled.
  virtual TunedModel tune(const TrainingTask& task, std::vector<QuantizedLayer> layers, int64_t logit_tokens) = 0;
  /// What the bytes of a result depend on besides the settings: for --resume.
  virtual Json fingerprint() const = 0;
  /// Floating-point operations a second that training sustains; measured on the spot.
  virtual double measure_rate() = 0;
};

}  // namespace paro::calib
