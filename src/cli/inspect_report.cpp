#include "cli/inspect_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>

#include "base/error.h"
#include "quant/row_table/row_table.h"

namespace paro::cli {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Order of the table.
const char* const kKinds[] = {"embedding", "attention",   "mlp",       "norms",       "head", "codes",
                              "scales",    "zero points", "rotations", "input order", "bias", "other"};

std::string_view kind_of(std::string_view name) {
  if (name.ends_with(".qweight")) return "codes";
  if (name.ends_with(".qzeros") || name.ends_with(".scaled_zeros")) return "zero points";
  if (name.ends_with(".scales")) return "scales";
  if (name.ends_with("theta") || name.ends_with("pairs") || name.ends_with("channel_scales") ||
      contains(name, ".rotation.")) {
    return "rotations";
  }
  if (name.ends_with(".g_idx")) return "input order";
  if (name.ends_with(".bias")) return "bias";
  if (contains(name, "embed_tokens")) return "embedding";
  if (contains(name, "lm_head")) return "head";
  if (contains(name, "norm")) return "norms";
  if (contains(name, ".self_attn.")) return "attention";
  if (contains(name, ".mlp.")) return "mlp";
  return "other";
}

/// Values of many tensors, one after the other.
class HealthCount {
 public:
  explicit HealthCount(std::string name)
      : health_{std::move(name), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()} {}
  void add(const TensorView& view) {
    if (view.dtype != DType::kF16 && view.dtype != DType::kBF16 && view.dtype != DType::kF32) return;
    constexpr int64_t kPart = 4096;
    float part[kPart];
    for (int64_t at = 0; at < view.elements(); at += kPart) {
      const int64_t count = std::min(kPart, view.elements() - at);
      copy_as_f32(view, at, count, part);
      for (int64_t i = 0; i < count; ++i) {
        const auto value = static_cast<double>(part[i]);
        health_.zeros += value == 0.0 ? 1 : 0;
        if (!std::isfinite(value)) {
          ++health_.not_finite;
          continue;
        }
        health_.min = std::min(health_.min, value);
        health_.max = std::max(health_.max, value);
      }
    }
    seen_ = seen_ || view.elements() > 0;
  }
  bool seen() const { return seen_; }
  ValueHealth health() const {
    ValueHealth h = health_;
    if (h.min > h.max) h.min = h.max = 0.0;
    return h;
  }

 private:
  ValueHealth health_;
  bool seen_ = false;
};

struct Codes {
  int64_t count = 0;
  int64_t at_ends = 0;

  void add(const TensorView& view) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(view.data);
    const int64_t size = view.bytes();
    for (int64_t i = 0; i < size; ++i) {
      const int low = bytes[i] & 15;
      const int high = bytes[i] >> 4;
      at_ends += (low == 0 || low == 15 ? 1 : 0) + (high == 0 || high == 15 ? 1 : 0);
    }
    count += 2 * size;
  }
};

void add_type(std::string& types, const std::string& type) {
  if (!contains(types, type)) types += (types.empty() ? "" : " ") + type;
}

int64_t elements_of(const TensorInfo& info) {
  int64_t elements = 1;
  for (const int64_t n : info.shape) elements *= n;
  return elements;
}

/// Codes fill their words, whatever the format: eight of 4 bits in 32, four in the older layout's 16.
int64_t codes_in(const TensorInfo& info, int64_t bits) {
  return elements_of(info) * dtype_size(info.dtype) * 8 / std::max<int64_t>(bits, 1);
}

void find_problems(InspectReport& report) {
  for (const ValueHealth& h : report.health) {
    if (h.not_finite > 0) report.problems.push_back(fmt::format("{} {} are not finite", h.not_finite, h.name));
    if (h.name == "scales" && h.min < 0.0) report.problems.push_back("some scales are negative");
    if (h.name == "channel scales" && h.zeros > 0)
      report.problems.push_back(fmt::format("{} channel scales are zero", h.zeros));
  }
}

}  // namespace

double InspectReport::bits_per_parameter() const {
  return parameters > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters) : 0.0;
}

