#include "kernels/vec/neon.h"

#include "kernels/rotate/turn_pick.h"

#include "kernels/rotate/rotate_lanes.h"
#include "kernels/rotate/variants.h"

namespace paro {

const RotateKernels kRotateNeon{Isa::kNeon, Vec::kWidth, rotate, rotate_quantize};

}  // namespace paro
