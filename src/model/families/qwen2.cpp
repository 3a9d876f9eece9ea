// Qwen 2 and 2.5: q, k and v have biases; the layers from max_window_layers on may slide.
#include "model/blocks/pre_norm_layer.h"
#include "model/families/layer_types.h"
#include "model/families/registry.h"

namespace paro {
namespace {

void configure(const ConfigReader& json, ModelConfig& config) {
  config.qkv_bias = true;
  const int64_t full_layers = json.integer("max_window_layers", 28, 0, INT64_C(1) << 30);
  read_sliding_layers(
      json, 4096, [&](int64_t layer) { return layer >= full_layers; }, config);
}

}  // namespace

extern const Family kQwen2;
const Family kQwen2 = {
    .model_type = "qwen2",
    .models = "Qwen 2 and 2.5",
    .defaults = {.max_positions = 32768, .kv_heads = 32},
    .configure = configure,
    .layer = load_pre_norm_layer,
};

}  // namespace paro
