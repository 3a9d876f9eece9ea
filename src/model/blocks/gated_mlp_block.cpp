#include "model/blocks/gated_mlp_block.h"

namespace paro {

GatedMlpBlock::GatedMlpBlock(const LayerSource& source, const std::string& prefix, const std::string& norm)
    : norm_name_(norm), norm_eps_(static_cast<float>(source.config.norm_eps)) {
  const ModelConfig& config = source.config;
  const auto linear = [&](const char* name, int64_t out, int64_t in) {
    return source.factory.linear(source.weights, prefix + name, out, in, config.mlp_bias);
  };
  norm_ = source.factory.vector(source.weights, norm, config.dim);
  gate_ = linear(".gate_proj", config.ffn_dim, config.dim);
  up_ = linear(".up_proj", config.ffn_dim, config.dim);
  down_ = linear(".down_proj", config.dim, config.ffn_dim);
}

Tensor GatedMlpBlock::delta(Ops& ops, Tensor x) const {
  return ops.norm_gated_mlp(x, nullptr, {*norm_, norm_eps_}, *gate_, *up_, *down_);
}

Tensor GatedMlpBlock::delta_after_add(Ops& ops, Tensor x, Tensor y) const {
  return ops.norm_gated_mlp(x, &y, {*norm_, norm_eps_}, *gate_, *up_, *down_);
}

void GatedMlpBlock::add_slots(int first_set, std::vector<LinearSlot>& slots) {
  for (auto* weight : {&gate_, &up_})
    slots.push_back({(*weight)->name, first_set, weight, {.name = norm_name_, .norm = true}});
  slots.push_back({down_->name, first_set + 1, &down_, {.name = up_->name}});
}

void GatedMlpBlock::add_rotation_points(RotationPoints& points) const {
  for (const auto* weight : {&gate_, &up_}) points.readers.push_back({(*weight)->name, norm_name_});
  points.writers.push_back(down_->name);
}

}  // namespace paro
