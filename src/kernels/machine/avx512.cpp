#include "kernels/vec/avx512.h"
#include "kernels/vec/bytes_avx512.h"

#include "kernels/machine/machine_lanes.h"
#include "kernels/machine/variants.h"

namespace paro {

const MachineKernels kMachineAvx512{Isa::kAvx512, read, int8_multiply, kInt8Macs, f32_multiply, kF32Flops};

}  // namespace paro
