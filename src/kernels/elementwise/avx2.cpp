#include "kernels/vec/avx2.h"

#include "kernels/elementwise/elementwise_lanes.h"

namespace paro {

constinit const ElementKernels elementwise_avx2{Isa::kAvx2, add, silu_mul, exponential};

}  // namespace paro
