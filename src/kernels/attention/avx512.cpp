#include "kernels/vec/avx512.h"

#include "kernels/attention/attention_lanes.h"

namespace paro {

constinit const AttentionKernels attention_avx512{Isa::kAvx512, store_position, attend_chunk, attend_rows};

}  // namespace paro
