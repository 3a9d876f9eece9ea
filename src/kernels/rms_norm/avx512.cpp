#include "kernels/vec/avx512.h"

#include "kernels/rms_norm/rms_norm_lanes.h"

namespace paro {

constinit const NormKernels norm_avx512{Isa::kAvx512, rms_norm, add_rms_norm};

}  // namespace paro
