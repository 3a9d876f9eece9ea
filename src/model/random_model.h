// Random weights in the shape of a known model: to measure speed without a checkpoint. Seeded, made on reading, of
// ordinary size (so that nothing overflows), and meaningless.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/weight_source.h"
#include "model/config.h"

namespace paro {

enum class RandomFormat {
  kDense,  // F16
  kParo4,  // linears in the public 4-bit format with 8 rotations; embedding, norms and head F16
};

/// "smollm2-135m", "qwen3-4b", ...
std::vector<std::string> random_shape_names();
/// The config.json of a shape. Throws Error{kUsage} that lists the shapes for an unknown name.
Json random_shape_config(const std::string& name, RandomFormat format);
/// Every tensor that a model of `config` (a dense decoder of the Llama kind) reads; quantized where the config says so.
/// The linears of one input share their rotation.
std::shared_ptr<const WeightSource> make_random_weights(const ModelConfig& config, uint64_t seed = 1);

}  // namespace paro
