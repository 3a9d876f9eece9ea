#include "model/quantization_config.h"

#include "base/error.h"

namespace paro {
namespace {

constexpr int64_t kMaxGroup = 4096;
constexpr int64_t kMaxRotations = 64;

bool is_width(int64_t bits) { return bits == 2 || bits == 3 || bits == 4 || bits == 8; }

void parse_paroquant(const ConfigReader& json, QuantizationConfig& quantization) {
  quantization.bits = json.integer("bits", 1, 16);
  if (!is_width(quantization.bits))
    fail_input("{}: \"bits\": expected 4 (or 2, 3 or 8, an extension), found {}", json.place(), quantization.bits);
  if (const Json* linears = json.find("linear_bits")) {
    const ConfigReader widths(*linears, fmt::format("{}: \"linear_bits\"", json.place()));
    for (const auto& [name, ignored] : linears->items()) {
      const int64_t bits = widths.integer(name.c_str(), 1, 16);
      if (!is_width(bits)) fail_input("{}: \"{}\": expected 2, 3, 4 or 8, found {}", widths.place(), name, bits);
      quantization.linear_bits[name] = bits;
    }
  }
  // The tensors decide; a width that this version does not know is better named here.
  for (const char* key : {"embedding_bits", "head_bits"}) {
    const int64_t bits = json.integer(key, 16, 1, 16);
    if (bits != 4 && bits != 8 && bits != 16)
      fail_input("{}: \"{}\": expected 4, 8 or 16, found {}", json.place(), key, bits);
  }
  quantization.group_size = json.integer("group_size", 2, kMaxGroup);
  if (quantization.group_size % 2 != 0)
    fail_input("{}: \"group_size\": expected an even number, found {}", json.place(), quantization.group_size);
  quantization.rotations = json.integer("krot", 8, 0, kMaxRotations);
}

/// A size, or -1 for one group over all inputs.
int64_t parse_group_size(const ConfigReader& json) {
  const int64_t size = json.integer("group_size", -1, kMaxGroup);
  if (size == 0) fail_input("{}: \"group_size\": expected -1 or 1 to {}, found 0", json.place(), kMaxGroup);
  return size;
}

void parse_awq(const ConfigReader& json, QuantizationConfig& quantization) {
  quantization.bits = json.integer("bits", 1, 16);
  if (quantization.bits != 4) fail_input("{}: \"bits\": expected 4, found {}", json.place(), quantization.bits);
  quantization.group_size = parse_group_size(json);
  // The writers' names for the layout, old and new.
  for (const char* key : {"version", "format", "checkpoint_format"}) {
    const std::string layout = json.text(key, "gemm");
    if (layout != "gemm" && layout != "GEMM")
      fail_input("{}: \"{}\": expected \"gemm\", found \"{}\"", json.place(), key, layout);
  }
  const std::string backend = json.text("backend", "autoawq");
  if (backend == "llm-awq")
    fail_input("{}: \"backend\": expected \"autoawq\", found \"{}\" (another layout of the tensors)", json.place(),
               backend);
}

void parse_gptq(const ConfigReader& json, QuantizationConfig& quantization) {
  quantization.bits = json.integer("bits", 1, 16);
  if (!is_width(quantization.bits))
    fail_input("{}: \"bits\": expected 2, 3, 4 or 8, found {}", json.place(), quantization.bits);
  quantization.group_size = parse_group_size(json);
  quantization.act_order = json.boolean("desc_act", false);
  const char* const key = json.has("checkpoint_format") ? "checkpoint_format" : "format";
  const std::string layout = json.text(key, "gptq");
  if (layout != "gptq" && layout != "gptq_v2")
    fail_input("{}: \"{}\": expected \"gptq\" or \"gptq_v2\", found \"{}\"", json.place(), key, layout);
  if (json.boolean("is_marlin_format", false))
    fail_input("{}: \"is_marlin_format\": expected false, found true (tensors repacked for one kernel)", json.place());
  quantization.zeros_minus_one = layout == "gptq";
  const Json* dynamic = json.find("dynamic");
  quantization.mixed = dynamic != nullptr && !dynamic->empty();
}

}  // namespace

QuantizationConfig parse_quantization_config(const ConfigReader& config) {
  QuantizationConfig quantization;
  const Json* value = config.find("quantization_config");
  if (value == nullptr) return quantization;
  const ConfigReader json(*value, fmt::format("{}: \"quantization_config\"", config.place()));
  quantization.method = json.text("quant_method", "");
  if (quantization.method == "paroquant") {
    parse_paroquant(json, quantization);
  } else if (quantization.method == "awq") {
    parse_awq(json, quantization);
  } else if (quantization.method == "gptq") {
    parse_gptq(json, quantization);
  } else {
    fail_input(
        "{}: \"quant_method\": expected \"paroquant\", \"awq\" or \"gptq\", found \"{}\" (checkpoints quantized by "
        "other methods cannot be read; take the full-precision model)",
        json.place(), quantization.method);
  }
  return quantization;
}

}  // namespace paro
