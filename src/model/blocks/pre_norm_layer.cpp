#include "model/blocks/pre_norm_layer.h"

#include <fmt/core.h>

#include "model/blocks/attention_block.h"
#include "model/blocks/gated_mlp_block.h"

namespace paro {
namespace {

class PreNormLayer : public DecoderLayer {
 public:
  PreNormLayer(const LayerSource& source, const std::string& prefix)
      : attention_(source, prefix + "self_attn", prefix + "input_layernorm"),
        mlp_(source, prefix + "mlp", prefix + "post_attention_layernorm") {}

  void attention_block(Ops& ops, Tensor x, const Batch& batch) const override {
    const OpsScope scope(ops);
    ops.add(x, attention_.delta(ops, x, batch));
  }

  void mlp_block(Ops& ops, Tensor x, const Batch&) const override {
    const OpsScope scope(ops);
    ops.add(x, mlp_.delta(ops, x));
  }

  void forward(Ops& ops, Tensor x, const Batch& batch) const override {
    const OpsScope scope(ops);
    ops.add(x, mlp_.delta_after_add(ops, x, attention_.delta(ops, x, batch)));
  }

  std::vector<LinearSlot> linear_slots() override {
    std::vector<LinearSlot> slots;
    attention_.add_slots(0, slots);
    mlp_.add_slots(2, slots);
    return slots;
  }

  RotationPoints rotation_points() const override {
    RotationPoints points;
    attention_.add_rotation_points(points);
    mlp_.add_rotation_points(points);
    return points;
  }

 private:
  AttentionBlock attention_;
  GatedMlpBlock mlp_;
};

}  // namespace

std::unique_ptr<DecoderLayer> load_pre_norm_layer(const LayerSource& source) {
  return std::make_unique<PreNormLayer>(source, fmt::format("model.layers.{}.", source.index));
}

}  // namespace paro
