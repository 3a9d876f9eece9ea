#include "model/gguf_names.h"

#include <utility>

namespace paro {
namespace {

constexpr GgufFamily kFamilies[] = {
    {"llama", "llama", "LlamaForCausalLM", true},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", false},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", false},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", true},
};

using Names = std::pair<std::string_view, std::string_view>;  // GGUF's, Hugging Face's

constexpr Names kEnds[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

constexpr Names kLayerParts[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

constexpr std::string_view kGgufLayers = "blk.";
constexpr std::string_view kHuggingFaceLayers = "model.layers.";

/// PREFIX N.PART.KIND with the part looked up in one column and replaced by the other's.
template <typename From, typename To>
std::optional<std::string> renamed(std::string_view name, std::string_view prefix, std::string_view new_prefix,
                                   From from, To to) {
  for (const Names& names : kEnds)
    if (name == names.*from) return std::string(names.*to);
  if (!name.starts_with(prefix)) return std::nullopt;
  const size_t first = name.find('.', prefix.size());
  const size_t last = name.rfind('.');
  if (first == std::string_view::npos || last <= first) return std::nullopt;
  const std::string_view layer = name.substr(prefix.size(), first - prefix.size());
  const std::string_view part = name.substr(first + 1, last - first - 1);
  const std::string_view kind = name.substr(last + 1);
  const bool is_number = !layer.empty() && layer.find_first_not_of("0123456789") == std::string_view::npos;
  if (!is_number || (kind != "weight" && kind != "bias")) return std::nullopt;
  for (const Names& names : kLayerParts)
    if (part == names.*from)
      return std::string(new_prefix) + std::string(layer) + "." + std::string(names.*to) + "." + std::string(kind);
  return std::nullopt;
}

}  // namespace

std::span<const GgufFamily> gguf_families() { return kFamilies; }

std::optional<std::string> hugging_face_name(std::string_view gguf) {
  return renamed(gguf, kGgufLayers, kHuggingFaceLayers, &Names::first, &Names::second);
}

std::optional<std::string> gguf_name(std::string_view hugging_face) {
  return renamed(hugging_face, kHuggingFaceLayers, kGgufLayers, &Names::second, &Names::first);
}

int64_t row_of_interleaved(int64_t row, int64_t head_dim) {
  const int64_t in_head = row % head_dim;
  return row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

}  // namespace paro
