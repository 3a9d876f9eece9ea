// A quantized layer with its codes frozen and some of what they are multiplied with trainable.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "calib/layer_quantizer.h"
#include "calib/options.h"
#include "train/student.h"

namespace paro::train {

/// value = base (1 + change) or base + change.
struct Change {
  at::Tensor base, change;
  bool relative = true;
  at::Tensor value() const { return relative ? base * (1.0 + change) : base + change; }
};

class CodedLayer {
 public:
  /// `source`: full precision; outlives it. `relative`: of scales' changes.
  CodedLayer(const ModelConfig& config, int64_t index, const Rope& rope, const WeightSource& source,
             calib::QuantizedLayer quantized, const calib::TunedParameters& tuned, bool relative, at::Device device);

  const DecoderLayer& layer() const { return *layer_; }
  /// Parameters in the order: scales' changes, norms' changes, then those of rotations, which have a unit of their own.
  const std::vector<at::Tensor>& changes() const { return changes_; }
  const std::vector<at::Tensor>& rotation_parameters() const { return rotation_parameters_; }
  /// Weights and norms as the parameters are now, differentiable where gradients are on.
  void refresh();
  /// As a file holds it; the layer computes with exactly that from then on. Error{kInput} for values beyond F16.
  calib::QuantizedLayer store();

 private:
  struct Coded {
    size_t index;  // in quantized_.weights
    TorchLinear* linear;
    at::Tensor codes;  // [out, in] integers, less the zero point
    Change scale;
    size_t rotation;
  };
  struct Normed {
    std::string name;  // with ".weight"
    TorchVector* vector;
    Change weight;
  };

  const WeightSource& source_;
  calib::QuantizedLayer quantized_;
  std::unique_ptr<DecoderLayer> layer_;
  std::vector<std::unique_ptr<InputRotation>> rotations_;
  std::vector<Coded> coded_;
  std::vector<Normed> norms_;
  std::vector<at::Tensor> changes_, rotation_parameters_;
};

}  // namespace paro::train
