// Llama 1 to 3.2, and the many models with its architecture.
#include "model/blocks/pre_norm_layer.h"
#include "model/families/registry.h"

namespace paro {
namespace {

void configure(const ConfigReader& json, ModelConfig& config) {
  config.qkv_bias = json.boolean("attention_bias", false);
  config.o_bias = config.qkv_bias;
  config.mlp_bias = json.boolean("mlp_bias", false);
}

}  // namespace

extern const Family kLlama;
const Family kLlama = {
    .model_type = "llama",
    .models = "Llama 1 to 3.2, SmolLM2",
    .defaults = {.max_positions = 2048, .eos_id = 2},
    .configure = configure,
    .layer = load_pre_norm_layer,
};

}  // namespace paro
