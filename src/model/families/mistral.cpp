// Mistral 7B and its kin: Llama without biases, with one sliding window for all layers.
#include "model/blocks/pre_norm_layer.h"
#include "model/families/layer_types.h"
#include "model/families/registry.h"

namespace paro {
namespace {

void configure(const ConfigReader& json, ModelConfig& config) {
  config.layer_window.assign(config.layer_window.size(), read_window(json, 4096));
}

}  // namespace

extern const Family kMistral;
const Family kMistral = {
    .model_type = "mistral",
    .models = "Mistral 7B, Nemo, Small 2",
    .defaults = {.max_positions = 131072, .kv_heads = 8, .eos_id = 2},
    .configure = configure,
    .layer = load_pre_norm_layer,
};

}  // namespace paro
