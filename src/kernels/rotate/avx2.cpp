#include "kernels/vec/avx2.h"

#include "kernels/rotate/turn_pick.h"

#include "kernels/rotate/rotate_lanes.h"
#include "kernels/rotate/variants.h"

namespace paro {

const RotateKernels kRotateAvx2{Isa::kAvx2, Vec::kWidth, rotate, rotate_quantize};

}  // namespace paro
