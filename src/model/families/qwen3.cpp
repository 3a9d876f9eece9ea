// Qwen 3 dense: an RMSNorm over each head of q and k; heads wider than hidden_size / num_attention_heads.
#include "model/blocks/pre_norm_layer.h"
#include "model/families/layer_types.h"
#include "model/families/registry.h"

namespace paro {
namespace {

void configure(const ConfigReader& json, ModelConfig& config) {
  config.head_norm = true;
  config.qkv_bias = json.boolean("attention_bias", false);
  config.o_bias = config.qkv_bias;
  const int64_t full_layers = json.integer("max_window_layers", 28, 0, INT64_C(1) << 30);
  read_sliding_layers(
      json, 4096, [&](int64_t layer) { return layer >= full_layers; }, config);
}

}  // namespace

extern const Family kQwen3;
const Family kQwen3 = {
    .model_type = "qwen3",
    .models = "Qwen 3 dense",
    .defaults = {.max_positions = 32768, .kv_heads = 32, .head_dim = 128},
    .configure = configure,
    .layer = load_pre_norm_layer,
};

}  // namespace paro
