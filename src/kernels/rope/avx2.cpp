#include "kernels/vec/avx2.h"

#include "kernels/rope/rope_lanes.h"

namespace paro {

constinit const RopeKernels rope_avx2{Isa::kAvx2, rotate};

}  // namespace paro
