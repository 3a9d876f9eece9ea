#include "model/blocks/attention_block.h"

#include <cmath>

namespace paro {

AttentionBlock::AttentionBlock(const LayerSource& source, const std::string& prefix, const std::string& norm)
    : norm_name_(norm) {
  const ModelConfig& config = source.config;
  const auto layer = static_cast<size_t>(source.index);
  const int64_t q_dim = config.heads * config.head_dim;
  const int64_t kv_dim = config.kv_heads * config.head_dim;
  const auto linear = [&](const char* name, int64_t out, int64_t in, bool bias) {
    return source.factory.linear(source.weights, prefix + name, out, in, bias);
  };
  norm_ = source.factory.vector(source.weights, norm, config.dim);
  q_ = linear(".q_proj", q_dim, config.dim, config.qkv_bias);
  k_ = linear(".k_proj", kv_dim, config.dim, config.qkv_bias);
  v_ = linear(".v_proj", kv_dim, config.dim, config.qkv_bias);
  o_ = linear(".o_proj", config.dim, q_dim, config.o_bias);
  if (config.head_norm) {
    q_norm_ = source.factory.vector(source.weights, prefix + ".q_norm", config.head_dim);
    k_norm_ = source.factory.vector(source.weights, prefix + ".k_norm", config.head_dim);
  }
  spec_ = {
      .layer = source.index,
      .heads = config.heads,
      .kv_heads = config.kv_heads,
      .head_dim = config.head_dim,
      .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim))),
      .window = config.layer_window[layer],
      .rope = config.layer_has_rope[layer] ? &source.rope : nullptr,
      .q_norm = q_norm_.get(),
      .k_norm = k_norm_.get(),
      .norm_eps = static_cast<float>(config.norm_eps),
  };
}

Tensor AttentionBlock::delta(Ops& ops, Tensor x, const Batch& batch) const {
  const Linear* const weights[] = {q_.get(), k_.get(), v_.get()};
  Tensor qkv[3];
  ops.norm_linears(x, nullptr, {*norm_, spec_.norm_eps}, weights, qkv);
  return ops.linear(ops.attend(qkv[0], qkv[1], qkv[2], spec_, batch), *o_);
}

void AttentionBlock::add_slots(int first_set, std::vector<LinearSlot>& slots) {
  for (auto* weight : {&q_, &k_, &v_})
    slots.push_back({(*weight)->name, first_set, weight, {.name = norm_name_, .norm = true}});
  slots.push_back({o_->name,
                   first_set + 1,
                   &o_,
                   {.name = v_->name, .head_dim = spec_.head_dim, .heads_per_value = spec_.heads / spec_.kv_heads}});
}

void AttentionBlock::add_rotation_points(RotationPoints& points) const {
  for (const auto* weight : {&q_, &k_, &v_}) points.readers.push_back({(*weight)->name, norm_name_});
  points.writers.push_back(o_->name);
  points.value = v_->name;
  points.output = o_->name;
}

}  // namespace paro
