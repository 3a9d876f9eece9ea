#include "kernels/vec/avx2.h"

#include "kernels/rms_norm/rms_norm_lanes.h"

namespace paro {

constinit const NormKernels norm_avx2{Isa::kAvx2, factor, add_factor, scale};

}  // namespace paro
