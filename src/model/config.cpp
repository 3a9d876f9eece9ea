#include "model/config.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "model/config_reader.h"
#include "model/families/registry.h"
#include "model/quantization_config.h"
#include "model/rope_config.h"

namespace paro {
namespace {

// Far above any real model, low enough that products of two stay small and wrong files cost no memory.
constexpr int64_t kMaxLayers = 1000;
constexpr int64_t kMaxVocab = 10'000'000;
constexpr int64_t kMaxDim = 1'000'000;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxPositions = int64_t{1} << 30;
constexpr size_t kMaxEosIds = 1000;

void parse_sizes(const ConfigReader& json, const FamilyDefaults& defaults, ModelConfig& config) {
  config.vocab_size = json.integer("vocab_size", 1, kMaxVocab);
  config.dim = json.integer("hidden_size", 1, kMaxDim);
  config.layers = json.integer("num_hidden_layers", 1, kMaxLayers);
  config.heads = json.integer("num_attention_heads", 1, kMaxHeads);
  config.ffn_dim = json.integer("intermediate_size", 1, kMaxDim);
  config.max_positions = json.integer("max_position_embeddings", defaults.max_positions, 1, kMaxPositions);

  // Written as null: as many as heads; left out: what the family's class has.
  const bool as_heads = json.is_null("num_key_value_heads") || defaults.kv_heads == 0;
  config.kv_heads = json.integer("num_key_value_heads", as_heads ? config.heads : defaults.kv_heads, 1, kMaxHeads);
  if (config.heads % config.kv_heads != 0)
    fail_input("{}: \"num_key_value_heads\": expected a divisor of \"num_attention_heads\" ({}), found {}",
               json.place(), config.heads, config.kv_heads);

  if (json.has("head_dim")) {
    config.head_dim = json.integer("head_dim", 2, kMaxHeadDim);
  } else if (defaults.head_dim != 0) {
    config.head_dim = defaults.head_dim;
  } else {
    if (config.dim % config.heads != 0)
      fail_input(
          "{}: \"hidden_size\": expected a multiple of \"num_attention_heads\" ({}) as there is no "
          "\"head_dim\", found {}",
          json.place(), config.heads, config.dim);
    config.head_dim = config.dim / config.heads;
  }
  if (config.head_dim % 2 != 0 || config.head_dim > kMaxHeadDim)
    fail_input("{}: the dimension of a head: expected an even number up to {}, found {}", json.place(), kMaxHeadDim,
               config.head_dim);
}

int32_t eos_id(const Json& value, const ConfigReader& json, int64_t vocab) {
  if (!value.is_number_integer())
    fail_input("{}: \"eos_token_id\": expected an integer or a list of integers, found {}", json.place(),
               json_kind(value));
  // Unsigned values beyond int64 wrap to negative ones here and are refused with them.
  const int64_t id = value.get<int64_t>();
  if (id < 0 || id >= kMaxVocab)
    fail_input("{}: \"eos_token_id\": expected a token id (vocab_size is {}), found {}", json.place(), vocab,
               dump_json(value));
  return static_cast<int32_t>(id);
}

std::vector<int32_t> parse_eos(const ConfigReader& json, const FamilyDefaults& defaults, int64_t vocab) {
  const Json* value = json.find("eos_token_id");
  if (value == nullptr) {
    if (defaults.eos_id < 0 || json.is_null("eos_token_id")) return {};
    return {defaults.eos_id};
  }
  if (!value->is_array()) return {eos_id(*value, json, vocab)};
  if (value->size() > kMaxEosIds)
    fail_input("{}: \"eos_token_id\": expected at most {} ids, found {}", json.place(), kMaxEosIds, value->size());
  std::vector<int32_t> ids;
  for (const Json& id : *value) ids.push_back(eos_id(id, json, vocab));
  return ids;
}

}  // namespace

int64_t ModelConfig::context_length() const {
  const auto extended = [&](int64_t original) {
    const double positions = static_cast<double>(original) * rope.factor;
    return std::max(max_positions, static_cast<int64_t>(std::min(positions, static_cast<double>(kMaxPositions))));
  };
  switch (rope.scaling) {
    case RopeConfig::Scaling::kNone:
    case RopeConfig::Scaling::kLlama3: break;
    case RopeConfig::Scaling::kLinear:
    case RopeConfig::Scaling::kDynamic: return extended(max_positions);
    case RopeConfig::Scaling::kYarn: return extended(rope.original_max_positions);
  }
  return max_positions;
}

ModelConfig parse_model_config(const Json& object, const std::string& place) {
  const ConfigReader json(object, place);
  ModelConfig config;
  config.family = json_string(object, "model_type", place);
  const Family& family = require_family(config.family, place);
  const FamilyDefaults& defaults = family.defaults;

  parse_sizes(json, defaults, config);
  const std::string activation = json.text("hidden_act", "silu");
  if (activation != "silu" && activation != "swish")
    fail_input("{}: \"hidden_act\": expected \"silu\", found \"{}\"", place, activation);
  config.norm_eps = json.number("rms_norm_eps", 1e-6, 0.0);
  if (config.norm_eps >= 1.0)
    fail_input("{}: \"rms_norm_eps\": expected less than 1, found {}", place, config.norm_eps);
  config.tied_embeddings = json.boolean("tie_word_embeddings", defaults.tied_embeddings);
  config.rope = parse_rope_config(json, defaults.rope_theta, config.max_positions, config.head_dim);
  config.layer_has_rope.assign(static_cast<size_t>(config.layers), true);
  config.layer_window.assign(static_cast<size_t>(config.layers), 0);
  config.eos_ids = parse_eos(json, defaults, config.vocab_size);
  config.quantization = parse_quantization_config(json);
  family.configure(json, config);
  return config;
}

}  // namespace paro
