#include "kernels/vec/avx512.h"

#include "kernels/rope/rope_lanes.h"

namespace paro {

constinit const RopeKernels rope_avx512{Isa::kAvx512, rotate};

}  // namespace paro
