#include "quant/cpu_linear.h"

#include <algorithm>

#include "base/error.h"
#include "quant/dense/dense_linear.h"
#include "quant/method.h"
#include "quant/row_table/row_table.h"

namespace paro {
namespace {

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
  if (!source.has(name + ".qweight") && !source.has(name + ".qlinear.qweight"))
    fail_input("{}: neither {}.weight nor {}.qweight is there", source.place(name + ".weight"), name, name);
  if (is_row_table(source, name)) {
    if (bias || source.has(name + ".bias"))
      fail_input("{}: {}.bias: a table of 4 or 8 bits has no bias", source.place(name + ".qweight"), name);
    return load_row_table_linear(source, name, out, in, help);
  }
  const QuantizationFormat& format = format_of(quantization, source.place(name + ".qweight"));
  auto linear = format.load({source, name, out, in, bias, quantization}, help);
  linear->name = name;
  return linear;
}

}  // namespace paro
