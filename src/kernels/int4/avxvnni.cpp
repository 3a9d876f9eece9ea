#include "kernels/vec/avx2.h"
#include "kernels/vec/bytes_avxvnni.h"

#include "kernels/int4/int4_lanes.h"
#include "kernels/int4/variants.h"

namespace paro {

const Int4Kernels kInt4AvxVnni{Isa::kAvxVnni, kLanes, kGemmTiles, multiply, multiply_f32};

}  // namespace paro
