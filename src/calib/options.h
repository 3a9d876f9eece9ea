// What `paro quantize` is asked to do, checked before anything is opened.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "calib/calibration_text.h"
#include "calib/numeric/pairs.h"
#include "io/hub.h"
#include "model/config.h"

namespace paro::calib {

enum class Method {
  kParoQuant,     // rotation fit, target correction, second-order rounding
  kGptq,          // the same without rotation
  kRtn,           // round to nearest; no calibration
  kAwq,           // scales that are moved into what comes before, then rounding to nearest with a clipping search
  kEfficientQat,  // weights, scales and zero points trained layer by layer, then the scales end to end
};

/// How Method::kParoQuant finds rotations and codes.
enum class Fit {
  kExpectedError,  // expected rounding error, target correction, second-order rounding: no training
  kTrained,        // the published recipe: the output of each layer is trained
};

/// Training layer by layer: Fit::kTrained and Method::kEfficientQat.
struct LayerTraining {
  int64_t epochs = 10;           // of the first stage; kEfficientQat has no other
  int64_t finish_epochs = 10;    // of the second one, weights and quantization parameters; 0: without
  int64_t batch = 16;            // windows of a step
  double rotation_rate = 0.05;   // learning rates: of angles and channel scales,
  double weight_rate = 1e-5;     // of weights,
  double quantizer_rate = 1e-6;  // of group scales and zero points
  bool channel_scales = true;    // trained with the rotations; else 1
};

/// What end-to-end tuning changes; the codes stay.
struct TunedParameters {
  bool scales = true;     // of the groups
  bool norms = false;     // RMSNorm weights inside layers
  bool channels = false;  // channel scales of inputs that are rotated online
  bool angles = false;    // of inputs that are rotated online
};

/// End-to-end tuning behind the last layer: --preset standard and Method::kEfficientQat.
struct Tuning {
  int64_t epochs = 0;   // 0: none
  int64_t samples = 0;  // windows it is trained on (others than calibration's); 0: as many as `samples`
  int64_t batch = 8;    // windows of a step
  double rate = 1e-3;   // learning rate, of parameters relative to their values (kEfficientQat: absolute)
  TunedParameters parameters;
};
/// As --method has it.
const char* method_name(Method method);

/// Where inputs are rotated.
enum class Transform {
  kOnline,  // every input, while the model runs
  kHybrid,  // merged into the weights where that is possible, online elsewhere
  kMerged,  // merged where that is possible, none elsewhere
};

/// Which error of earlier layers the targets make up for.
enum class Correction {
  kFull,    // the input's and the residual stream's
  kTarget,  // the input's
  kOff,
};

/// `--bits-for`: the width of linears in whose name `pattern` is found.
struct BitsRule {
  std::string pattern;  // a regular expression
  int64_t bits = 4;     // 2, 3, 4, 8, or 16: left as they are
};

struct QuantizeOptions {
  std::string model;
  std::filesystem::path output;
  Method method = Method::kParoQuant;
  int64_t bits = 4;                       // 2, 3, 4 or 8
  std::vector<BitsRule> bits_for;         // later ones win
  std::optional<double> target_bits;      // of a weight, scales and zero points included; allocated instead of `bits`
  std::optional<int64_t> embedding_bits;  // 4, 8 or 16; of tied embeddings one of the two counts for both
  std::optional<int64_t> head_bits;
  int64_t group_size = 128;
  int64_t rotations = 8;  // rounds; 0: none
  PairKind pairs = PairKind::kRandom;
  double pair_fraction = 1.0;                // of each round's pairs, those that are rotated
  Transform transform = Transform::kOnline;  // others with Method::kParoQuant only
  bool share_rotations = true;               // one for q, k, v and one for gate, up
  Correction correction = Correction::kFull;
  std::vector<CalibrationFile> calibration;  // empty: text sampled from the model itself
  int64_t samples = 128;
  int64_t seq_len = 2048;
  uint64_t seed = 0;
  std::vector<std::string> skip;     // regular expressions of linears that stay 16-bit
  int64_t sweeps = 0;                // of coordinate descent after GPTQ
  bool act_order = false;            // GPTQ: inputs in the order of their energy; only --format gptq can say so
  bool clip = true;                  // search for smaller ranges (not rtn)
  std::string format = "paroquant";  // of the linears written, by quant_method (quant/method.h)
  Fit fit = Fit::kExpectedError;     // of kParoQuant
  LayerTraining training;            // where layers are trained
  Tuning tuning;
  int64_t validation = 8;      // windows held out of training, by which the best state is chosen
  double state_memory = -1.0;  // GB of hidden states in memory, more go to a file; negative: half of the memory
  bool report = false;         // also take the measures that only the report shows; no byte depends on it
  bool resume = false;
  int threads = 0;  // 0: physical cores
  HubOptions hub;
  const std::atomic<bool>* cancel = nullptr;

  /// Second moments are taken set by set (awq takes all of a layer's at once, rtn and training none).
  bool collects_by_set() const { return (method == Method::kParoQuant || method == Method::kGptq) && !trains_layers(); }
  /// A full-precision stream runs beside the quantized one.
  bool corrected() const { return collects_by_set() && correction != Correction::kOff; }
  /// Each layer is trained.
  bool trains_layers() const {
    return method == Method::kEfficientQat || (method == Method::kParoQuant && fit == Fit::kTrained);
  }
  /// Needs a Trainer (trainer.h).
  bool trains() const { return trains_layers() || tuning.epochs > 0; }
  int64_t tuning_samples() const { return tuning.epochs == 0 ? 0 : tuning.samples > 0 ? tuning.samples : samples; }
  /// Steps that not every device has (Device::has_baselines).
  bool needs_baselines() const { return method == Method::kAwq || act_order; }
  /// Every linear has 4 bits or is left as it is.
  bool only_four_bits() const;
  /// The largest code of a width.
  static double levels(int64_t bits) { return static_cast<double>((int64_t{1} << bits) - 1); }
  double levels() const { return levels(bits); }
  /// Of hidden states, that stay in memory.
  int64_t state_bytes() const;
  /// Combinations that cannot be: Error{kUsage}.
  void check() const;
  /// "quantization_config" of the checkpoint written, but for linears with other bits.
  QuantizationConfig quantization() const;

  /// Everything that the output's bytes depend on besides the source: the model card and --resume compare it.
  Json settings() const;
};

}  // namespace paro::calib
