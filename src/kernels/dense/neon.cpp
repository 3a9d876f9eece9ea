#include "kernels/vec/neon.h"

#include "kernels/dense/dense_int8.h"
#include "kernels/dense/dense_lanes.h"
#include "kernels/dense/variants.h"

namespace paro {

const DenseKernels kDenseNeon{Isa::kNeon, kPanelOutputs, few_rows, few_rows_int8, many_rows};

}  // namespace paro
