#include "kernels/vec/avx512.h"

#include "kernels/rms_norm/rms_norm_lanes.h"

namespace paro {

constinit const NormKernels norm_avx512{Isa::kAvx512, factor, add_factor, scale};

}  // namespace paro
