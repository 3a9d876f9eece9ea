#include "kernels/vec/neon.h"

#include "kernels/vec/bytes_neondot.h"

#include "kernels/machine/machine_lanes.h"
#include "kernels/machine/variants.h"

namespace paro {

const MachineKernels kMachineNeon{Isa::kNeon, read, int8_multiply, kInt8Macs, f32_multiply, kF32Flops};

}  // namespace paro
