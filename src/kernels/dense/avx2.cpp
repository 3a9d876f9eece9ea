#include "kernels/vec/avx2.h"

#include "kernels/dense/dense_int8.h"
#include "kernels/dense/dense_lanes.h"
#include "kernels/dense/variants.h"

namespace paro {

const DenseKernels kDenseAvx2{Isa::kAvx2, kPanelOutputs, few_rows, few_rows_int8, many_rows};

}  // namespace paro
