// A linear with plain f16, bf16 or f32 weights on the CPU.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "quant/cpu_linear.h"

namespace paro {

/// Reads `name.weight` (kept mapped) and, when `bias`, `name.bias`.
std::unique_ptr<CpuLinear> read_dense_linear(const WeightSource& source, const std::string& name, int64_t out,
                                             int64_t in, bool bias);

}  // namespace paro
