// What turns a model's layers into quantized ones, in order: layer_pipeline.h without training, a Trainer's (trainer.h)
// with it. Also what one layer's result is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "calib/measures.h"
#include "calib/replaced_source.h"
#include "quant/paro4/format.h"

namespace paro::calib {

/// Thrown between two steps once the cancel flag is set; finished layers are on disk.
struct Cancelled {};

struct NamedWeight {
  std::string name;
  Paro4Weight weight;
};

struct SetLosses {
  double rtn = 0.0;         // of rounding the corrected weight to nearest, relative to its output's energy
  double rounded = 0.0;     // of what was written, the same measure
  double fit = 1.0;         // expected error after the rotation fit over before; awq: with the scales over without
  int64_t lost_angles = 0;  // not finite after the fit: written as 0
};

/// Of a set of linears; where layers are trained, of all of a layer's (docs/quantizing.md says what the losses are).
struct SetReport {
  std::vector<std::string> linears;
  SetLosses losses;
  std::vector<LinearMeasures> measures;  // of each linear; none where layers are trained
};

struct QuantizedLayer {
  std::vector<NamedWeight> weights;
  std::vector<SetReport> sets;
  std::vector<ReplacedTensor> replaced;  // not quantized, but other than in the source; values that F16 holds
  std::vector<std::string> kept;         // linears left as they are
  Json errors;                           // stream_errors behind the layer; null where layers are trained
  double seconds = 0.0;
};

class LayerQuantizer {
 public:
  virtual ~LayerQuantizer() = default;
  /// Quantizes layer `index` and moves the hidden states through it. Throws Cancelled.
  virtual QuantizedLayer quantize(int64_t index) = 0;
  /// Moves the hidden states through a layer that an earlier run has finished, exactly as that run did.
  virtual void replay(int64_t index, const QuantizedLayer& layer) = 0;
  /// Behind the last layer, before what follows: what is quantized besides layers.
  virtual void finish() {}
  /// Logits [tokens, vocab] of the first tokens of the last window that is fitted to, as the quantized model has them.
  virtual std::vector<float> logits(int64_t tokens) = 0;
  /// stream_quality, or null.
  virtual Json quality() { return nullptr; }
};

}  // namespace paro::calib
