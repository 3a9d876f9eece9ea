// The compiled variants of this folder; for variants.cpp only.
#pragma once

#include "kernels/int4/int4.h"

namespace paro {

extern const Int4Kernels kInt4Reference;
extern const Int4Kernels kInt4Avx2;
extern const Int4Kernels kInt4AvxVnni;
extern const Int4Kernels kInt4Avx512;
extern const Int4Kernels kInt4Avx512Vnni;
extern const Int4Kernels kInt4Neon;
extern const Int4Kernels kInt4NeonI8mm;

}  // namespace paro
