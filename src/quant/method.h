// How a quantized linear is stored: what each format's folder provides. One line each in registry.cpp.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "quant/cpu_linear.h"
#include "quant/paro4/format.h"

namespace paro {

/// One linear in a checkpoint: `name` without suffix, the shape the model asks for, what the configuration says.
struct LinearTensors {
  const WeightSource& source;
  const std::string& name;
  int64_t out = 0;
  int64_t in = 0;
  bool bias = false;
  const QuantizationConfig& config;
};

/// The names of a checkpoint's linears inside layers.
struct WrittenLinears {
  std::vector<std::string> quantized;
  std::vector<std::string> kept;  // in 16 bits
};

struct QuantizationFormat {
  std::string_view method;  // quant_method in config.json
  /// Error{kInput} naming the tensor, the expected and the found.
  std::unique_ptr<CpuLinear> (*load)(const LinearTensors& tensors, const LoadHelp& help);
  /// The same as numbers.
  Paro4Weight (*read)(const LinearTensors& tensors);
  /// What is written for a linear. Formats without rotations take a weight whose rotation is_identity; only gptq takes
  /// an `order`.
  std::vector<TensorToWrite> (*tensors)(const std::string& name, const Paro4Weight& weight,
                                        const QuantizationConfig& config);
  /// "quantization_config" as the format's own tools write it.
  Json (*describe)(const QuantizationConfig& config, const WrittenLinears& linears);
};

extern const QuantizationFormat kParo4Format;
extern const QuantizationFormat kAwqFormat;
extern const QuantizationFormat kGptqFormat;

std::span<const QuantizationFormat* const> quantization_formats();
/// By quant_method; Error{kInput} naming `place` and the formats there are.
const QuantizationFormat& require_format(std::string_view method, const std::string& place);
/// Of a checkpoint's quantized linears: ParoQuant where the configuration names none.
const QuantizationFormat& format_of(const QuantizationConfig& config, const std::string& place);

}  // namespace paro
