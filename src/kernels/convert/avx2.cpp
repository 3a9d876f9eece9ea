#include "kernels/vec/avx2.h"

#include "kernels/convert/convert_lanes.h"

namespace paro {

constinit const ConvertKernels convert_avx2{Isa::kAvx2, widen<Vec::load_f16>, widen<Vec::load_bf16>, narrow_to_f16};

}  // namespace paro
