#include "model/families/layer_types.h"

#include <string>

#include "base/error.h"

namespace paro {
namespace {

/// One entry a layer, true where it slides; checked whether or not a window is in use.
std::vector<bool> parse_layer_types(const Json& types, const ConfigReader& json, int64_t layers) {
  if (!types.is_array() || static_cast<int64_t>(types.size()) != layers)
    fail_input("{}: \"layer_types\": expected a list of {} entries, found {}", json.place(), layers,
               types.is_array() ? fmt::format("{}", types.size()) : std::string(json_kind(types)));
  std::vector<bool> slides;
  for (const Json& type : types) {
    if (type != "full_attention" && type != "sliding_attention")
      fail_input("{}: \"layer_types\": expected full_attention or sliding_attention, found {}", json.place(),
                 dump_json(type).substr(0, 100));
    slides.push_back(type == "sliding_attention");
  }
  return slides;
}

}  // namespace

int64_t read_window(const ConfigReader& json, int64_t fallback) {
  if (json.is_null("sliding_window")) return 0;
  return json.integer("sliding_window", fallback, 1, INT64_C(1) << 30);
}

void read_sliding_layers(const ConfigReader& json, int64_t default_window,
                         const std::function<bool(int64_t layer)>& slides, ModelConfig& config) {
  std::vector<bool> listed;
  if (const Json* types = json.find("layer_types")) listed = parse_layer_types(*types, json, config.layers);
  if (!json.boolean("use_sliding_window", false)) return;
  const int64_t window = read_window(json, default_window);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const auto index = static_cast<size_t>(layer);
    if (listed.empty() ? slides(layer) : listed[index]) config.layer_window[index] = window;
  }
}

}  // namespace paro
