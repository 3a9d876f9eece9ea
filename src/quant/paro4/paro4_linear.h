// A ParoQuant linear on the CPU: packed weights of 4 or 8 bits, the input rotated and (by default) rounded to int8.
#pragma once

#include <memory>

#include "quant/cpu_linear.h"
#include "quant/paro4/format.h"
#include "quant/paro4/packed_weight.h"

namespace paro {

/// Equal rotations of several linears share one table.
std::unique_ptr<CpuLinear> make_paro4_linear(PackedParo4 weight);
/// Packs `weight` for the kernels; only the packed form is kept.
std::unique_ptr<CpuLinear> make_paro4_linear(const Paro4Weight& weight);

}  // namespace paro
