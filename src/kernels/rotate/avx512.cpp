#include "kernels/vec/avx512.h"

#include "kernels/rotate/turn_avx512.h"

#include "kernels/rotate/rotate_lanes.h"
#include "kernels/rotate/variants.h"

namespace paro {

const RotateKernels kRotateAvx512{Isa::kAvx512, Vec::kWidth, rotate, rotate_quantize};

}  // namespace paro