double InspectReport::bits_per_quantized_weight() const {
  return quantized_weights > 0 ? 8.0 * static_cast<double>(quantized_bytes) / static_cast<double>(quantized_weights)
                               : 0.0;
}

InspectReport inspect_checkpoint(const Checkpoint& checkpoint) {
  InspectReport report;
  report.config = parse_model_config(checkpoint.config, checkpoint.config_place());
  const ModelConfig& c = report.config;
  report.kv_bytes_per_token = c.layers * 2 * c.kv_heads * c.head_dim * 2;
  std::map<std::string_view, KindTotal> kinds;
  HealthCount angles("angles");
  HealthCount scales("scales");
  HealthCount channel_scales("channel scales");
  Codes codes;
  const auto bits_of = [&](std::string_view qweight) {
    const std::string linear(qweight.substr(0, qweight.rfind('.')));
    // GPTQ's "dynamic" may say it in many ways; the shapes say it, too.
    const TensorInfo* order = checkpoint.weights->find(linear + ".g_idx");
    if (c.quantization.mixed && order != nullptr && order->shape.size() == 1 && order->shape[0] > 0)
      return checkpoint.weights->require(qweight).shape.at(0) * 32 / order->shape[0];
    const int64_t bits = c.quantization.bits_of(linear);
    return bits == 0 ? int64_t{4} : bits;
  };
  // Embeddings and heads of 8 and 4 bits count as what they are, scales and zero points with them.
  const auto in_table = [&](std::string_view name) {
    return is_row_table(*checkpoint.weights, std::string(name.substr(0, name.rfind('.'))));
  };
  for (const TensorInfo& info : checkpoint.weights->tensors()) {
    if (in_table(info.name)) {
      KindTotal& table = kinds[contains(info.name, "lm_head") ? "head" : "embedding"];
      table.name = contains(info.name, "lm_head") ? "head" : "embedding";
      table.tensors += 1;
      table.bytes += info.stored_bytes;
      report.bytes += info.stored_bytes;
      add_type(table.types, info.stored_type);
      if (!info.name.ends_with(".qweight")) continue;
      const int64_t values = elements_of(info) * (info.dtype == DType::kU8 ? 2 : 1);
      table.elements += values;
      report.parameters += values;
      continue;
    }
    const int64_t bits = info.name.ends_with(".qweight") ? bits_of(info.name) : 0;
    const std::string_view kind = kind_of(info.name);
    KindTotal& total = kinds[kind];
    total.name = kind;
    total.tensors += 1;
    total.bytes += info.stored_bytes;
    total.elements += kind == "codes" ? codes_in(info, bits) : elements_of(info);
    add_type(total.types, info.stored_type);
    report.bytes += info.stored_bytes;
    const bool quantized =
        kind == "codes" || kind == "scales" || kind == "zero points" || kind == "rotations" || kind == "input order";
    if (quantized) report.quantized_bytes += info.stored_bytes;
    if (!quantized) report.parameters += elements_of(info);
    if (kind == "codes") {
      report.quantized_linears += 1;
      report.linears_of_bits[bits] += 1;
      report.quantized_weights += codes_in(info, bits);
      report.parameters += codes_in(info, bits);
      if (bits == 4) codes.add(checkpoint.weights->load(info.name).view);
    } else if (kind == "scales") {
      scales.add(checkpoint.weights->load(info.name).view);
    } else if (info.name.ends_with("channel_scales")) {
      channel_scales.add(checkpoint.weights->load(info.name).view);
    } else if (info.name.ends_with("theta")) {
      angles.add(checkpoint.weights->load(info.name).view);
    }
  }
  for (const char* name : kKinds) {
    if (const auto found = kinds.find(name); found != kinds.end()) report.kinds.push_back(found->second);
  }
  for (const HealthCount* count : {&angles, &scales, &channel_scales}) {
    if (count->seen()) report.health.push_back(count->health());
  }
  if (codes.count > 0) report.share_at_ends = static_cast<double>(codes.at_ends) / static_cast<double>(codes.count);
  find_problems(report);
  return report;
}

}  // namespace paro::cli
