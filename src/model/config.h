// The hyperparameters of a decoder-only model, read from config.json and checked. One struct for all families; a
// family sets what its config.json leaves implied.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace paro {

/// rope_theta and rope_scaling (transformers 4) or rope_parameters (transformers 5).
struct RopeConfig {
  enum class Scaling { kNone, kLinear, kDynamic, kLlama3, kYarn };
  Scaling scaling = Scaling::kNone;
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0;        // yarn
  double beta_slow = 1.0;         // yarn
  double attention_factor = 0.0;  // yarn: multiplies cos and sin; 0: derived from factor (mscale considered)
  double mscale = 0.0;            // yarn
  double mscale_all_dim = 0.0;    // yarn
  bool truncate = true;           // yarn: correction range rounded to whole dimensions
  int64_t original_max_positions = 0;
};

/// quantization_config (model/quantization_config.h); bits == 0: not quantized.
struct QuantizationConfig {
  std::string method;  // quant_method: "paroquant", "awq" or "gptq"; empty: not quantized
  int64_t bits = 0;
  int64_t group_size = 0;        // inputs that share a scale; -1: all inputs of a linear
  int64_t rotations = 0;         // krot of paroquant
  bool act_order = false;        // desc_act of gptq: inputs belong to groups by g_idx
  bool zeros_minus_one = false;  // gptq before gptq_v2: zero points are stored less one
  bool mixed = false;            // gptq's "dynamic": linears may differ in bits and group size
  /// Linears with other bits than `bits`, by name (an extension of paroquant; gptq writes them as "dynamic").
  std::map<std::string, int64_t> linear_bits = {};

  int64_t bits_of(const std::string& linear) const {
    const auto found = linear_bits.find(linear);
    return found == linear_bits.end() ? bits : found->second;
  }
};

struct ModelConfig {
  std::string family;  // model_type: "llama", "qwen3", ...
  int64_t vocab_size = 0;
  int64_t dim = 0;  // hidden_size
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_dim = 0;        // intermediate_size
  int64_t max_positions = 0;  // max_position_embeddings
  double norm_eps = 1e-5;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool head_norm = false;  // RMSNorm over each head of q and k (Qwen 3)
  RopeConfig rope;
  std::vector<bool> layer_has_rope;   // [layers]; SmolLM3 leaves some out
  std::vector<int64_t> layer_window;  // [layers]; sliding-window width, 0: full attention
  std::vector<int32_t> eos_ids;       // of config.json; generation_config.json may add
  QuantizationConfig quantization;

  /// Positions the model is meant for: max_positions, or more where rope scaling extends a context that
  /// max_position_embeddings gives without it (Qwen 2.5 with yarn, models with linear or dynamic scaling).
  int64_t context_length() const;
};

/// Parses and validates config.json for a supported family (model/families/registry.h). Throws Error{kInput} naming
/// `place`, the key, what was expected and found; for an unknown model_type lists the supported ones.
ModelConfig parse_model_config(const Json& config, const std::string& place);

}  // namespace paro
