#include "model/gguf_export.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "model/gguf_checkpoint.h"
#include "model/gguf_names.h"

namespace paro {
namespace {

using Scaling = RopeConfig::Scaling;

const GgufFamily& family_of(const ModelConfig& config) {
  // Mistral is Llama with a window.
  const std::string type = config.family == "mistral" ? "llama" : config.family;
  for (const GgufFamily& family : gguf_families())
    if (type == family.model_type) return family;
  fail_input("model_type \"{}\": not in GGUF export; there are llama, mistral, qwen2, qwen3 and smollm3",
             config.family);
}

/// Llama 3.1's: the constants besides the factor are implied by the format's readers.
bool is_llama31(const RopeConfig& rope) {
  return rope.low_freq_factor == 1.0 && rope.high_freq_factor == 4.0 && rope.original_max_positions == 8192;
}

void check_expressible(const ModelConfig& c, const std::string& place) {
  const RopeConfig& rope = c.rope;
  if (rope.scaling == Scaling::kDynamic) fail_input("{}: \"rope_scaling\": GGUF has no key for dynamic scaling", place);
  if (rope.scaling == Scaling::kLlama3 && !is_llama31(rope))
    fail_input("{}: \"rope_scaling\": expected Llama 3.1's frequency factors (1, 4, 8192 positions), found {}, {}, {}",
               place, rope.low_freq_factor, rope.high_freq_factor, rope.original_max_positions);
  if (rope.scaling == Scaling::kYarn &&
      (rope.beta_fast != 32.0 || rope.beta_slow != 1.0 || rope.attention_factor != 0.0 || rope.mscale != 0.0 ||
       rope.mscale_all_dim != 0.0 || !rope.truncate))
    fail_input("{}: \"rope_scaling\": expected yarn with its usual settings, which is all that GGUF has keys for",
               place);
  for (size_t layer = 0; layer < c.layer_window.size(); ++layer) {
    const bool uniform = c.family == "mistral" && c.layer_window[layer] == c.layer_window[0];
    if (c.layer_window[layer] != 0 && !uniform)
      fail_input("{}: a sliding window of {} in layer {}: GGUF has no key for it in this family", place,
                 c.layer_window[layer], layer);
    const bool usual = c.family != "smollm3" || (layer + 1) % 4 != 0;
    if (c.layer_has_rope[layer] != usual)
      fail_input("{}: layer {}: expected {} position encoding, as GGUF implies", place, layer, usual ? "a" : "no");
  }
}

/// What each pair's frequency is divided by.
std::vector<float> llama3_factors(const RopeConfig& rope, int64_t head_dim) {
  std::vector<float> factors;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double frequency = std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double turns = static_cast<double>(rope.original_max_positions) * frequency / (2 * M_PI);
    const double smooth =
        std::clamp((turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0);
    factors.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / rope.factor + smooth)));
  }
  return factors;
}

TensorToWrite as_gguf(const WeightSource& weights, const TensorInfo& info, const std::string& name, int64_t heads) {
  const bool matrix = info.shape.size() > 1;
  return {name, matrix ? DType::kF16 : DType::kF32, info.shape,
          [&weights, info, heads, matrix](const std::function<void(const void*, size_t)>& sink) {
            const LoadedTensor tensor = weights.load(info.name);
            PARO_CHECK(tensor.view.dtype == DType::kF16);
            const int64_t rows = info.shape.empty() ? 1 : info.shape[0];
            const int64_t width = tensor.view.elements() / rows;
            const int64_t head_dim = heads > 0 ? rows / heads : 0;
            std::vector<float> values(static_cast<size_t>(width));
            for (int64_t row = 0; row < rows; ++row) {
              const int64_t from = heads > 0 ? row_of_interleaved(row, head_dim) : row;
              if (matrix) {
                sink(tensor.view.data + from * width * 2, static_cast<size_t>(width) * 2);
              } else {
                copy_as_f32(tensor.view, from * width, width, values.data());
                sink(values.data(), values.size() * sizeof(float));
              }
            }
          }};
}

