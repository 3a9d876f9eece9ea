#include "kernels/vec/avx512.h"
#include "kernels/vec/bytes_avx512vnni.h"

#include "kernels/machine/machine_lanes.h"
#include "kernels/machine/variants.h"

namespace paro {

const MachineKernels kMachineAvx512Vnni{Isa::kAvx512Vnni, read, int8_multiply, kInt8Macs, f32_multiply, kF32Flops};

}  // namespace paro
