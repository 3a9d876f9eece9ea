// The model families there are: one file each in this folder, one line each in registry.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "model/config.h"
#include "model/config_reader.h"
#include "model/model.h"

namespace paro {

/// What a config.json may leave out, as the family's config class in transformers has it.
struct FamilyDefaults {
  int64_t max_positions = 2048;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  double rope_theta = 10000.0;
  bool tied_embeddings = false;
  int32_t eos_id = -1;  // -1: none
};

/// What a layer is made from.
struct LayerSource {
  const ModelConfig& config;
  int64_t index;
  const Rope& rope;  // outlives the layer
  const WeightSource& weights;
  WeightFactory& factory;
};

struct Family {
  std::string_view model_type;
  std::string_view models;  // for people
  FamilyDefaults defaults;
  /// Sets what is the family's own (biases, head norm, windows, layers without rope); all common fields are set, and
  /// layer_has_rope and layer_window have their length.
  void (*configure)(const ConfigReader& json, ModelConfig& config);
  std::unique_ptr<DecoderLayer> (*layer)(const LayerSource& source);
};

std::span<const Family* const> families();
/// Error{kInput} naming `place` and the supported families.
const Family& require_family(std::string_view model_type, const std::string& place);

}  // namespace paro
