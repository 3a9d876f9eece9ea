// One decoder layer through calibration: the statistics of each set of linears are taken after the set before it has
// been quantized, then both streams move on through the layer.
#pragma once

#include <atomic>
#include <cstdint>
#include <regex>
#include <string>
#include <vector>

#include "calib/dense_weights.h"
#include "calib/set_quantizer.h"
#include "calib/streams.h"
#include "io/weight_source.h"
#include "model/model.h"

namespace paro::calib {

/// Thrown between two steps once the cancel flag is set; finished layers are on disk.
struct Cancelled {};

struct NamedWeight {
  std::string name;
  Paro4Weight weight;
};

struct SetReport {
  std::vector<std::string> linears;
  SetLosses losses;
  std::vector<LinearMeasures> measures;  // of each linear
};

struct QuantizedLayer {
  std::vector<NamedWeight> weights;
  std::vector<SetReport> sets;
  Json errors;  // stream_errors behind the layer
  double seconds = 0.0;
};

class LayerPipeline {
 public:
  LayerPipeline(const QuantizeOptions& options, const ModelConfig& config, const WeightSource& source, const Rope& rope,
                Ops& ops, Streams& streams);

  /// Quantizes layer `index` and moves both streams through it. Throws Cancelled.
  QuantizedLayer quantize(int64_t index);
  /// Moves the streams through a layer that an earlier run has finished, exactly as that run did.
  void replay(int64_t index, const std::vector<NamedWeight>& weights);

  bool skipped(const std::string& name) const;

 private:
  struct Layers;  // the layer in full precision and as it is being quantized
  struct Block;

  Layers load(int64_t index) const;
  void quantize_inputs(Layers& layers, const Block& block, int64_t index, QuantizedLayer& result);
  void quantize_outputs(Layers& layers, const Block& block, int64_t index, QuantizedLayer& result);
  /// The full stream through the block; the quantized stream up to its last linear, whose inputs are kept (and added
  /// to `statistics`, which may be null).
  void advance_to_last(Layers& layers, const Block& block, Statistics* statistics);
  /// The last linear's output into the quantized stream.
  void advance_last(Layers& layers, const Block& block);
  void install(std::vector<LinearSlot>& slots, int set, const std::vector<NamedWeight>& weights) const;
  std::vector<SetMember> members(const std::vector<LinearSlot>& slots, int set) const;
  void finish_set(Layers& layers, int set, std::vector<SetMember> members, const Statistics* statistics,
                  CrossMoment cross, uint64_t stream, QuantizedLayer& result);
  /// `to` [rows, dim] = from.
  void copy_rows(Tensor from, float* to) const;
  void check_cancel() const;

  const QuantizeOptions& options_;
  const ModelConfig& config_;
  const WeightSource& source_;
  const Rope& rope_;
  Ops& ops_;
  Streams& streams_;
  ThreadPool& pool_;
  SetQuantizer quantizer_;
  mutable DenseWeightFactory factory_;
  std::vector<std::regex> skip_;
  std::unique_ptr<float[]> kept_;  // inputs of a block's last linear, [rows, in]; empty where they would not fit
};

}  // namespace paro::calib
