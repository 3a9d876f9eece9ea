#include "model/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "model/gguf_names.h"

namespace paro {
namespace {

constexpr int64_t kMaxSize = 1 << 24;  // of any width or count

const GgufFamily& family_of(const GgufFile& file) {
  const std::string name = file.string("general.architecture", "");
  if (name.empty()) fail_input("{}: metadata \"general.architecture\" is missing", file.path().string());
  for (const GgufFamily& family : gguf_families())
    if (name == family.architecture) return family;
  fail_input("{}: architecture \"{}\" is not supported (supported: llama, qwen2, qwen3, smollm3)", file.path().string(),
             name);
}

int64_t size_of(const GgufFile& file, const std::string& key, int64_t fallback = -1) {
  const std::string full = gguf_architecture(file) + "." + key;
  const int64_t size = fallback < 0 ? file.integer(full) : file.integer(full, fallback);
  if (size < 1 || size > kMaxSize)
    fail_input("{}: metadata \"{}\": expected 1 to {}, found {}", file.path().string(), full, kMaxSize, size);
  return size;
}

/// The number that was meant: GGUF stores 1e-5 as the nearest f32, whose exact value is 9.99999974e-06.
double as_written(double value) {
  const auto single = static_cast<float>(value);
  return static_cast<double>(single) == value ? std::strtod(fmt::format("{}", single).c_str(), nullptr) : value;
}

double positive(const GgufFile& file, const std::string& key, double fallback) {
  const double value = as_written(file.number(key, fallback));
  if (!(value > 0) || !std::isfinite(value))
    fail_input("{}: metadata \"{}\": expected a positive number, found {}", file.path().string(), key, value);
  return value;
}

/// The rope_freqs tensor of Llama 3.1 and later holds, for each pair, what its frequency is divided by: 1 for short
/// wavelengths, the factor for long ones, between them a blend. Meta's three other constants were never changed, so
/// the factor tells all; the tensor is compared with what they give.
Json llama3_scaling(const GgufFile& file, double theta, int64_t head_dim) {
  constexpr double kLow = 1.0;
  constexpr double kHigh = 4.0;
  constexpr double kOriginal = 8192.0;
  const TensorInfo& info = file.require(kGgufRopeFactors, {head_dim / 2});
  const std::vector<float> factors = file.load_f32(info.name);
  const double factor = *std::max_element(factors.begin(), factors.end());
  if (factor == 1.0 && *std::min_element(factors.begin(), factors.end()) == 1.0) return Json();
  for (size_t i = 0; i < factors.size(); ++i) {
    const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double turns = kOriginal * frequency / (2 * M_PI);
    const double smooth = std::clamp((turns - kLow) / (kHigh - kLow), 0.0, 1.0);
    const double expected = 1 / ((1 - smooth) / factor + smooth);
    if (std::abs(factors[i] - expected) > 1e-3 * expected)
      fail_input("{}: tensor \"{}\": expected the factors of Llama 3.1's rope scaling ({} at {}), found {}",
                 file.path().string(), info.name, expected, i, factors[i]);
  }
  return {{"rope_type", "llama3"},
          {"factor", as_written(factor)},
          {"low_freq_factor", kLow},
          {"high_freq_factor", kHigh},
          {"original_max_position_embeddings", static_cast<int64_t>(kOriginal)}};
}

Json rope_scaling(const GgufFile& file, double theta, int64_t head_dim) {
  if (file.has(kGgufRopeFactors)) return llama3_scaling(file, theta, head_dim);
  const std::string prefix = gguf_architecture(file) + ".rope.scaling.";
  const std::string type = file.string(prefix + "type", "none");
  if (type == "none") return Json();
  if (type != "linear" && type != "yarn")
    fail_input("{}: metadata \"{}type\": expected none, linear or yarn, found \"{}\"", file.path().string(), prefix,
               type);
  Json scaling = {{"rope_type", type}, {"factor", positive(file, prefix + "factor", 1.0)}};
  if (const int64_t original = file.integer(prefix + "original_context_length", 0); original > 0)
    scaling["original_max_position_embeddings"] = original;
  return scaling;
}

/// Turn ends that instruction-tuned models use, whatever the file calls its end of text.
constexpr const char* kTurnEnds[] = {"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"};

}  // namespace

std::string gguf_architecture(const GgufFile& file) { return family_of(file).architecture; }

GgufHeads gguf_heads(const GgufFile& file) {
  GgufHeads heads;
  heads.heads = size_of(file, "attention.head_count");
  heads.kv_heads = size_of(file, "attention.head_count_kv", heads.heads);
  const int64_t dim = size_of(file, "embedding_length");
  heads.head_dim = size_of(file, "attention.key_length", std::max<int64_t>(1, dim / heads.heads));
  heads.interleaved = family_of(file).interleaved;
  const std::string place = file.path().string();
  if (heads.heads % heads.kv_heads != 0)
    fail_input("{}: expected a number of heads that is a multiple of the kv heads {}, found {}", place, heads.kv_heads,
               heads.heads);
  if (heads.head_dim % 2 != 0) fail_input("{}: expected an even head width, found {}", place, heads.head_dim);
  for (const char* key : {"attention.value_length", "rope.dimension_count"})
    if (const int64_t width = size_of(file, key, heads.head_dim); width != heads.head_dim)
      fail_input("{}: metadata \"{}\": expected the head width {}, found {}", place, key, heads.head_dim, width);
  return heads;
}

Json gguf_config(const GgufFile& file) {
  const GgufFamily& family = family_of(file);
  const std::string prefix = std::string(family.architecture) + ".";
  const std::string place = file.path().string();
  if (const int64_t experts = file.integer(prefix + "expert_count", 0); experts > 0)
    fail_input("{}: a mixture of {} experts: not supported from GGUF", place, experts);
  const GgufHeads heads = gguf_heads(file);
  const int64_t layers = size_of(file, "block_count");
  const int64_t window =
      family.model_type == std::string("llama") ? file.integer(prefix + "attention.sliding_window", 0) : 0;
  const double theta = positive(file, prefix + "rope.freq_base", 10000.0);
  const TensorInfo& embedding = file.require("token_embd.weight");
  if (embedding.shape.size() != 2 || embedding.shape[1] != size_of(file, "embedding_length"))
    fail_input("{}: tensor \"token_embd.weight\": expected [vocabulary, {}], found {}", place,
               size_of(file, "embedding_length"), shape_text(embedding.shape));
  Json config;
  config["architectures"] = {window > 0 ? "MistralForCausalLM" : family.class_name};
  config["model_type"] = window > 0 ? "mistral" : family.model_type;
  config["vocab_size"] = embedding.shape[0];
  config["hidden_size"] = embedding.shape[1];
  config["intermediate_size"] = size_of(file, "feed_forward_length");
  config["num_hidden_layers"] = layers;
  config["num_attention_heads"] = heads.heads;
  config["num_key_value_heads"] = heads.kv_heads;
  config["head_dim"] = heads.head_dim;
  config["hidden_act"] = "silu";
  config["rms_norm_eps"] = positive(file, prefix + "attention.layer_norm_rms_epsilon", 1e-5);
  config["rope_theta"] = theta;
  config["rope_scaling"] = rope_scaling(file, theta, heads.head_dim);
  config["max_position_embeddings"] = size_of(file, "context_length");
  if (window > 0) config["sliding_window"] = window;
  config["tie_word_embeddings"] = !file.has("output.weight");
  if (config["model_type"] == "llama" || config["model_type"] == "smollm3") {
    const bool bias = file.has("blk.0.attn_q.bias");
    if (bias != file.has("blk.0.attn_output.bias"))
      fail_input("{}: expected biases on all of q, k, v and o or on none, found them on {}", place,
                 bias ? "q only" : "o only");
    config["attention_bias"] = bias;
    config["mlp_bias"] = file.has("blk.0.ffn_gate.bias");
  }
  if (config["model_type"] == "smollm3") {
    // Not in the metadata: every fourth layer of this family goes without rotary embeddings.
    config["no_rope_layer_interval"] = 4;
    for (int64_t layer = 0; layer < layers; ++layer) config["no_rope_layers"].push_back((layer + 1) % 4 == 0 ? 0 : 1);
  }
  for (const auto& [key, source] : {std::pair("bos_token_id", "tokenizer.ggml.bos_token_id"),
                                    std::pair("eos_token_id", "tokenizer.ggml.eos_token_id"),
                                    std::pair("pad_token_id", "tokenizer.ggml.padding_token_id")})
    if (const int64_t id = file.integer(source, -1); id >= 0) config[key] = id;
  config["torch_dtype"] = "float16";
  return config;
}

Json gguf_generation_config(const GgufFile& file) {
  std::vector<int64_t> ends;
  const auto add = [&](int64_t id) {
    if (id >= 0 && std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  };
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"})
    add(file.integer(std::string("tokenizer.ggml.") + key, -1));
  if (const GgufArray* tokens = file.array("tokenizer.ggml.tokens"))
    for (size_t id = 0; id < tokens->strings.size(); ++id)
      if (std::find(std::begin(kTurnEnds), std::end(kTurnEnds), tokens->strings[id]) != std::end(kTurnEnds))
        add(static_cast<int64_t>(id));
  Json config = Json::object();
  if (const int64_t bos = file.integer("tokenizer.ggml.bos_token_id", -1); bos >= 0) config["bos_token_id"] = bos;
  if (ends.size() == 1) config["eos_token_id"] = ends[0];
  if (ends.size() > 1) config["eos_token_id"] = ends;
  return config;
}

}  // namespace paro
