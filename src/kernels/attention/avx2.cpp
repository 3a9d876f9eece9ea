#include "kernels/vec/avx2.h"

#include "kernels/attention/attention_lanes.h"

namespace paro {

constinit const AttentionKernels attention_avx2{Isa::kAvx2, store_position, attend_chunk, attend_rows};

}  // namespace paro
