#include "kernels/vec/avx512.h"
#include "kernels/vec/bytes_avx512.h"

#include "kernels/vec/add_four.h"

#include "kernels/int4/panel_bytes.h"

#include "kernels/int4/int4_lanes.h"
#include "kernels/int4/variants.h"

namespace paro {

const Int4Kernels kInt4Avx512{Isa::kAvx512, kLanes, kGemmTiles, multiply, multiply_f32};

}  // namespace paro
