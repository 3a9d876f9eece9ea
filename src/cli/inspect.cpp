// paro inspect: what is in a checkpoint. The facts come from inspect_report.h; here they are shown.
#include <algorithm>

#include "base/error.h"
#include "cli/command.h"
#include "cli/inspect_report.h"
#include "cli/output.h"
#include "model/open_checkpoint.h"

namespace paro::cli {
namespace {

struct Flags {
  std::string model;
  bool tensors = false;
  bool json = false;
};

/// "4 bits, groups of 128, 8 rotations"
std::string layout_text(const QuantizationConfig& q) {
  std::string text = fmt::format("{} bits, ", q.bits);
  text += q.group_size == -1 ? "one group for each output" : fmt::format("groups of {}", q.group_size);
  if (q.method == "paroquant") text += fmt::format(", {} rotations", q.rotations);
  if (q.act_order) text += ", act-order";
  if (q.mixed) text += ", single linears may differ";
  return text;
}

/// "3 bits: 20, 4 bits: 190" where there is more than one width.
std::string widths_text(const InspectReport& r) {
  std::string text;
  for (const auto& [bits, count] : r.linears_of_bits)
    text += fmt::format("{}{} bits: {}", text.empty() ? "" : ", ", bits, count);
  return text;
}

std::string text_of(const InspectReport& r, const Checkpoint& checkpoint, bool tensors) {
  std::string text = fmt::format("{}\n", checkpoint.path.string());
  const auto line = [&](const char* name, const std::string& value) {
    text += fmt::format("  {:<18}{}\n", name, value);
  };
  const ModelConfig& c = r.config;
  line("family", c.family);
  line("shape", fmt::format("{} layers, dim {}, ffn {}, {} heads of {}, {} KV heads, vocabulary {}{}", c.layers, c.dim,
                            c.ffn_dim, c.heads, c.head_dim, c.kv_heads, c.vocab_size,
                            c.tied_embeddings ? ", tied embeddings" : ""));
  line("context", fmt::format("{} tokens, {} of KV cache each", c.context_length(), size_text(r.kv_bytes_per_token)));
  line("parameters", fmt::format("{:.2f} million", static_cast<double>(r.parameters) / 1e6));
  line("weights", fmt::format("{}, {:.3f} bits per parameter", size_text(r.bytes), r.bits_per_parameter()));
  if (r.quantized_linears > 0) {
    line("quantization", fmt::format("{}: {}; {} linears, {:.3f} bits per weight", c.quantization.method,
                                     layout_text(c.quantization), r.quantized_linears, r.bits_per_quantized_weight()));
    if (r.linears_of_bits.size() > 1) line("linears", widths_text(r));
  } else {
    line("quantization", "none");
  }
  line("tokenizer", checkpoint.tokenizer_json.is_null() ? "none" : "yes");
  line("chat template", checkpoint.chat_template.empty() ? "none" : "yes");
  text += fmt::format("\n  {:<18}{:>8}  {:>14}  {:>10}  {:>6}  {}\n", "kind", "tensors", "elements", "size", "share",
                      "types");
  for (const KindTotal& kind : r.kinds) {
    text += fmt::format(
        "  {:<18}{:>8}  {:>14}  {:>10}  {:>5.1f}%  {}\n", kind.name, kind.tensors, kind.elements, size_text(kind.bytes),
        100.0 * static_cast<double>(kind.bytes) / static_cast<double>(std::max<int64_t>(r.bytes, 1)), kind.types);
  }
  if (!r.health.empty()) {
    text += fmt::format("\n  {:<18}{:>14}  {:>14}  {:>10}  {:>10}\n", "health", "min", "max", "zeros", "not finite");
    for (const ValueHealth& h : r.health) {
      text +=
          fmt::format("  {:<18}{:>14.6g}  {:>14.6g}  {:>10}  {:>10}\n", h.name, h.min, h.max, h.zeros, h.not_finite);
    }
    text += fmt::format("  codes at the ends of their range (0 or 15): {:.2f} %\n", 100.0 * r.share_at_ends);
  }
  for (const std::string& problem : r.problems) text += "\n  problem: " + problem;
  if (!r.problems.empty()) text += "\n";
  if (tensors) {
    text += "\n";
    for (const TensorInfo& info : checkpoint.weights->tensors()) {
      text += fmt::format("  {:<72} {:<6} {:<16} {:>10}\n", info.name, info.stored_type, shape_text(info.shape),
                          size_text(info.stored_bytes));
    }
  }
  return text;
}

Json json_of(const InspectReport& r, const Checkpoint& checkpoint, bool tensors) {
  const ModelConfig& c = r.config;
  Json document = {{"model", checkpoint.name},
                   {"path", checkpoint.path.string()},
                   {"family", c.family},
                   {"layers", c.layers},
                   {"dim", c.dim},
                   {"ffn_dim", c.ffn_dim},
                   {"heads", c.heads},
                   {"kv_heads", c.kv_heads},
                   {"head_dim", c.head_dim},
                   {"vocab_size", c.vocab_size},
                   {"max_positions", c.max_positions},
                   {"tied_embeddings", c.tied_embeddings},
                   {"kv_bytes_per_token", r.kv_bytes_per_token},
                   {"parameters", r.parameters},
                   {"weights_bytes", r.bytes},
                   {"bits_per_parameter", r.bits_per_parameter()},
                   {"tokenizer", !checkpoint.tokenizer_json.is_null()},
                   {"chat_template", !checkpoint.chat_template.empty()}};
  document["quantization"] = nullptr;
  if (r.quantized_linears > 0) {
    document["quantization"] = {
        {"method", c.quantization.method},         {"bits", c.quantization.bits},
        {"group_size", c.quantization.group_size}, {"rotations", c.quantization.rotations},
        {"linears", r.quantized_linears},          {"bits_per_weight", r.bits_per_quantized_weight()},
        {"act_order", c.quantization.act_order}};
    for (const auto& [bits, count] : r.linears_of_bits)
      document["quantization"]["linears_of_bits"][std::to_string(bits)] = count;
  }
  document["kinds"] = Json::array();
  for (const KindTotal& kind : r.kinds) {
    document["kinds"].push_back({{"kind", kind.name},
                                 {"tensors", kind.tensors},
                                 {"elements", kind.elements},
                                 {"bytes", kind.bytes},
                                 {"types", kind.types}});
  }
  document["health"] = Json::array();
  for (const ValueHealth& h : r.health) {
    document["health"].push_back(
        {{"values", h.name}, {"min", h.min}, {"max", h.max}, {"zeros", h.zeros}, {"not_finite", h.not_finite}});
  }
  if (!r.health.empty()) document["codes_at_ends"] = r.share_at_ends;
  document["problems"] = r.problems;
  if (tensors) {
    document["tensors"] = Json::array();
    for (const TensorInfo& info : checkpoint.weights->tensors()) {
      document["tensors"].push_back(
          {{"name", info.name}, {"type", info.stored_type}, {"shape", info.shape}, {"bytes", info.stored_bytes}});
    }
  }
  return document;
}

int run(const Flags& flags, const CommonFlags& common) {
  const Checkpoint checkpoint = open_checkpoint(flags.model, {}, common.hub());
  const InspectReport report = inspect_checkpoint(checkpoint);
  if (flags.json) {
    write_json(json_of(report, checkpoint, flags.tensors));
  } else {
    write_stdout(text_of(report, checkpoint, flags.tensors));
  }
  return report.problems.empty() ? 0 : 1;
}

}  // namespace

Command inspect_command() {
  return {"inspect", "what is in a model: family, bits, sizes, health of angles and scales",
          "paro inspect MODEL\nparo inspect MODEL --tensors --json", [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            app.add_option("MODEL", flags->model, "checkpoint folder, .gguf file or hub id")->required();
            app.add_flag("--tensors", flags->tensors, "also every tensor with type, shape and size");
            app.add_flag("--json", flags->json, "one JSON document");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
