// The "layer_types" of config.json, which several families share.
#pragma once

#include <functional>

#include "model/config.h"
#include "model/config_reader.h"

namespace paro {

/// Sets layer_window to `sliding_window` for the layers that "layer_types" calls "sliding_attention", or, without that
/// key, for those `slides` names. Does nothing unless "use_sliding_window" is true and there is a window.
/// `default_window` stands for an absent "sliding_window"; 0: none.
void read_sliding_layers(const ConfigReader& json, int64_t default_window,
                         const std::function<bool(int64_t layer)>& slides, ModelConfig& config);

/// "sliding_window": null is 0, absent is `fallback`.
int64_t read_window(const ConfigReader& json, int64_t fallback);

}  // namespace paro
