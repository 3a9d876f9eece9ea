#include "kernels/vec/neon.h"

#include "kernels/rms_norm/rms_norm_lanes.h"

namespace paro {

constinit const NormKernels norm_neon{Isa::kNeon, factor, add_factor, scale};

}  // namespace paro
