// The compiled variants of this folder; for variants.cpp only.
#pragma once

#include "kernels/dense/dense.h"

namespace paro {

extern const DenseKernels kDenseReference;
extern const DenseKernels kDenseAvx2;
extern const DenseKernels kDenseAvx512;
extern const DenseKernels kDenseNeon;

}  // namespace paro
