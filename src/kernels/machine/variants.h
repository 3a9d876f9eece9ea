// The compiled variants of this folder.
#pragma once

#include "kernels/machine/machine_limits.h"

namespace paro {

extern const MachineKernels kMachineReference;
extern const MachineKernels kMachineAvx2;
extern const MachineKernels kMachineAvxVnni;
extern const MachineKernels kMachineAvx512;
extern const MachineKernels kMachineAvx512Vnni;
extern const MachineKernels kMachineNeon;
extern const MachineKernels kMachineNeonI8mm;

}  // namespace paro
