#include "kernels/vec/neon.h"

#include "kernels/vec/bytes_neondot.h"

#include "kernels/vec/add_four_neon.h"

#include "kernels/int4/panel_bytes.h"

#include "kernels/int4/int4_lanes.h"
#include "kernels/int4/variants.h"

namespace paro {

const Int4Kernels kInt4Neon{Isa::kNeon, kLanes, kGemmTiles, multiply, multiply_f32};

}  // namespace paro