std::vector<TensorToWrite> gguf_tensors(const ModelConfig& config, const WeightSource& weights) {
  const GgufFamily& family = family_of(config);
  std::vector<TensorToWrite> tensors;
  for (const TensorInfo& info : weights.tensors()) {
    const auto name = gguf_name(info.name);
    if (!name) fail_input("{}: tensor \"{}\": has no name in GGUF", weights.place(info.name), info.name);
    int64_t heads = 0;
    if (family.interleaved && info.name.find(".q_proj.") != std::string::npos) heads = config.heads;
    if (family.interleaved && info.name.find(".k_proj.") != std::string::npos) heads = config.kv_heads;
    tensors.push_back(as_gguf(weights, info, *name, heads));
  }
  if (config.rope.scaling == Scaling::kLlama3) {
    const std::vector<float> factors = llama3_factors(config.rope, config.head_dim);
    tensors.push_back({std::string(kGgufRopeFactors),
                       DType::kF32,
                       {std::ssize(factors)},
                       [factors](const std::function<void(const void*, size_t)>& sink) {
                         sink(factors.data(), factors.size() * sizeof(float));
                       }});
  }
  return tensors;
}

/// Words, numbers, spaces and scripts that tokenizers treat differently.
constexpr const char* kProbe =
    "Hello, world!  It's 2024: don't we'll THEY'RE 123456 x=3.14\n\n\tdef f(a_b):\n    return a+b  # ok\r\n"
    "Stra\xC3\x9F"
    "e \xE4\xBD\xA0\xE5\xA5\xBD \xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 caf\xC3\xA9 cafe\xCC\x81 "
    "\xF0\x9F\x99\x82\xF0\x9F\x87\xAA\xF0\x9F\x87\xBA ... ---";

void compare_tokenizers(const Checkpoint& checkpoint, const std::filesystem::path& path) {
  if (checkpoint.tokenizer_json.is_null()) return;
  const auto before = checkpoint.make_tokenizer();
  const auto after = open_gguf_checkpoint(path, {.config = false, .weights = false}).make_tokenizer();
  for (const std::string& text : {std::string(kProbe), checkpoint.chat_template})
    if (before->encode(text) != after->encode(text)) {
      log_warning("{}: readers of GGUF cut some texts into other tokens than the source's tokenizer does",
                  path.string());
      return;
    }
}

}  // namespace

GgufMetadata gguf_hyperparameters(const Checkpoint& checkpoint, const ModelConfig& c) {
  check_expressible(c, checkpoint.config_place());
  const std::string architecture = family_of(c).architecture;
  GgufMetadata metadata = {{"general.architecture", architecture},
                           {"general.type", std::string("model")},
                           {"general.name", checkpoint.short_name()},
                           // "mostly F16"
                           {"general.file_type", uint32_t{1}}};
  const auto add = [&](const char* key, GgufWriteValue value) {
    metadata.emplace_back(architecture + "." + key, std::move(value));
  };
  const auto size = [](int64_t value) { return static_cast<uint32_t>(value); };
  add("block_count", size(c.layers));
  add("context_length", size(c.max_positions));
  add("embedding_length", size(c.dim));
  add("feed_forward_length", size(c.ffn_dim));
  add("attention.head_count", size(c.heads));
  add("attention.head_count_kv", size(c.kv_heads));
  add("attention.key_length", size(c.head_dim));
  add("attention.value_length", size(c.head_dim));
  add("attention.layer_norm_rms_epsilon", static_cast<float>(c.norm_eps));
  if (c.family == "mistral" && c.layer_window[0] > 0) add("attention.sliding_window", size(c.layer_window[0]));
  add("rope.dimension_count", size(c.head_dim));
  add("rope.freq_base", static_cast<float>(c.rope.theta));
  add("vocab_size", size(c.vocab_size));
  if (c.rope.scaling == Scaling::kLinear || c.rope.scaling == Scaling::kYarn) {
    add("rope.scaling.type", std::string(c.rope.scaling == Scaling::kYarn ? "yarn" : "linear"));
    add("rope.scaling.factor", static_cast<float>(c.rope.factor));
    if (c.rope.original_max_positions > 0)
      add("rope.scaling.original_context_length", size(c.rope.original_max_positions));
  }
  return metadata;
}

void export_gguf(const Checkpoint& checkpoint, const ModelConfig& config, const WeightSource& weights,
                 const std::filesystem::path& path) {
  GgufMetadata metadata = gguf_hyperparameters(checkpoint, config);
  for (auto& pair : gguf_vocabulary(checkpoint, config)) metadata.push_back(std::move(pair));
  write_gguf(path, metadata, gguf_tensors(config, weights));
  compare_tokenizers(checkpoint, path);
}

}  // namespace paro
