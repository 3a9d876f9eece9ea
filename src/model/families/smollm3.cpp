// SmolLM3: Llama in which every fourth layer has no position encoding.
#include "base/error.h"
#include "model/blocks/pre_norm_layer.h"
#include "model/families/layer_types.h"
#include "model/families/registry.h"

namespace paro {
namespace {

void read_rope_layers(const ConfigReader& json, ModelConfig& config) {
  const Json* listed = json.find("no_rope_layers");
  const int64_t interval = json.integer("no_rope_layer_interval", 4, 1, INT64_C(1) << 30);
  // Despite its name, 1 means that the layer has rope.
  if (listed != nullptr && (!listed->is_array() || static_cast<int64_t>(listed->size()) < config.layers))
    fail_input("{}: \"no_rope_layers\": expected a list of {} entries, found {}", json.place(), config.layers,
               listed->is_array() ? fmt::format("{}", listed->size()) : std::string(json_kind(*listed)));
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const auto index = static_cast<size_t>(layer);
    if (listed == nullptr) {
      config.layer_has_rope[index] = (layer + 1) % interval != 0;
      continue;
    }
    const Json& entry = (*listed)[index];
    if (entry != 0 && entry != 1 && !entry.is_boolean())
      fail_input("{}: \"no_rope_layers\": expected 0 or 1, found {}", json.place(), dump_json(entry).substr(0, 100));
    config.layer_has_rope[index] = entry == 1 || entry == true;
  }
}

void configure(const ConfigReader& json, ModelConfig& config) {
  config.qkv_bias = json.boolean("attention_bias", false);
  config.o_bias = config.qkv_bias;
  config.mlp_bias = json.boolean("mlp_bias", false);
  read_rope_layers(json, config);
  const auto slides = [&](int64_t layer) { return !config.layer_has_rope[static_cast<size_t>(layer)]; };
  read_sliding_layers(json, 0, slides, config);
}

}  // namespace

extern const Family kSmolLm3;
const Family kSmolLm3 = {
    .model_type = "smollm3",
    .models = "SmolLM3",
    .defaults =
        {.max_positions = 32768, .kv_heads = 4, .rope_theta = 2000000.0, .tied_embeddings = true, .eos_id = 128001},
    .configure = configure,
    .layer = load_pre_norm_layer,
};

}  // namespace paro
