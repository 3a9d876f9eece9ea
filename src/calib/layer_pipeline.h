// One decoder layer through calibration: the statistics of each set of linears are taken after the set before it has
// been quantized, then both streams move on through the layer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "calib/awq.h"
#include "calib/device.h"
#include "calib/end_tables.h"
#include "calib/layer_blocks.h"
#include "calib/layer_quantizer.h"
#include "calib/linear_bits.h"
#include "calib/set_quantizer.h"
#include "calib/streams.h"
#include "io/weight_source.h"
#include "model/model.h"

namespace paro::calib {

class LayerPipeline : public LayerQuantizer {
 public:
  /// `source`: full precision; `tables`: of the model's ends, made from it. `streams`: before the embedding. `online`:
  /// by set, whether its input gets a rotation of its own. All but the streams outlive it.
  LayerPipeline(const QuantizeOptions& options, const LinearBits& bits, const ModelConfig& config,
                const WeightSource& source, EndTables& tables, Device& device, Streams streams,
                std::vector<bool> online);

  QuantizedLayer quantize(int64_t index) override;
  void replay(int64_t index, const QuantizedLayer& layer) override;
  void finish() override;
  std::vector<float> logits(int64_t tokens) override;
  Json quality() override;

 private:
  struct Layers;  // the layer in full precision and as it is being quantized
  using Block = LayerBlock;

  /// With `replaced` in the place of the source's tensors.
  Layers load(int64_t index, std::vector<ReplacedTensor> replaced) const;
  void quantize_inputs(Layers& layers, const Block& block, int64_t index, QuantizedLayer& result);
  void quantize_outputs(Layers& layers, const Block& block, int64_t index, QuantizedLayer& result);
  /// The full stream through the block; the quantized stream up to its last linear, whose inputs are kept (and added
  /// to `sums`, which may be null).
  void advance_to_last(Layers& layers, const Block& block, MomentSums* sums);
  /// The last linear's output into the quantized stream.
  void advance_last(Layers& layers, const Block& block);
  void install(std::vector<LinearSlot>& slots, int set, const std::vector<NamedWeight>& weights) const;
  std::vector<SetMember> members(const Layers& layers, int set) const;
  void finish_set(Layers& layers, int set, std::vector<SetMember> members, const MomentSums* sums, CrossMoment cross,
                  uint64_t stream, QuantizedLayer& result);
  void check_cancel() const;

  const QuantizeOptions& options_;
  const LinearBits& bits_;
  const ModelConfig& config_;
  const WeightSource& source_;
  Device& device_;
  Ops& ops_;
  EndTables& tables_;
  std::unique_ptr<Model> ends_;
  Streams streams_;
  SetQuantizer quantizer_;
  std::vector<bool> online_;
  Values kept_;  // inputs of a block's last linear, [rows, in]; empty where they would not fit
};

}  // namespace paro::calib
