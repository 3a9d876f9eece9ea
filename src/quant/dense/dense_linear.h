// A linear with plain f16, bf16 or f32 weights on the CPU.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "quant/cpu_linear.h"

namespace paro {

/// Reads `name.weight` (kept mapped) and, when `bias`, `name.bias`.
std::unique_ptr<CpuLinear> read_dense_linear(const WeightSource& source, const std::string& name, int64_t out,
                                             int64_t in, bool bias);

/// codes I8 [out, in], each times the scale of its output, scales [out]; no bias.
std::unique_ptr<CpuLinear> make_int8_linear(LoadedTensor codes, std::vector<float> scales);

/// What a dense linear of 16 bits or more is made of; it lives as long as the linear.
struct DenseParts {
  const TensorView* weight;        // [out, in]
  const std::vector<float>* bias;  // [out] or empty
};
/// Nothing for any other linear.
std::optional<DenseParts> dense_parts(const Linear& linear);

}  // namespace paro
