#include "kernels/vec/avx512.h"

#include "kernels/dense/dense_int8.h"
#include "kernels/dense/dense_lanes.h"
#include "kernels/dense/variants.h"

namespace paro {

const DenseKernels kDenseAvx512{Isa::kAvx512, kPanelOutputs, few_rows, few_rows_int8, many_rows};

}  // namespace paro
