// The decoder layer of the Llama line: attention block, then gated MLP block, each with its norm in front. What
// differs between families (biases, head norm, window, rope or none) is in ModelConfig.
#pragma once

#include <memory>

#include "model/families/registry.h"

namespace paro {

/// Reads model.layers.N.{input_layernorm, self_attn, post_attention_layernorm, mlp}.
std::unique_ptr<DecoderLayer> load_pre_norm_layer(const LayerSource& source);

}  // namespace paro
