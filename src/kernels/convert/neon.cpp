#include "kernels/vec/neon.h"

#include "kernels/convert/convert_lanes.h"

namespace paro {

constinit const ConvertKernels convert_neon{Isa::kNeon, widen<Vec::load_f16>, widen<Vec::load_bf16>, narrow_to_f16};

}  // namespace paro
