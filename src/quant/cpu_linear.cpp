#include "quant/cpu_linear.h"

#include <algorithm>

#include "base/error.h"
#include "quant/dense/dense_linear.h"
#include "quant/paro4/format.h"
#include "quant/paro4/paro4_linear.h"

namespace paro {
namespace {

// The configuration must mean what the tensors are: other methods use the same suffixes for other layouts.
void check_configuration(const WeightSource& source, const std::string& name, const QuantizationConfig& config) {
  const std::string place = source.place(name + ".qweight");
  if (!config.method.empty() && config.method != "paroquant")
    fail_input("{}: {}.qweight: quantized by the method \"{}\"; paro reads \"paroquant\"", place, name, config.method);
  if (config.bits != 0 && config.bits != 4)
    fail_input("{}: {}.qweight: {} bits; paro reads 4-bit weights", place, name, config.bits);
}

// Channels that one thread computes in the time it takes to wake the others.
constexpr int64_t kSerialChannels = 4096;

}  // namespace

const float* computed_rows(const CpuContext& context, const LinearInput& input, int64_t rows, int64_t in) {
  if (input.plain()) return input.x;
  auto* out = context.arena.array<float>(rows * in);
  const LinearInputRows part(context.isa, input, in);
  context.pool.parallel_for(rows, std::max<int64_t>(1, kSerialChannels / in), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) part.compute(row, 0, in, out + row * in);
  });
  return out;
}

void multiply_together(const CpuContext& context, std::span<const CpuLinear* const> weights, const PreparedInput& input,
                       std::span<float* const> y) {
  int64_t total = 0;
  bool divided = true;
  for (const CpuLinear* weight : weights) {
    const int64_t pieces = weight->pieces(context, input);
    divided = divided && pieces > 0;
    total += pieces;
  }
  if (!divided || weights.size() == 1) {
    for (size_t i = 0; i < weights.size(); ++i) weights[i]->multiply(context, input, y[i]);
    return;
  }
  context.pool.parallel_for(total, 1, [&](int64_t begin, int64_t end) {
    for (size_t i = 0; i < weights.size() && begin < end; ++i) {
      const int64_t pieces = weights[i]->pieces(context, input);
      if (begin < pieces)
        weights[i]->multiply_pieces(context, input, std::max<int64_t>(begin, 0), std::min(end, pieces), y[i]);
      begin -= pieces;
      end -= pieces;
      begin = std::max<int64_t>(begin, 0);
    }
  });
}

std::unique_ptr<CpuLinear> make_cpu_linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                           bool bias, const QuantizationConfig& quantization, const LoadHelp& help) {
  if (source.has(name + ".weight")) return read_dense_linear(source, name, out, in, bias);
  const bool older = source.has(name + ".qlinear.qweight");
  if (!older && !source.has(name + ".qweight"))
    fail_input("{}: neither {}.weight nor {}.qweight is there", source.place(name + ".weight"), name, name);
  check_configuration(source, name, quantization);
  if (!older && !source.has(name + ".theta"))
    fail_input(
        "{}: {}.qweight is there but {}.theta is not: quantized by another method (GPTQ, AWQ?); paro reads "
        "ParoQuant",
        source.place(name + ".qweight"), name, name);
  auto linear = make_paro4_linear(read_packed_paro4(source, name, out, in, bias, help));
  if (quantization.group_size != 0) {
    // The tensors decide; a configuration that says otherwise means that something was mixed up.
    const int64_t groups = source.require(older ? name + ".qlinear.scales" : name + ".scales").shape[0];
    if (groups * quantization.group_size != in)
      fail_input("{}: {}: quantization_config says groups of {}, the scales have groups of {}",
                 source.place(name + ".qweight"), name, quantization.group_size, in / groups);
  }
  linear->name = name;
  return linear;
}

}  // namespace paro
