#include "kernels/vec/neon.h"

#include "kernels/elementwise/elementwise_lanes.h"

namespace paro {

constinit const ElementKernels elementwise_neon{Isa::kNeon, add, silu_mul, exponential};

}  // namespace paro
