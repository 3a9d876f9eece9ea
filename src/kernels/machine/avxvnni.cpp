#include "kernels/vec/avx2.h"
#include "kernels/vec/bytes_avxvnni.h"

#include "kernels/machine/machine_lanes.h"
#include "kernels/machine/variants.h"

namespace paro {

const MachineKernels kMachineAvxVnni{Isa::kAvxVnni, read, int8_multiply, kInt8Macs, f32_multiply, kF32Flops};

}  // namespace paro
