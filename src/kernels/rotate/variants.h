// The compiled variants of this folder; for variants.cpp only.
#pragma once

#include "kernels/rotate/rotate.h"

namespace paro {

extern const RotateKernels kRotateReference;
extern const RotateKernels kRotateAvx2;
extern const RotateKernels kRotateAvx512;
extern const RotateKernels kRotateNeon;

}  // namespace paro
