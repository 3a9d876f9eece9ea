#include "kernels/vec/avx512.h"

#include "kernels/elementwise/elementwise_lanes.h"

namespace paro {

constinit const ElementKernels elementwise_avx512{Isa::kAvx512, add, silu_mul, exponential};

}  // namespace paro
