#include "kernels/vec/neon.h"

#include "kernels/rope/rope_lanes.h"

namespace paro {

constinit const RopeKernels rope_neon{Isa::kNeon, rotate};

}  // namespace paro
